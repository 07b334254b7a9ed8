"""Reports: what people write about a project's runs, with all its versions. Collections `reports`, `report_versions`.

The text names runs by queries and ids; which of them a reader sees is decided when it is read.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from .errors import CloisterError

if TYPE_CHECKING:
    from pymongo.database import Database

    from .access.principal import Principal

REPORTS, VERSIONS = "reports", "report_versions"
TITLE_LIMIT, TEXT_LIMIT = 200, 200_000  # characters
REPORTS_LIMIT, VERSIONS_LIMIT = 2_000, 500  # of a project; of a report: of more the oldest are forgotten


class BadReport(CloisterError, ValueError):
    """A report has a title, or a text, that cannot be kept."""


class ReportNotFound(CloisterError, LookupError):
    """No report has this id, or the reader may not know of it."""

    def __init__(self, report_id: str) -> None:
        super().__init__(f"There is no report {report_id[:40]!r}. It may have been deleted, or is not shared with you.")


class ReportChanged(CloisterError, ValueError):
    """Somebody else has saved a report while it was being edited."""

    status = 409

    def __init__(self, report: Report) -> None:
        who = report.changed_by or "Somebody"
        super().__init__(
            f"{who} saved version {report.version} of {report.title!r} while you were writing. Your text is below and "
            "not saved: take over what is new, and save again."
        )
        self.report = report


class MayNotChangeReport(CloisterError, ValueError):
    """A report is not the principal's to change."""

    status = 403

    def __init__(self, who: str) -> None:
        super().__init__(f"You may read this report, not change it. {who} can.")


@dataclass(frozen=True)
class Report:
    """A report as it is now, or as one of its versions has it.

    Attributes:
        version: 1 is the first.
        owner: who made it; "" where nobody signs in.
        changed_by: who saved this version.
    """

    id: str
    project: str
    title: str
    text: str
    version: int
    owner: str
    made_at: datetime | None
    changed_at: datetime | None
    changed_by: str

    def may_be_seen_by(self, principal: Principal) -> bool:
        if principal.kind == "share" or not principal.sees_runs:
            return False
        return principal.role_in(self.project) is not None

    def may_be_changed_by(self, principal: Principal) -> bool:
        return self.may_be_seen_by(principal) and principal.may("edit", project=self.project)

    def may_be_deleted_by(self, principal: Principal) -> bool:
        if not self.may_be_changed_by(principal):
            return False
        return self.owner == principal.name or principal.may("manage", project=self.project)


def list_reports(
    database: Database[dict[str, Any]], principal: Principal, project: str | None = None
) -> tuple[Report, ...]:
    """The reports of a project, or of all, that the principal sees, without their text; the last changed one first."""
    asked = {} if project is None else {"project": {"$eq": project}}
    found = database[REPORTS].find(asked, {"text": 0}).sort([("changed_at", -1), ("_id", 1)]).limit(REPORTS_LIMIT)
    reports = (_read(document) for document in found)
    return tuple(report for report in reports if report.may_be_seen_by(principal))


def find_report(
    database: Database[dict[str, Any]], principal: Principal, report_id: str, version: int | None = None
) -> Report:
    """One report, as it is now or as it was.

    Raises:
        ReportNotFound: there is none, or none that the principal sees, or no such version.
    """
    document = database[REPORTS].find_one({"_id": {"$eq": report_id}})
    if document is None or not _read(document).may_be_seen_by(principal):
        raise ReportNotFound(report_id)
    if version is None or version == document.get("version"):
        return _read(document)
    old = database[VERSIONS].find_one({"_id": _version_id(report_id, version)})
    if old is None:
        raise ReportNotFound(report_id)
    kept = {name: old.get(name) for name in ("title", "text", "version", "changed_at", "changed_by")}
    return _read({**document, **kept})


def list_versions(database: Database[dict[str, Any]], report: Report) -> tuple[Report, ...]:
    """What the report was, without texts, the newest version first."""
    found = database[VERSIONS].find({"report": {"$eq": report.id}}, {"text": 0}).sort("version", -1)
    facts = {"_id": report.id, "project": report.project, "owner": report.owner, "made_at": report.made_at}
    return tuple(_read({**document, **facts}) for document in found)


