"""Trainings store the same bytes again and again while runs that have them are purged: no run ever loses its file."""

from __future__ import annotations

import contextlib
import random
import threading
from pathlib import Path

from cloister.observer.mongo import stored_for_good
from cloister.observer.retention.purge import list_purges, purge_run
from cloister.observer.retention.trash import move_to_trash
from cloister.observer.runs import RunNotFound, RunStore
from test_retention_purge import Keeper, keeper_of

WRITERS, EACH = 3, 8


def test_runs_that_store_the_same_bytes_while_others_are_purged_keep_them(store: RunStore, tmp_path: Path) -> None:
    database = stored_for_good(store.database)
    kept: list[Keeper] = []
    doomed: list[Keeper] = []
    stored, failures = threading.Event(), []
    fates = random.Random(7)

    def write(number: int) -> None:
        folder = tmp_path / f"host-{number}"
        folder.mkdir()
        try:
            for turn in range(EACH):
                keeper = keeper_of(database, folder)
                keeper.assert_kept(f"writer {number}, run {turn}")
                (doomed if fates.random() < 0.7 else kept).append(keeper)
        except BaseException as error:
            failures.append(error)

    def purge() -> None:
        try:
            while not stored.is_set() or doomed:
                with contextlib.suppress(IndexError, RunNotFound):
                    run_id = doomed.pop(0).run_id
                    move_to_trash(database, run_id, by="ana", trash_days=1)
                    assert purge_run(database, run_id, by="ana").is_proven
        except BaseException as error:
            failures.append(error)

    writers = [threading.Thread(target=write, args=(number,)) for number in range(WRITERS)]
    purgers = [threading.Thread(target=purge) for _ in range(2)]
    for thread in (*writers, *purgers):
        thread.start()
    for thread in writers:
        thread.join()
    stored.set()
    for thread in purgers:
        thread.join()

    assert failures == []
    assert kept
    for keeper in kept:
        keeper.assert_kept("at the end")
    reports = list_purges(database)
    assert len(reports) == WRITERS * EACH - len(kept)
    assert {report.progress for report in reports} == {None}
    # Once the last one goes, so do the bytes.
    for keeper in kept:
        run_id = keeper.run_id
        move_to_trash(database, run_id, by="ana", trash_days=1)
        purge_run(database, run_id, by="ana")
    assert database["fs.files"].count_documents({}) == 0
    assert database["fs.chunks"].count_documents({}) == 0
