"""When somebody else has shipped for the same run meanwhile: whether what was about to be applied still stands."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from .run_record import EDITED, JOURNAL, LOSSES, SUMMARY, SYSTEM_SUMMARY, UID, VERSION
from .run_sessions import RESUMED, SESSION, WORLD_SIZE
from .run_update import RunUpdate
from .stop_state import STOP

if TYPE_CHECKING:
    from pymongo.database import Database

_FIELDS_AT_ONCE = 200  # beyond that all summaries are read


def catch_up(
    database: Database[dict[str, Any]],
    run: dict[str, Any],
    update: RunUpdate,
    segments: Iterable[int],
    summaries: Iterable[str],
) -> bool:
    """Learn what others have written into the run's document.

    Ranks on several hosts have segments and metrics of their own: then nothing needs to be applied again.

    Args:
        run: as it was known when `update` was made; brought up to date if that still stands.
        segments: those that are applied here.
        summaries: fields of all metrics that are summed up here, also of those that `update` leaves alone: ranks that
            are merged have metrics in common, and the next batch would be summed up without the others' points.

    Returns:
        Whether `update` says the same, made from the newest document.
    """
    summaries = list(summaries)
    wanted = summaries if len(summaries) <= _FIELDS_AT_ONCE else [SUMMARY, SYSTEM_SUMMARY]
    fields = dict.fromkeys((VERSION, EDITED, STOP, JOURNAL, LOSSES, SESSION, RESUMED, WORLD_SIZE, *wanted), 1)
    fresh = database["runs"].find_one(named(run), fields)
    if fresh is None:
        return False
    touched = [LOSSES, SESSION, RESUMED, WORLD_SIZE, *summaries, *(f"{JOURNAL}.{segment:016x}" for segment in segments)]
    if any(_differ(_value(fresh, field), _value(run, field)) for field in touched):
        return False
    journal = fresh["cloister"]["journal"]
    if any(_offset(journal.get(segment)) < _offset(known) for segment, known in run["cloister"]["journal"].items()):
        return False  # a crash of the database took back what was read before it was safe
    run["cloister"]["version"] = fresh["cloister"].get("version")
    run["cloister"]["journal"].update(journal)
    run["cloister"]["edited"] = fresh["cloister"].get("edited")
    run["cloister"]["stop_requested"] = fresh["cloister"].get("stop_requested")
    return True


def _offset(checkpoint: Any) -> int:
    return int((checkpoint or {}).get("offset") or 0)


def named(run: Mapping[str, Any]) -> dict[str, Any]:
    """A condition that matches this run's document and no other.

    The number alone does not: a database that was set back (restored, or rolled back) gives it to another run.
    """
    return {"_id": run["_id"], UID: run["cloister"]["uid"]}


def remember(run: dict[str, Any], update: RunUpdate) -> None:
    """Bring `run` up to date with an update that was applied."""
    for field, value in update.fields.items():
        if is_summary(field) or field in (VERSION, LOSSES) or field.startswith(f"{JOURNAL}."):
            place = run
            *parents, last = field.split(".")
            for parent in parents:
                place = place.setdefault(parent, {})
            place[last] = value


def is_summary(field: str) -> bool:
    return field.startswith((f"{SUMMARY}.", f"{SYSTEM_SUMMARY}."))


def _value(document: Mapping[str, Any], field: str) -> Any:
    value: Any = document
    for name in field.split("."):
        value = value.get(name) if isinstance(value, Mapping) else None
    return value or None  # an empty dict or list says as much as none


def _differ(one: Any, other: Any) -> bool:
    from bson import encode

    return one != other and encode({"": one}) != encode({"": other})  # a NaN differs from itself, its bytes do not
