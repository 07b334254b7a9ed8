"""Rows of the fault table: a large file's way into the database is cut by `kill -9`."""

from __future__ import annotations

import time

from recorded_script import wait_for

from .comparing import Outcome, compare
from .places import Place, Workplace

MEGABYTE = 1024 * 1024
TRIES = 400


def courier_killed_at_file(work: Workplace, *, times: int, size_mb: int) -> Outcome:
    """The courier is killed again and again while it stores a file; no half file is ever listed, none is left."""
    outcome = Outcome()
    kills = 0
    with work.place() as place:
        place.environment["CLOISTER_EXIT_WAIT"] = str(60 + times * 3)
        training = place.start("saving.py", files=1, size=size_mb * MEGABYTE)
        wait_for(lambda: training.tally.files or training.process.poll() is not None, "the file is logged", 120)
        for number in work.rounds(times):
            wait_for(lambda: place.couriers() or training.process.poll() is not None, "a courier is at work")
            if training.process.poll() is not None:
                break
            time.sleep(work.chooser.uniform(0.0, 1.2))
            kills += place.kill_couriers()
            _look_for_half_files(outcome, place, f"kill {number}")
        training.wait(120 + times * 3)
        place.sync()
        place.wait_until_shipped()
        outcome += compare(place, training)
        outcome.times = kills
        _look_for_half_files(outcome, place, "the end", orphans=True)
    return outcome


def trainer_killed_at_file(work: Workplace, *, times: int, size_mb: int) -> Outcome:
    """The training and its courier are killed while files are logged: those that were accepted are whole, no others."""
    outcome = Outcome()
    for _ in work.rounds(times):
        with work.place() as place:
            training = place.start("saving.py", files=1000, size=size_mb * MEGABYTE)
            training.wait_for_steps(1)
            time.sleep(work.chooser.uniform(0.0, 1.5))
            place.kill_all(training)
            place.sync()
            place.wait_until_shipped()
            outcome += compare(place, training, whole=False)
            _look_for_half_files(outcome, place, "sync", orphans=True)
    return outcome


def _look_for_half_files(outcome: Outcome, place: Place, when: str, *, orphans: bool = False) -> None:
    """Complain of files that are listed without all of their bytes and, if asked, of bytes of no file."""
    with place.store() as store:
        lengths = {file["_id"]: file["length"] for file in store.database["fs.files"].find({}, {"length": 1})}
        sizes = {
            group["_id"]: group["size"]
            for group in store.database["fs.chunks"].aggregate(
                [{"$group": {"_id": "$files_id", "size": {"$sum": {"$binarySize": "$data"}}}}]
            )
        }
    half = [file for file, length in lengths.items() if sizes.get(file, 0) != length]
    outcome.complain_if(half, f"{len(half)} files are listed half after {when}")
    left = [file for file in sizes if file not in lengths]
    outcome.complain_if(orphans and left, f"{len(left)} files' bytes are left of cut uploads after {when}")
