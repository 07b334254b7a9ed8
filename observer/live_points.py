"""The points of a run that is being recorded: what the database has, and what so far only the journal has."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .errors import CloisterError
from .field_names import decode_field_name
from .journal_batches import decode_batch
from .journal_memory import JournalMemory
from .journal_segments import segment_number, segments_in
from .metric_stretches import join_points, load_many
from .metric_summary import SYSTEM_PREFIX
from .metric_tails import Stretch
from .points import Points

if TYPE_CHECKING:
    from .runs import RunStore

logger = logging.getLogger("cloister")

PATIENCE_SECONDS = 2.0  # for the courier, which ships three times a second; then its work is done here


@dataclass(frozen=True)
class LiveRun:
    """A run as its own process knows it.

    Attributes:
        folders, memory: where its journal is.
        open_store: connects to the database.
        wake_courier: asks for what is there to be shipped now.
        is_unreachable: whether the database is known to be away.
    """

    uid: str
    folders: Sequence[Path]
    memory: JournalMemory
    open_store: Callable[[], RunStore]
    wake_courier: Callable[[], None]
    is_unreachable: Callable[[], bool]


def load_live(run: LiveRun, names: Collection[str] | None) -> dict[str, Points]:
    """Every point that was logged before the call, by metric, exactly and once.

    Waits for the courier for a moment; what it has not shipped then is read from the journal. Without a database that
    is all there is, and a warning says so.

    Args:
        names: which metrics; None for all but hardware metrics. Those that the run does not have are left out.
    """
    from pymongo.errors import PyMongoError

    try:
        if not run.is_unreachable():
            with run.open_store() as store:
                return _load_both(run, store, names)
        reason: object = "it did not when the courier last asked"
    except (PyMongoError, CloisterError, OSError) as error:
        reason = error
    logger.warning("The database does not answer (%s). Only what the journal still holds is read.", reason)
    return _join(_read_journal(run, names))


def _load_both(run: LiveRun, store: RunStore, names: Collection[str] | None) -> dict[str, Points]:
    # What is in the journal is read before the database: a segment goes once the database has all of it.
    in_journal = {} if _wait_until_shipped(run, store) else _read_journal(run, names)
    record = store.find_run_by_uid(run.uid)
    if record is None:
        return _join(in_journal)
    wanted = {*record.summary, *in_journal} if names is None else set(names)
    stored = load_many(store.database, record.id, run.uid, wanted)
    return _join({name: [*stored.get(name, []), *in_journal.get(name, [])] for name in sorted(wanted)})


def _wait_until_shipped(run: LiveRun, store: RunStore) -> bool:
    """Whether what is in the journal now arrives in the database within a short time."""
    sizes = {segment.number: segment.size() for segment in run.memory.segments()}
    for path in segments_in(*run.folders):
        with contextlib.suppress(FileNotFoundError):  # shipped, and gone
            sizes[segment_number(path)] = path.stat().st_size
    deadline = time.monotonic() + PATIENCE_SECONDS
    while sizes:
        run.wake_courier()
        shipped = store.load_checkpoints(run.uid)
        sizes = {number: size for number, size in sizes.items() if shipped.get(number, 0) < size}
        if sizes and time.monotonic() >= deadline:
            return False
        if sizes:
            time.sleep(0.02)
    return True


def _read_journal(run: LiveRun, names: Collection[str] | None) -> dict[str, list[Stretch]]:
    """What the journal holds of these metrics, each point with its place in it."""
    found: dict[str, list[Stretch]] = {}
    for segment, data in _iter_segments(run):
        for encoded, columns in decode_batch(data).points.items():
            name = decode_field_name(encoded)
            if name in names if names is not None else not name.startswith(SYSTEM_PREFIX):
                points = Points(columns.steps, columns.values, columns.wall_times)
                found.setdefault(name, []).append(Stretch(segment, 0, points))
    return found


def _iter_segments(run: LiveRun) -> Iterator[tuple[int, bytes]]:
    # Memory first: what is written from it into a folder meanwhile is found there, under the same number.
    for segment in run.memory.segments():
        yield segment.number, segment.content()
    for path in segments_in(*run.folders):
        with contextlib.suppress(FileNotFoundError):  # shipped meanwhile: the database has it
            yield segment_number(path), path.read_bytes()


def _join(stretches: dict[str, list[Stretch]]) -> dict[str, Points]:
    return {name: join_points(parts) for name, parts in stretches.items() if parts}
