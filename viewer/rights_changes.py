"""Changes of rights, for pages and the REST API alike: checked, written into the audit log, then made."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, Any

from ..observer.access import groups as stored_groups
from ..observer.access.project_settings import (
    Member,
    load_settings_of,
    put_member,
    remove_member,
    set_default_visibility,
    set_members,
)
from ..observer.access.run_sharing import Sharing, parse_visibility, store_sharing, unknown_names
from ..observer.errors import CloisterError
from ..observer.runs import RunNotFound
from .audit_notes import note
from .run_keys import shown_id
from .store_access import current_store, home_database, served_databases

if TYPE_CHECKING:
    from ..observer.access.principal import Visibility
    from ..observer.run_record import RunRecord

PROJECT_DECIDES = "as its project"  # how the log names a run that says nothing of its own


class UnknownNames(CloisterError, ValueError):
    """Rights are to be given to somebody whom there is not."""

    def __init__(self, names: Collection[str]) -> None:
        listed = ", ".join(map(repr, sorted(names)[:10]))
        super().__init__(f"There is no account or group {listed}. An admin of the site can add it under Privacy.")


def change_sharing(run: RunRecord, sharing: Sharing) -> None:
    """Have `run` be seen so from now on.

    Raises:
        UnknownNames: it is to be shared with somebody new whom there is not.
        RunNotFound: it was deleted meanwhile.
    """
    if sharing.visibility:
        parse_visibility(sharing.visibility)
    _require_known(set(sharing.people) - set(run.shared_people), set(sharing.groups) - set(run.shared_groups))
    details: dict[str, Any] = {
        "before": run.visibility or PROJECT_DECIDES,
        "after": sharing.visibility or PROJECT_DECIDES,
        **_difference("people", run.shared_people, sharing.people),
        **_difference("groups", run.shared_groups, sharing.groups),
    }
    note("visibility-changed", target=f"run {shown_id(run.id)}", project=run.project, **details)
    if not store_sharing(current_store().database, run.id, sharing):
        raise RunNotFound(run.id)


def change_default_visibility(project: str, visibility: str) -> None:
    """Who sees those runs of the project that say nothing themselves."""
    after: Visibility = parse_visibility(visibility)
    before = load_settings_of(home_database(), project).visibility
    if before != after:
        note("rights-changed", target=f"project {project}", project=project, visibility=f"{before} to {after}")
    set_default_visibility(home_database(), project, after)


def change_member(project: str, member: Member) -> None:
    """Give a person or a group a role in the project, instead of the one that it has."""
    known = load_settings_of(home_database(), project).members
    before = next((each.role for each in known if (each.kind, each.name) == (member.kind, member.name)), "none")
    if before == "none":
        _require_known_members([member])
    target = f"{member.kind} {member.name}"
    note("rights-changed", target=target, project=project, role=f"{before} to {member.role}")
    put_member(home_database(), project, member)


def take_member(project: str, kind: str, name: str) -> None:
    """Take somebody's role in the project away."""
    known = load_settings_of(home_database(), project).members
    before = next((each.role for each in known if (each.kind, each.name) == (kind, name)), None)
    if before is not None:
        note("rights-changed", target=f"{kind} {name}", project=project, role=f"{before} to none")
        remove_member(home_database(), project, kind, name)


def change_members(project: str, members: Iterable[Member]) -> None:
    """Have exactly these members in the project."""
    before, after = load_settings_of(home_database(), project).members, tuple(members)
    _require_known_members([each for each in after if each not in before])
    note(
        "rights-changed",
        target=f"project {project}",
        project=project,
        **_difference("members", map(_words, before), map(_words, after)),
    )
    set_members(home_database(), project, after)


def add_group(name: str) -> stored_groups.Group:
    """A new group without people."""
    note("group-changed", target=f"group {name.strip()[:80]}", change="made")
    return stored_groups.add_group(home_database(), name)


def change_group(name: str, people: Iterable[str]) -> stored_groups.Group:
    """Have exactly these people in the group."""
    before = stored_groups.find_group(home_database(), name)
    after = tuple(dict.fromkeys(people))
    _require_known(set(after) - set(before.people), ())
    if not before.source:
        note("group-changed", target=f"group {name}", **_difference("people", before.people, after))
    return stored_groups.set_people(home_database(), name, after)


def remove_group(name: str) -> None:
    """Remove a group, with all that it had a right to."""
    group = stored_groups.find_group(home_database(), name)
    note("group-changed", target=f"group {group.name}", change="removed", people=list(group.people))
    stores = [served.access.get() for served in served_databases()]
    stored_groups.remove_group(home_database(), group.name, [store.database for store in stores])


def _require_known(people: Collection[str], groups: Collection[str]) -> None:
    unknown = unknown_names(home_database(), people, groups)
    if unknown:
        raise UnknownNames(unknown)


def _require_known_members(members: Iterable[Member]) -> None:
    chosen = list(members)
    _require_known(
        [each.name for each in chosen if each.kind == "person"], [each.name for each in chosen if each.kind == "group"]
    )


def _difference(what: str, before: Iterable[str], after: Iterable[str]) -> dict[str, Any]:
    """Which were added and which removed, as details of an audit entry."""
    old, new = set(before), set(after)
    found = {f"{what}_added": sorted(new - old), f"{what}_removed": sorted(old - new)}
    return {name: names for name, names in found.items() if names}


def _words(member: Member) -> str:
    return f"{member.kind} {member.name}: {member.role}"