def make_report(
    database: Database[dict[str, Any]], principal: Principal, *, project: str, title: str, text: str
) -> Report:
    """A new report, whose first version this is.

    Raises:
        BadReport: it cannot be kept.
        MayNotChangeReport: the principal may not edit in this project.
    """
    title, text = _checked(title, text)
    if not principal.may("edit", project=project):
        raise MayNotChangeReport("An editor of the project")
    if database[REPORTS].count_documents({"project": {"$eq": project}}, limit=REPORTS_LIMIT) >= REPORTS_LIMIT:
        raise BadReport(f"Project {project!r} has {REPORTS_LIMIT:,} reports. Delete one that nobody reads.")
    now = _now()
    saved = {"title": title, "text": text, "version": 1, "changed_at": now, "changed_by": principal.name}
    report_id = uuid.uuid4().hex
    _keep_version(database, report_id, saved)
    document = {"_id": report_id, "project": project, "owner": principal.name, "made_at": now, **saved}
    database[REPORTS].insert_one(document)
    return _read(document)


def change_report(
    database: Database[dict[str, Any]], principal: Principal, report_id: str, *, title: str, text: str, seen: int
) -> Report:
    """Save a new version of a report.

    Args:
        seen: the version that the text was written upon.

    Raises:
        ReportNotFound, MayNotChangeReport: there is none to change.
        BadReport: it cannot be kept.
        ReportChanged: there is a newer version than `seen`.
    """
    title, text = _checked(title, text)
    report = find_report(database, principal, report_id)
    if not report.may_be_changed_by(principal):
        raise MayNotChangeReport("An editor of the project")
    if (title, text) == (report.title, report.text):
        return report
    _mend_version(database, report)
    now = _now()
    saved = {"title": title, "text": text, "version": seen + 1, "changed_at": now, "changed_by": principal.name}
    unchanged = {"_id": {"$eq": report_id}, "version": seen}
    after = database[REPORTS].find_one_and_update(unchanged, {"$set": saved}, return_document=True)
    if after is None:
        raise ReportChanged(find_report(database, principal, report_id))
    _keep_version(database, report_id, saved)
    return _read(after)


def delete_report(database: Database[dict[str, Any]], principal: Principal, report_id: str) -> Report:
    """Delete a report with all its versions, for good.

    Raises:
        ReportNotFound, MayNotChangeReport: there is none to delete.
    """
    report = find_report(database, principal, report_id)
    if not report.may_be_deleted_by(principal):
        raise MayNotChangeReport("Whoever made it, or an admin of the project,")
    database[REPORTS].delete_one({"_id": {"$eq": report_id}})
    database[VERSIONS].delete_many({"report": {"$eq": report_id}})
    return report


def _keep_version(database: Database[dict[str, Any]], report_id: str, saved: Mapping[str, Any]) -> None:
    version = saved["version"]
    document = {"_id": _version_id(report_id, version), "report": report_id, **saved}
    database[VERSIONS].replace_one({"_id": document["_id"]}, document, upsert=True)
    database[VERSIONS].delete_many({"report": {"$eq": report_id}, "version": {"$lte": version - VERSIONS_LIMIT}})


def _mend_version(database: Database[dict[str, Any]], report: Report) -> None:
    """Keep the version that is about to be replaced, if its own save was cut off between report and version."""
    kept = {name: getattr(report, name) for name in ("title", "text", "version", "changed_at", "changed_by")}
    own = {"_id": _version_id(report.id, report.version)}
    database[VERSIONS].update_one(own, {"$setOnInsert": {"report": report.id, **kept}}, upsert=True)


def _version_id(report_id: str, version: int) -> str:
    return f"{report_id}:{version}"


def _checked(title: str, text: str) -> tuple[str, str]:
    title = " ".join(title.replace("\x00", "").split())
    text = text.replace("\r\n", "\n").replace("\x00", "")
    if not title:
        raise BadReport("A report needs a title.")
    if len(title) > TITLE_LIMIT:
        raise BadReport(f"The title has {len(title)} characters. {TITLE_LIMIT} are the most.")
    if len(text) > TEXT_LIMIT:
        raise BadReport(f"The text has {len(text):,} characters. {TEXT_LIMIT:,} are the most.")
    return title, text


def _read(document: Mapping[str, Any]) -> Report:
    return Report(
        id=str(document.get("_id", "")),
        project=str(document.get("project", "")),
        title=str(document.get("title", "")),
        text=str(document.get("text", "")),
        version=int(document.get("version") or 0),
        owner=str(document.get("owner") or ""),
        made_at=_time(document.get("made_at")),
        changed_at=_time(document.get("changed_at")),
        changed_by=str(document.get("changed_by") or ""),
    )


def _now() -> datetime:
    """To the millisecond, as MongoDB keeps it."""
    now = datetime.now(timezone.utc)
    return now.replace(microsecond=now.microsecond // 1000 * 1000)


def _time(value: Any) -> datetime | None:
    if not isinstance(value, datetime):
        return None
    return value if value.tzinfo else value.replace(tzinfo=timezone.utc)
