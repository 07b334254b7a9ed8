"""Somebody who asks: who it is, in which groups, with which role in each project, and what that allows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, Protocol

from ..redaction.pseudonyms import is_pseudonym

if TYPE_CHECKING:
    from ..run_record import RunRecord

Role = Literal["viewer", "editor", "admin"]
Right = Literal["see", "edit", "manage", "site", "audit", "delete"]
Kind = Literal["local", "person", "token", "share", "nobody"]
Scope = Literal["read", "record", "admin"]
SiteRole = Literal["admin", "auditor"]
Visibility = Literal["private", "project", "site"]

ROLES: tuple[Role, ...] = ("viewer", "editor", "admin")  # each may all that those before it may
VISIBILITIES: tuple[Visibility, ...] = ("private", "project", "site")
ALL_SCOPES: frozenset[Scope] = frozenset({"read", "record", "admin"})
ALL_PROJECTS = "*"  # the key of roles that hold in every project
DEFAULT_VISIBILITY: Visibility = "project"
_NOTHING: Mapping[str, Any] = MappingProxyType({})


class Owned(Protocol):
    """What says whose it is."""

    @property
    def owner(self) -> str: ...


@dataclass(frozen=True)
class Principal:
    """Who asks, with all that decides what may be seen and done.

    Attributes:
        name: the account's name; "" for nobody and for a share link.
        kind: "local" is whoever reaches MongoDB without a viewer, and everybody of a viewer without accounts.
        roles: by project, those of groups merged in; `ALL_PROJECTS` holds in every project.
        site: what holds beyond projects. An admin sees and manages everything; an auditor reads the audit log.
        scopes: what a token may be used for; all of them for a person.
        projects: the projects that a token is limited to; None for no limit.
        defaults: projects whose runs are seen otherwise than by the project when they say nothing themselves.
        run_id: the run that a share link opens.
        limited_to: a second principal who has to see a run, too: whoever views the site as somebody else.
        pseudonym: under which the account's runs are recorded where a policy has no names recorded; "" for none.
        viewed_by: who views the site as this principal, which may then change nothing; "" when it is really them.
    """

    name: str
    kind: Kind
    groups: frozenset[str] = frozenset()
    roles: Mapping[str, Role] = field(default_factory=lambda: _NOTHING)
    site: frozenset[SiteRole] = frozenset()
    scopes: frozenset[Scope] = ALL_SCOPES
    projects: frozenset[str] | None = None
    defaults: Mapping[str, Visibility] = field(default_factory=lambda: _NOTHING)
    run_id: Any = None
    limited_to: Principal | None = None
    viewed_by: str = ""
    pseudonym: str = ""

    @property
    def is_signed_in(self) -> bool:
        return self.kind in ("local", "person", "token")

    @property
    def sees_everything(self) -> bool:
        """Whether no filter is needed at all."""
        return self.kind == "local" or (
            "admin" in self.site and self.projects is None and "read" in self.scopes and self.limited_to is None
        )

    @property
    def sees_runs(self) -> bool:
        """Whether there may be any run to see. An auditor without a role reads the log and nothing else."""
        if self.kind == "share":
            return self.run_id is not None
        if not self.is_signed_in or "read" not in self.scopes:
            return False
        return "auditor" not in self.site or "admin" in self.site or bool(self.roles)

    @property
    def owner_names(self) -> tuple[str, ...]:
        """What runs of this account say of their owner. An account that is called like a pseudonym owns none by it."""
        return tuple(name for name in (self.name if not is_pseudonym(self.name) else "", self.pseudonym) if name)

    def owns(self, run: Owned) -> bool:
        """Whether a run says that it is this account's."""
        return run.owner in self.owner_names

    def role_in(self, project: str) -> Role | None:
        """The role in this project; an admin of the site is admin in each. None: no part in it."""
        if self.projects is not None and project not in self.projects:
            return None
        if self.kind == "local" or "admin" in self.site:
            return "admin"
        return highest_role(self.roles.get(project), self.roles.get(ALL_PROJECTS))

    def may(self, right: Right, project: str | None = None, run: RunRecord | None = None) -> bool:
        """Whether this is allowed, of a project or of a run; without either, whether it is allowed anywhere at all.

        "see" a run or a project's runs; "edit" what is written beside a run (name, tags, notes); "delete" a run;
        "manage" who sees a run, or a project's members and settings; "site": accounts, groups, policy; "audit": reading
        the audit log.
        """
        if right == "see":
            return self._may_see(project, run)
        if not self.is_signed_in:
            return False
        if right == "audit":  # looking as an auditor is for those alone who see everything anyway
            return self.limited_to is None and self.projects is None and "read" in self.scopes and bool(self.site)
        if self.viewed_by:
            return False
        if right == "site":
            return self._is_site("admin") and "admin" in self.scopes and self.projects is None
        return self._may_change(right, project, run)

    def _may_see(self, project: str | None, run: RunRecord | None) -> bool:
        if run is not None:
            from .visibility import sees

            return sees(self, run)
        if project is not None and self.projects is not None and project not in self.projects:
            return False
        return self.sees_runs and (project is None or self.role_in(project) is not None)

    def _may_change(self, right: Right, project: str | None, run: RunRecord | None) -> bool:
        if not self.scopes & ({"admin", "record"} if right == "edit" else {"admin"}):
            return False
        if run is None:
            least = "editor" if right == "edit" else "admin"
            return any(_is_at_least(role, least) for role in self._roles_in(project))
        if not self._may_see(None, run):
            return False
        return self.owns(run) or _is_at_least(self.role_in(run.project), "editor" if right == "edit" else "admin")

    def _roles_in(self, project: str | None) -> list[Role | None]:
        """The role in this project, or in each where there may be one."""
        if project is not None:
            return [self.role_in(project)]
        if self.projects is not None:
            return [self.role_in(each) for each in self.projects]
        return [self.role_in(ALL_PROJECTS), *self.roles.values()]

    def _is_site(self, role: SiteRole) -> bool:
        return self.kind == "local" or role in self.site

    def looking_as(self, other: Principal) -> Principal:
        """The site as `other` has it, for `self` to look at: nothing can be changed, and nothing is seen that `self`
        may not see anyway."""
        limit = None if self.sees_everything else self
        return replace(other, limited_to=limit, viewed_by=self.name or "local")


LOCAL = Principal("", "local", site=frozenset({"admin", "auditor"}))
NOBODY = Principal("", "nobody", scopes=frozenset())


def highest_role(*roles: Role | None) -> Role | None:
    given = [role for role in roles if role is not None]
    return max(given, key=ROLES.index, default=None)


def _is_at_least(role: Role | None, least: str) -> bool:
    return role is not None and ROLES.index(role) >= [*ROLES].index(least)  # type: ignore[arg-type]
