"""Deleting, bringing back, purging and holding runs, for pages and the REST API alike: checked, noted, then done."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flask import current_app

from ..observer.access.seen_database import unfiltered
from ..observer.access.visibility import visible_runs
from ..observer.errors import CloisterError
from ..observer.retention import trash
from ..observer.retention.errors import NotInTrash, RunHeld
from ..observer.retention.holds import hold_project, hold_run, lift_project, lift_run, refuse_held
from ..observer.retention.purge import begin_purging, finish_purging
from ..observer.retention.rules import Rules, load_rules
from ..observer.retention.trash import TrashedRun
from .accounts.current import current_principal
from .audit_notes import note
from .retention_keeper import KEEPER
from .run_keys import shown_id
from .store_access import current_store

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pymongo.database import Database

    from ..observer.run_record import RunId, RunRecord


class MayNotDelete(CloisterError, ValueError):
    """A run can be seen by whoever wants to delete it, and no more."""

    status = 403

    def __init__(self, run: RunRecord) -> None:
        super().__init__(f"Only its owner, or an admin of {run.project}, can delete run {run.name!r}.")


class MayNotHold(CloisterError, ValueError):
    """A legal hold is to be set or lifted by somebody whom it is to bind, too."""

    status = 403

    def __init__(self, run: RunRecord) -> None:
        super().__init__(f"Only an admin of {run.project} can set or lift a legal hold on run {run.name!r}.")


def whole_database() -> Database[dict[str, Any]]:
    """The database of this request, with all its runs: what is not read on behalf of whoever asks."""
    return unfiltered(current_store().database)


def acting_name() -> str:
    """Who acts, as tombstones and reports have it."""
    principal = current_principal()
    return principal.name or principal.kind


def trash_days(project: str, rules: Rules | None = None) -> float:
    """How long a deleted run of this project can be brought back."""
    return (rules or load_rules(whole_database())).days(project, "trash") or 0.0


def deletable_runs(run_ids: Sequence[RunId]) -> list[RunRecord]:
    """Those of the runs that whoever asks may delete.

    Raises:
        RunNotFound: one is not there, or not for them.
        MayNotDelete: one is not theirs to delete.
    """
    runs = [current_store().load_run(run_id) for run_id in run_ids]
    for run in runs:
        if not current_principal().may("delete", run=run):
            raise MayNotDelete(run)
    return runs


def delete_runs(run_ids: Sequence[RunId]) -> list[RunRecord]:
    """Move runs into the trash; raises as `deletable_runs` and `move_to_trash` do, before anything is done.

    Raises:
        RunHeld: a legal hold lies on one of them; then none is deleted.
    """
    database = whole_database()
    runs = deletable_runs(run_ids)
    for run in runs:
        document = database["runs"].find_one({"_id": {"$eq": run.id}}, {"cloister": 1, "experiment.name": 1})
        if document is not None:
            refuse_held(database, document)
    rules = load_rules(database)
    for run in runs:
        note("run-deleted", target=f"run {shown_id(run.id)}", project=run.project, name=run.name)
        trash.move_to_trash(database, run.id, by=acting_name(), trash_days=trash_days(run.project, rules))
    return runs


def find_trashed(run_id: RunId) -> TrashedRun:
    """A run in the trash that whoever asks may see.

    Raises:
        NotInTrash: it is not there, or not for them.
    """
    return trash.find_trashed(whole_database(), run_id, visible_runs(current_principal()))


def list_trashed() -> list[TrashedRun]:
    """The runs in the trash that whoever asks may see."""
    return trash.list_trash(whole_database(), visible_runs(current_principal()))


def restore_run(run_id: RunId) -> RunRecord:
    """Bring a run back.

    Raises:
        NotInTrash, MayNotDelete: it is not there, or not theirs to bring back.
        IdTaken: another run has its id.
    """
    run = _own(find_trashed(run_id)).run
    note("run-restored", target=f"run {shown_id(run.id)}", project=run.project, name=run.name)
    return trash.restore(whole_database(), run.id)


def purge_run(run_id: RunId) -> TrashedRun:
    """Have a run in the trash deleted for good; a large one takes longer than a request may.

    Raises:
        NotInTrash, MayNotDelete: it is not there, or not theirs to purge.
        RunHeld: a legal hold lies on it.
    """
    trashed = _own(find_trashed(run_id))
    run, database = trashed.run, whole_database()
    if trashed.is_held:
        raise RunHeld(run.id, "", None, "run or its project")
    note("purged", target=f"run {shown_id(run.id)}", project=run.project, name=run.name)
    tombstone = begin_purging(database, run.id, by=acting_name())
    keeper = current_app.extensions.get(KEEPER)
    if keeper is None:  # another server's process: what it does not finish in time, the next start does
        finish_purging(database, tombstone)
    else:
        keeper.wake()
    return trashed


def set_run_hold(run: RunRecord, reason: str | None) -> None:
    """Put a run under legal hold, or take the hold off where there is no reason any more.

    Raises:
        MayNotHold: who asks does not manage the project. A run's owner is bound by a hold like everybody else.
    """
    if not current_principal().may("manage", project=run.project):
        raise MayNotHold(run)
    action = "hold-lifted" if reason is None else "hold-set"
    details = {} if reason is None else {"reason": reason}
    note(action, target=f"run {shown_id(run.id)}", project=run.project, **details)
    if reason is None:
        lift_run(whole_database(), run.id)
    else:
        hold_run(whole_database(), run.id, by=acting_name(), reason=reason)


def set_project_hold(project: str, reason: str | None) -> None:
    """The same for all runs of a project, later ones too."""
    action = "hold-lifted" if reason is None else "hold-set"
    details = {} if reason is None else {"reason": reason}
    note(action, target=f"project {project}", project=project, **details)
    if reason is None:
        lift_project(whole_database(), project)
    else:
        hold_project(whole_database(), project, by=acting_name(), reason=reason)


def _own(trashed: TrashedRun) -> TrashedRun:
    if not current_principal().may("delete", run=trashed.run):
        raise MayNotDelete(trashed.run)
    return trashed


__all__ = ["MayNotDelete", "NotInTrash", "delete_runs", "list_trashed", "purge_run", "restore_run"]
