"""Rows of the fault table: bytes of a waiting journal are flipped, cut off, or forgotten by the disk."""

from __future__ import annotations

import shutil
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bson
import numpy as np

from .comparing import Accepted, Outcome, compare, compare_points, note_counted, only_run
from .places import NOWHERE, Place, Training, Workplace

STEPS = 400
SYNC_SECONDS = 1.0  # docs/recording.md: records are forced to the disk every second


@dataclass(frozen=True)
class Record:
    """A record of a segment as a BSON reader that knows nothing of us sees it."""

    start: int
    end: int
    fields: dict[str, Any]

    @property
    def steps(self) -> list[int]:
        return [self.fields["s"]] if self.fields["k"] == "points" else []


def read_segment(path: Path) -> list[Record]:
    data, records, start = path.read_bytes(), [], 0
    while start < len(data):
        (length,) = struct.unpack_from("<i", data, start)
        records.append(Record(start, start + length, bson.decode(data[start : start + length])))
        start += length
    return records


def bytes_flipped(work: Workplace, *, times: int, in_header: bool) -> Outcome:
    """One byte of a waiting journal is another: its record is lost and counted, every other one is stored."""

    def flip(path: Path, records: list[Record]) -> list[Record]:
        bound = records[0].end if in_header else records[-1].end
        place = work.chooser.randrange(0 if in_header else records[0].end, bound)
        data = bytearray(path.read_bytes())
        data[place] ^= work.chooser.randrange(1, 256)
        path.write_bytes(data)
        return [record for record in records if record.start <= place < record.end]

    return _damage(work, times, flip, has_end=True)


def tails_cut(work: Workplace, *, times: int) -> Outcome:
    """A waiting journal ends anywhere: every record in front of it is stored."""

    def cut(path: Path, records: list[Record]) -> list[Record]:
        place = work.chooser.randrange(records[0].end, records[-1].end)
        with path.open("r+b") as file:
            file.truncate(place)
        return [record for record in records if record.end > place]

    return _damage(work, times, cut, has_end=False)


def _damage(
    work: Workplace, times: int, damage: Callable[[Path, list[Record]], list[Record]], *, has_end: bool
) -> Outcome:
    outcome = Outcome()
    with _waiting_journal(work) as (original, training):
        for _ in work.rounds(times):
            with work.place() as place:
                shutil.copytree(original, place.journals / original.name)
                [path] = (place.journals / original.name).glob("*.journal")
                damaged = damage(path, read_segment(path))
                synced = place.sync()
                outcome.complain_if("Traceback" in synced.stderr, f"sync failed: {synced.stderr[-300:]}")
                outcome += _compare_damaged(place, training, damaged, counts=has_end)
    return outcome


@contextmanager
def _waiting_journal(work: Workplace) -> Iterator[tuple[Path, Training]]:
    """The folder of a run that has ended and is not shipped, and its training."""
    with work.place(uri=NOWHERE) as place:
        place.environment["CLOISTER_EXIT_WAIT"] = "0"
        training = place.start(steps=STEPS, line_every=4)
        training.wait()
        place.kill_couriers()
        [folder] = {path.parent for path in place.waiting()}
        yield folder, training


def _compare_damaged(place: Place, training: Training, damaged: list[Record], *, counts: bool) -> Outcome:
    """Only what was damaged may be missing, and nothing may be wrong."""
    gone = [step for record in damaged for step in record.steps]
    outcome = Outcome(times=1, accepted=2 * len(gone))
    with place.store() as store:
        run = only_run(outcome, store)
        if run is None:
            outcome.complaints.append(f"nothing is stored after damage to {damaged[0].fields['k']}")
            return outcome
        kept = np.setdiff1d(np.arange(STEPS), np.asarray(gone, dtype=np.int64))
        lost = compare_points(outcome, store, run, [Accepted(kept, np.empty(0, np.int64))])
        outcome.complain_if(lost, f"{lost} undamaged points lost")
        outcome.lost += 2 * len(gone)
        note_counted(outcome, run)
        if counts:  # nobody can know what followed a cut
            outcome.complain_if(
                not any(run.lost.values()), f"the damage to {damaged[0].fields['k']} is not counted in the run"
            )
            told = run.lost.get("points", 0)
            outcome.complain_if(told not in (0, 2 * len(gone)), f"counted {run.lost} for {len(gone)} steps")
    return outcome


def unsynced_forgotten(work: Workplace, *, times: int, rate: int) -> Outcome:
    """Power fails: of every segment only that is left which the disk was told to keep. At most a second is lost."""
    outcome = Outcome()
    for _ in work.rounds(times):
        with work.place(uri=NOWHERE) as place:
            notes = place.folder / "syncs"
            training = place.start(until_told=True, rate=rate, line_every=max(1, rate // 20), note_syncs=str(notes))
            training.wait_for_steps(1)
            time.sleep(work.chooser.uniform(1.2, 3.2))
            accepted = training.tally.steps
            place.kill_all(training)
            _forget_unsynced(place, notes)
            place.move_to_server()
            outcome.complain_if((synced := place.sync()).returncode, f"sync failed: {synced.stderr[-300:]}")
            outcome += _compare_forgotten(work, place, training, accepted, rate)
    return outcome


def _forget_unsynced(place: Place, notes: Path) -> None:
    kept = dict.fromkeys(place.waiting(), 0)
    for line in notes.read_text().splitlines() if notes.exists() else ():
        size, _, path = line.partition(" ")
        kept[Path(path)] = int(size)
    for path, size in kept.items():
        if path.suffix == ".journal":
            with path.open("r+b") as file:
                file.truncate(size)


def _compare_forgotten(work: Workplace, place: Place, training: Training, accepted: int, rate: int) -> Outcome:
    outcome = Outcome(times=1)
    with place.store() as store:
        run = only_run(outcome, store)
        if run is None:
            return outcome
        stored = len(store.load_points(run.id, "loss"))
        outcome.accepted, outcome.stored = 2 * training.tally.steps, 2 * stored
        outcome.lost = outcome.accepted - outcome.stored
        seconds = (accepted - stored) / rate
        outcome.remarks.append(f"{seconds:.2f} s forgotten")
        # The thread that syncs waits a second after each time, which itself takes a moment.
        limit = (SYNC_SECONDS + 0.1) * work.patience
        outcome.complain_if(seconds > limit, f"{seconds:.2f} s were not yet on the disk")
        rest = compare(place, training, whole=False)
        outcome.complaints += [complaint for complaint in rest.complaints if not complaint.endswith(" lost")]
    return outcome
