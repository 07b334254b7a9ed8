"""Rows of the fault table: the disk under the journal is full or read-only."""

from __future__ import annotations

import time

from .comparing import Outcome, compare
from .places import NOWHERE, Workplace
from .small_disks import fill, put_all_on, small_disk

RATE = 2000
DISK_KB = 4096
LEFT_KB = 300  # of the disk: full after some thousand steps


def one_disk_full(work: Workplace, *, times: int, with_database: bool) -> Outcome:
    """The disk of the data folder fills up; the temporary folder is on another."""
    outcome = Outcome()
    for _ in work.rounds(times):
        with work.place(uri=None if with_database else NOWHERE) as place, small_disk(place.home, DISK_KB):
            place.environment["CLOISTER_EXIT_WAIT"] = "20" if with_database else "1"
            fill(place.home, LEFT_KB)
            training = place.start(steps=2 * RATE, rate=RATE, line_every=10)
            training.wait()
            (place.home / "ballast").unlink()
            place.move_to_server()
            outcome.complain_if((synced := place.sync()).returncode, f"sync failed: {synced.stderr[-300:]}")
            place.wait_until_shipped()
            outcome += compare(place, training)
    return outcome


def all_disks_full(work: Workplace, *, times: int, with_database: bool, space_comes_back: bool) -> Outcome:
    """All folders that a journal may be in fill up, and may get space again while the training goes on.

    With the database nothing may be lost: what finds no disk goes there directly. Without it memory holds so much, and
    what that does not hold is lost and counted, exactly.
    """
    outcome = Outcome()
    for _ in work.rounds(times):
        with work.place(uri=None if with_database else NOWHERE) as place:
            disk = place.folder / "disk"
            with small_disk(disk, DISK_KB):
                put_all_on(place, disk)
                place.environment["CLOISTER_EXIT_WAIT"] = "20" if with_database else "1"
                training = place.start(until_told=True, rate=RATE, line_every=10)
                training.wait_for_steps(RATE // 2)
                ballast = fill(disk, LEFT_KB // 3)
                training.wait_for_steps(3 * RATE)
                if space_comes_back:
                    ballast.unlink()
                    training.wait_for_steps(4 * RATE)
                    time.sleep(1.0)
                training.tally.tell_to_end()
                training.wait()
                ballast.unlink(missing_ok=True)
                place.move_to_server()
                outcome.complain_if((synced := place.sync()).returncode, f"sync failed: {synced.stderr[-300:]}")
                place.wait_until_shipped()
                outcome += compare(place, training, allow_counted=not with_database)
    return outcome


def read_only_home(work: Workplace, *, times: int) -> Outcome:
    """The data folder is on a disk that cannot be written: the journal goes to the temporary folder."""
    outcome = Outcome()
    for _ in work.rounds(times):
        with work.place() as place, small_disk(place.home, DISK_KB, read_only=True):
            training = place.start(steps=RATE, rate=RATE, line_every=10)
            training.wait()
            said = training.err.read_text()
            outcome.complain_if(str(place.temporary) not in said, f"it did not say where the run is kept: {said!r}")
            place.wait_until_shipped()
            outcome += compare(place, training)
    return outcome
