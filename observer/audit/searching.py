"""Reading the audit log: a page of it, newest first, by who, what, where and when."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from ..store_connection import lenient
from .actions import ROWS, Topic
from .entry import AuditEntry, NotAnEntry, from_document

if TYPE_CHECKING:
    from pymongo.database import Database

MOST_COUNTED = 100_000  # beyond that "more than" is said: counting on would read the whole log for each page
PAGE_SIZE = 50


@dataclass(frozen=True)
class AuditQuery:
    """Which entries are asked for.

    Attributes:
        text: in who, what it was done to, or the address; any case.
        since, until: aware; `until` itself is left out.
        before: only entries older than the one with this number: the next page.
    """

    actor: str = ""
    action: str = ""
    topic: Topic | str = ""
    project: str = ""
    text: str = ""
    refused: bool = False
    since: datetime | None = None
    until: datetime | None = None
    before: int | None = None

    @property
    def is_everything(self) -> bool:
        return self == AuditQuery(before=self.before)


@dataclass(frozen=True)
class AuditPage:
    """Entries, newest first, and how many there are in all that the query asks for.

    Attributes:
        damaged: documents among them that are no entries.
        older: `before` of the next page; None on the last one.
    """

    entries: tuple[AuditEntry, ...]
    total: int
    damaged: int
    older: int | None


def list_entries(database: Database[dict[str, Any]], query: AuditQuery, *, size: int = PAGE_SIZE) -> AuditPage:
    """A page of the log."""
    entries = lenient(database)["audit"]
    condition = _condition(query)
    found = list(entries.find(_with_before(condition, query.before), sort=[("_id", -1)], limit=size + 1))
    total = (
        entries.estimated_document_count()
        if query.is_everything
        else entries.count_documents(condition, limit=MOST_COUNTED)
    )
    shown = list(_readable(found[:size]))
    older = found[size - 1]["_id"] if len(found) > size else None
    return AuditPage(tuple(shown), total, min(len(found), size) - len(shown), older)


def iter_entries(database: Database[dict[str, Any]], query: AuditQuery) -> Iterator[AuditEntry]:
    """All entries that are asked for, oldest first, one at a time."""
    condition = _with_before(_condition(query), query.before)
    yield from _readable(lenient(database)["audit"].find(condition, sort=[("_id", 1)]))


def iter_documents(database: Database[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The whole log as stored, damaged entries too, oldest first."""
    yield from lenient(database)["audit"].find(sort=[("_id", 1)])


def list_actors(database: Database[dict[str, Any]], *, most: int = 500) -> tuple[str, ...]:
    """Who stands in the log, by name."""
    found = lenient(database)["audit"].aggregate(
        [{"$group": {"_id": "$actor"}}, {"$sort": {"_id": 1}}, {"$limit": most}]
    )
    return tuple(row["_id"] for row in found if isinstance(row["_id"], str) and row["_id"])


def _readable(documents: Any) -> Iterator[AuditEntry]:
    for document in documents:
        try:
            yield from_document(document)
        except NotAnEntry:  # counted by who asked, told by `verify`
            continue


def _condition(query: AuditQuery) -> dict[str, Any]:
    """Each value is compared with, never run: a name is a name, whatever characters it has."""
    condition: dict[str, Any] = {
        name: {"$eq": value}
        for name, value in (("actor", query.actor), ("project", query.project), ("action", query.action))
        if value
    }
    actions = _actions(query)
    if actions is not None:
        condition["$and"] = [{"action": {"$in": actions}}]
    when: Mapping[str, datetime | None] = {"$gte": query.since, "$lt": query.until}
    if any(when.values()):
        condition["at"] = {operator: moment for operator, moment in when.items() if moment}
    if query.text:
        words = {"$regex": re.escape(query.text), "$options": "i"}
        condition["$or"] = [{field: words} for field in ("actor", "target", "address", "details")]
    return condition


def _actions(query: AuditQuery) -> list[str] | None:
    if not query.topic and not query.refused:
        return None
    return [row.name for row in ROWS if query.topic in ("", row.topic) and (row.is_refusal or not query.refused)]


def _with_before(condition: dict[str, Any], before: int | None) -> dict[str, Any]:
    return condition if before is None else {**condition, "_id": {"$lt": before}}
