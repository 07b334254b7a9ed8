"""Editing, archiving, moving, stopping runs, one or many, for pages and the REST API alike: checked, noted, done."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..observer.errors import CloisterError
from ..observer.run_edits import (
    RunEdit,
    archive_runs,
    change_tags,
    checked_project,
    edit_run,
    move_runs,
)
from ..observer.stop_requests import request_stop
from .accounts.current import current_principal
from .audit_notes import note
from .run_deletion import acting_name, delete_runs, restore_run
from .run_keys import RunKey, run_key, shown_id
from .store_access import current_database, current_store, home_database

if TYPE_CHECKING:
    from ..observer.access.principal import Right
    from ..observer.run_record import RunId, RunRecord


class MayNotChange(CloisterError, ValueError):
    """A run can be seen by whoever wants to change it, and no more."""

    status = 403

    def __init__(self, run: RunRecord, right: Right) -> None:
        who = "an editor" if right == "edit" else "an admin"
        super().__init__(f"Only its owner, or {who} of {run.project}, can change run {run.name!r} so.")


class MayNotMoveThere(CloisterError, ValueError):
    """A run is to be moved into a project by somebody who may add nothing to it."""

    status = 403

    def __init__(self, project: str) -> None:
        super().__init__(f"Only an editor of {project} can move runs there.")


@dataclass(frozen=True)
class Outcome:
    """What an action came to for one run.

    Attributes:
        status: as HTTP has it: 200, or why not.
        detail: why not, in words.
    """

    run: RunKey
    status: int = 200
    detail: str = ""
    changed: bool = True


def change_run(run_id: RunId, changes: Mapping[str, Any], expected: Mapping[str, Any] | None = None) -> RunEdit:
    """Change name, tags or notes of a run; raises as `edit_run`.

    Raises:
        MayNotChange: whoever asks may look at it only.
    """
    run = _changeable(run_id, "edit")
    # What people write in notes is nobody's affair in the log; that they did is.
    said = {
        key: (f"{getattr(run, key)!r} to {value!r}"[:300] if key == "name" else "changed")
        for key, value in changes.items()
    }
    note("run-changed", target=_target(run), project=run.project, **said)
    return edit_run(current_store(), run_id, by=acting_name(), expected=expected, **changes)


def _changeable(run_id: RunId, right: Right) -> RunRecord:
    run = current_store().load_run(run_id)
    if not current_principal().may(right, run=run):
        raise MayNotChange(run, right)
    return run


def _archive(run_id: RunId, how: Mapping[str, Any], archived: bool = True) -> bool:
    run = _changeable(run_id, "edit")
    note("run-changed", target=_target(run), project=run.project, change="archived" if archived else "unarchived")
    return bool(archive_runs(current_store(), [run_id], acting_name(), archived))


def _unarchive(run_id: RunId, how: Mapping[str, Any]) -> bool:
    return _archive(run_id, how, archived=False)


def _move(run_id: RunId, how: Mapping[str, Any]) -> bool:
    run, project = _changeable(run_id, "manage"), checked_project(how["project"])
    if not current_principal().may("edit", project=project):
        raise MayNotMoveThere(project)
    note("run-changed", target=_target(run), project=run.project, change=f"moved to {project}")
    changed = move_runs(current_store(), [run_id], project, acting_name())
    place = {"run_id": run_id, "database": current_database().path}
    home_database()["shares"].update_many(place, {"$set": {"project": project}})
    return bool(changed)


def _trash(run_id: RunId, how: Mapping[str, Any]) -> bool:
    delete_runs([run_id])
    return True


def _restore(run_id: RunId, how: Mapping[str, Any]) -> bool:
    restore_run(run_id)
    return True


def _stop(run_id: RunId, how: Mapping[str, Any]) -> bool:
    run = _changeable(run_id, "edit")
    level = how.get("level", "interrupt")
    note("run-stopped", target=_target(run), project=run.project, level=level)
    request_stop(current_store(), run_id, by=acting_name(), level=level)
    return True


def _add_tags(run_id: RunId, how: Mapping[str, Any]) -> bool:
    return _change_tags(run_id, add=how["tags"])


def _remove_tags(run_id: RunId, how: Mapping[str, Any]) -> bool:
    return _change_tags(run_id, remove=how["tags"])


def _change_tags(run_id: RunId, add: Sequence[str] = (), remove: Sequence[str] = ()) -> bool:
    run = _changeable(run_id, "edit")
    said = {"tags_added": list(add), "tags_removed": list(remove)}
    details: dict[str, Any] = {key: tags for key, tags in said.items() if tags}
    note("run-changed", target=_target(run), project=run.project, **details)
    return bool(change_tags(current_store(), run_id, by=acting_name(), add=add, remove=remove).changes)


@dataclass(frozen=True)
class RunAction:
    """Something that can be done to many runs at once.

    Attributes:
        act: does it to one; says whether anything is different since.
        needs: which further entries the request must have.
    """

    act: Callable[[Any, Mapping[str, Any]], bool]
    needs: tuple[str, ...] = field(default=())


# A new action is a row.
RUN_ACTIONS: dict[str, RunAction] = {
    "archive": RunAction(_archive),
    "unarchive": RunAction(_unarchive),
    "move": RunAction(_move, ("project",)),
    "trash": RunAction(_trash),
    "restore": RunAction(_restore),
    "stop": RunAction(_stop),
    "add-tags": RunAction(_add_tags, ("tags",)),
    "remove-tags": RunAction(_remove_tags, ("tags",)),
}


def act_on_runs(action: str, run_ids: Sequence[RunId], how: Mapping[str, Any]) -> list[Outcome]:
    """Do `action` to each of these runs. One that cannot be changed does not keep the others from it."""
    return [_act(RUN_ACTIONS[action], run_id, how) for run_id in dict.fromkeys(run_ids)]


def _act(action: RunAction, run_id: RunId, how: Mapping[str, Any]) -> Outcome:
    try:
        return Outcome(run_key(run_id), changed=action.act(run_id, how))
    except CloisterError as error:  # what is wrong with this run alone; a database that is away is an error of all
        if isinstance(error, LookupError):
            return Outcome(run_key(run_id), 404, str(error), changed=False)
        if isinstance(error, ValueError):
            return Outcome(run_key(run_id), int(getattr(error, "status", 400)), str(error), changed=False)
        raise


def _target(run: RunRecord) -> str:
    return f"run {shown_id(run.id)}"
