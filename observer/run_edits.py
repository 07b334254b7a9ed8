"""What people change in runs that are stored: name, tags, notes, archived or not, the project they belong to."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from .errors import CloisterError
from .foreign_runs import is_foreign
from .mongo import stored_for_good
from .run_events import new_event, pushing
from .run_record import (
    ARCHIVED_AT,
    ARCHIVED_BY,
    EDITED,
    NAME,
    NOTES,
    OMNIBOARD_NOTES,
    OMNIBOARD_TAGS,
    PROJECT,
    TAGS,
    UID,
    UPDATED_AT,
    VERSION,
    RunId,
    RunRecord,
    read_run,
)
from .runs import RunNotFound

if TYPE_CHECKING:
    from pymongo.database import Database

    from .runs import RunStore

NAME_LENGTH = 500
TAG_LENGTH = 200
TAGS_LIMIT = 100
NOTES_LENGTH = 100_000
PROJECT_LENGTH = 200

Change = tuple[Any, Any]  # before, after


class BadEdit(CloisterError, ValueError):
    """A run is to be changed into something that no run can be."""


class MayNotMove(CloisterError, ValueError):
    """A run cannot be moved out of its project."""

    status = 409

    def __init__(self, run: RunRecord) -> None:
        super().__init__(
            f"Run {run.name!r} has parts that are encrypted with the key of project {run.project!r}. It stays there: "
            "whoever destroys that key must know what is lost with it."
        )


class EditedMeanwhile(CloisterError, ValueError):
    """A run is to be changed by somebody who saw it as it is not any more."""

    status = 412

    def __init__(self, run: RunRecord, field_name: str) -> None:
        who = str((run.edited.get(field_name) or {}).get("by") or "") or "somebody"
        super().__init__(
            f"The {field_name} of run {run.name!r} changed meanwhile, by {who}. Look at what stands there before you "
            "replace it."
        )


@dataclass(frozen=True)
class RunEdit:
    """What an edit has changed.

    Attributes:
        run: as it is now.
        changes: by field ("name", "tags", "notes"), before and after; empty where nothing is different.
    """

    run: RunRecord
    changes: dict[str, Change] = field(default_factory=dict)


def edit_run(
    store: RunStore,
    run_id: RunId,
    *,
    by: str,
    name: str | None = None,
    tags: Iterable[str] | None = None,
    notes: str | None = None,
    expected: Mapping[str, Any] | None = None,
) -> RunEdit:
    """Change what people say of a run. What is None stays. A training that goes on does not change it back.

    Args:
        expected: what the editor started from, by field; what is not so any more is not replaced.

    Raises:
        RunNotFound: there is none that the store's reader sees.
        BadEdit: an empty name, too many tags, a text that is too long.
        EditedMeanwhile: something is not as `expected`.
    """
    wanted: dict[str, Any] = {}
    if name is not None:
        wanted["name"] = checked_name(name)
    if tags is not None:
        wanted["tags"] = checked_tags(tags)
    if notes is not None:
        wanted["notes"] = _checked_notes(notes)
    known = {key: tuple(value) if key == "tags" else value for key, value in (expected or {}).items()}

    def checked(run: RunRecord) -> dict[str, Any]:
        for key, value in known.items():
            if getattr(run, key) != value:
                raise EditedMeanwhile(run, key)
        return wanted

    return _change(store, run_id, by, checked)


def change_tags(
    store: RunStore, run_id: RunId, *, by: str, add: Iterable[str] = (), remove: Iterable[str] = ()
) -> RunEdit:
    """Add some tags to a run and take others away; raises as `edit_run`."""
    added, removed = checked_tags(add), set(checked_tags(remove))

    def wanted(run: RunRecord) -> dict[str, Any]:
        kept = [tag for tag in run.tags if tag not in removed]
        return {"tags": checked_tags((*kept, *(tag for tag in added if tag not in removed)))}

    return _change(store, run_id, by, wanted)


def _change(store: RunStore, run_id: RunId, by: str, wanted: Callable[[RunRecord], Mapping[str, Any]]) -> RunEdit:
    runs = stored_for_good(store.database)["runs"]
    while True:
        document = runs.find_one({"_id": {"$eq": run_id}}, {"captured_out": 0, "info": 0})
        if document is None:
            raise RunNotFound(run_id)
        run = read_run(document)
        changes = {key: (getattr(run, key), value) for key, value in wanted(run).items() if getattr(run, key) != value}
        if not changes:
            return RunEdit(run)
        update = _update_of({key: after for key, (_, after) in changes.items()}, by)
        # Two people may edit at once: whoever comes second starts from what the first one left.
        unchanged = {EDITED: (document.get("cloister") or {}).get("edited")}
        event = new_event("edited", ", ".join(changes), by)
        if _apply(runs, document, unchanged, update, event):
            return RunEdit(store.load_run(run_id), changes)


def _update_of(changed: Mapping[str, Any], by: str) -> dict[str, Any]:
    moment = datetime.now(timezone.utc)
    fields: dict[str, Any] = {}
    for key, value in changed.items():
        for path in _PLACES[key]:
            fields[path] = list(value) if isinstance(value, tuple) else value
        fields[f"{EDITED}.{key}"] = {"at": moment, "by": by}
    return fields


# Where each is stored: for us, and for Omniboard and all that read runs as it does.
_PLACES = {"name": (NAME,), "tags": (TAGS, OMNIBOARD_TAGS), "notes": (NOTES, OMNIBOARD_NOTES), "project": (PROJECT,)}


def _apply(
    runs: Any,
    document: Mapping[str, Any],
    condition: Mapping[str, Any],
    fields: Mapping[str, Any],
    event: Mapping[str, Any],
) -> bool:
    """Set `fields` and note `event`, unless the run is not any more what `document` says.

    The version moves on: a courier whose batch was made from the one before reads what people have changed first.
    """
    update: dict[str, Any] = {"$set": dict(fields), **pushing(event)}
    query = {"_id": {"$eq": document["_id"]}, **condition}
    if not is_foreign(document):  # what nothing of ours records has neither: readers tell Sacred's runs by that
        update |= {"$inc": {VERSION: 1}, "$currentDate": {UPDATED_AT: True}}
        query[UID] = document["cloister"]["uid"]
    return bool(runs.update_one(query, update).matched_count)


def archive_runs(store: RunStore, run_ids: Sequence[RunId], by: str, archived: bool = True) -> tuple[RunId, ...]:
    """Take runs out of the lists of what people work on, or put them back. They stay readable by their address.

    Returns:
        Those that were not archived, or archived, already.

    Raises:
        RunNotFound: one is not there for the store's reader; then nothing is changed.
    """
    _require_all(store, run_ids)
    runs = stored_for_good(store.database)["runs"]
    moment = datetime.now(timezone.utc)
    change: dict[str, Any] = (
        {"$set": {ARCHIVED_AT: moment, ARCHIVED_BY: by}} if archived else {"$unset": {ARCHIVED_AT: "", ARCHIVED_BY: ""}}
    )
    update = {**change, **pushing(new_event("archived", "" if archived else "back in the lists", by, moment))}
    before = {ARCHIVED_AT: None if archived else {"$ne": None}}
    changed = []
    for run_id in run_ids:
        if runs.update_one({"_id": {"$eq": run_id}, **before}, update).matched_count:
            changed.append(run_id)
            touch(runs, run_id)
    return tuple(changed)


def touch(runs: Any, run_id: RunId) -> None:
    """Say that a run has changed, where runs say that."""
    runs.update_one({"_id": {"$eq": run_id}, UID: {"$type": "string"}}, {"$currentDate": {UPDATED_AT: True}})


def move_runs(store: RunStore, run_ids: Sequence[RunId], project: str, by: str) -> tuple[RunId, ...]:
    """Have runs belong to another project, which is made where there is none.

    Returns:
        Those that were in another one.

    Raises:
        RunNotFound, RunHeld, MayNotMove, BadEdit: one is not there, under legal hold or encrypted, or the project's
            name cannot be one; then nothing is changed.
    """
    from .access.seen_database import unfiltered
    from .project_aliases import add_project, refuse_alias

    name = checked_project(project)
    database = unfiltered(store.database)
    refuse_alias(database, name)
    documents = [_movable(store, run_id) for run_id in run_ids]
    add_project(database, name)
    runs = stored_for_good(database)["runs"]
    changed = []
    for document in documents:
        before = read_run(document).project
        event = new_event("moved", f"from {before} to {name}", by)
        if before != name and _apply(runs, document, {}, _update_of({"project": name}, by), event):
            changed.append(document["_id"])
    return tuple(changed)


def _movable(store: RunStore, run_id: RunId) -> dict[str, Any]:
    from .retention.holds import refuse_held

    document = store.database["runs"].find_one({"_id": {"$eq": run_id}}, {"captured_out": 0, "info": 0})
    if document is None:
        raise RunNotFound(run_id)
    refuse_held(store.database, document)
    if (document.get("cloister") or {}).get("encryption", {}).get("key") is not None:
        raise MayNotMove(read_run(document))
    return dict(document)


def rename_project(store: RunStore, old: str, new: str, by: str) -> int:
    """Give a project another name; returns how many runs it has. See project_renaming.py."""
    from .project_renaming import rename

    return rename(_whole(store), old, checked_project(new), by)


def _whole(store: RunStore) -> Database[dict[str, Any]]:
    from .access.seen_database import unfiltered

    return unfiltered(store.database)


def _require_all(store: RunStore, run_ids: Sequence[RunId]) -> None:
    for run_id in run_ids:
        if store.database["runs"].find_one({"_id": {"$eq": run_id}}, {"_id": 1}) is None:
            raise RunNotFound(run_id)


def checked_name(name: str) -> str:
    """A name for a run; raises `BadEdit` otherwise."""
    kept = name.strip()
    if not kept or len(kept) > NAME_LENGTH or not kept.isprintable():
        raise BadEdit(f"A run cannot be called {_shown(name)}. A name has 1 to {NAME_LENGTH} characters, in one line.")
    return kept


def checked_tags(tags: Iterable[str]) -> tuple[str, ...]:
    """Tags without those that stand there twice; raises `BadEdit` where one is none."""
    kept = tuple(dict.fromkeys(tag.strip() for tag in tags))
    if len(kept) > TAGS_LIMIT:
        raise BadEdit(f"{len(kept)} tags are too many for a run, {TAGS_LIMIT} the most.")
    for tag in kept:
        if not tag or len(tag) > TAG_LENGTH or not tag.isprintable():
            raise BadEdit(f"{_shown(tag)} is no tag. A tag has 1 to {TAG_LENGTH} characters, in one line.")
    return kept


def checked_project(name: str) -> str:
    """A name for a project; raises `BadEdit` otherwise."""
    kept = name.strip()
    if not kept or len(kept) > PROJECT_LENGTH or not kept.isprintable() or kept in ("*", ".", ".."):
        raise BadEdit(
            f"A project cannot be called {_shown(name)}. A name has 1 to {PROJECT_LENGTH} characters, in one line."
        )
    return kept


def _checked_notes(notes: str) -> str:
    if len(notes) > NOTES_LENGTH or "\0" in notes:
        raise BadEdit(f"Notes of {len(notes):,} characters are too long for a run, {NOTES_LENGTH:,} the most.")
    return notes


def _shown(text: str) -> str:
    return repr(text) if len(repr(text)) <= 80 else repr(text)[:77] + "..."
