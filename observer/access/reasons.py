"""Why somebody sees a run, and who else does: each way that is open, in words and for programs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .principal import ALL_PROJECTS, DEFAULT_VISIBILITY, Principal
from .project_settings import ProjectSettings, load_settings_of

if TYPE_CHECKING:
    from pymongo.database import Database

    from ..run_record import RunRecord


@dataclass(frozen=True)
class Reason:
    """One way in which a run is seen.

    Attributes:
        key: for programs: "local", "site-admin", "owner", "shared", "shared-group", "site", "project-default", "role",
            "link".
        words: a sentence about the reader: "You recorded it.".
    """

    key: str
    words: str


@dataclass(frozen=True)
class SeenBecause:
    """Why a principal sees a run.

    Attributes:
        reasons: every way that is open, none of which alone is needed.
        visibility: what holds for the run; `from_project` where the project says so and the run nothing.
        project: the settings of its project; only for those who may see its members, else None.
    """

    reasons: tuple[Reason, ...]
    visibility: str
    from_project: bool
    project: ProjectSettings | None = None


def explain(database: Database[dict[str, Any]], principal: Principal, run: RunRecord) -> SeenBecause:
    """Why `principal` sees `run`; without a reason he does not. `database` is the one with the accounts."""
    settings = load_settings_of(database, run.project)
    visibility = run.visibility or settings.visibility or DEFAULT_VISIBILITY
    reasons: tuple[Reason, ...] = (
        *_as_somebody(principal),
        *_by_name(principal, run),
        *_by_visibility(principal, run, visibility),
    )
    is_insider = principal.role_in(run.project) is not None or principal.owns(run)
    return SeenBecause(reasons, visibility, not run.visibility, settings if is_insider else None)


def _as_somebody(principal: Principal) -> list[Reason]:
    if principal.kind == "local":
        return [Reason("local", "Nobody has to sign in here: everybody on this machine sees every run.")]
    if principal.kind == "share":
        return [Reason("link", "You have a link that opens it.")]
    if "admin" in principal.site:
        return [Reason("site-admin", "You are an admin of the site, who sees every run. That you looked is noted.")]
    return []


def _by_name(principal: Principal, run: RunRecord) -> list[Reason]:
    reasons = []
    if principal.owns(run):
        reasons.append(Reason("owner", "You recorded it."))
    if principal.name and principal.name in run.shared_people:
        reasons.append(Reason("shared", "It is shared with you by name."))
    reasons += [
        Reason("shared-group", f"It is shared with the group {name}, which you are in.")
        for name in run.shared_groups
        if name in principal.groups
    ]
    return reasons


def _by_visibility(principal: Principal, run: RunRecord, visibility: str) -> list[Reason]:
    if principal.kind not in ("person", "token"):
        return []
    because = f"Its project {run.project} shows runs" if not run.visibility else "It is shown"
    if visibility == "site":
        return [Reason("site", f"{because} to everybody who is signed in.")]
    role = principal.role_in(run.project)
    if visibility != "project" or role is None or "admin" in principal.site:
        return []
    through = "every project" if run.project not in principal.roles and ALL_PROJECTS in principal.roles else run.project
    return [Reason("role", f"{because} to everybody with a role in the project, and you are {role} of {through}.")]
