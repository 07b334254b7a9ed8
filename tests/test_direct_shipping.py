"""Shipping from a training's memory: behind what the same training wrote to disk before, whoever ships that."""

from __future__ import annotations

import time
from datetime import datetime, timezone

import pytest
from cloister.decorators.run_identity import new_uid
from cloister.observer.direct_shipping import DirectShipping
from cloister.observer.journal import Journal
from cloister.observer.journal_memory import JournalMemory
from cloister.observer.journal_places import journal_places
from cloister.observer.journal_segments import new_segment_number
from cloister.observer.runs import RunStore
from cloister.observer.settings import load_settings
from recorded_script import wait_for


@pytest.mark.usefixtures("home")
def test_lines_in_memory_come_behind_those_of_older_files(store: RunStore, database_uri: str) -> None:
    settings = load_settings(uri=database_uri)
    uid = new_uid()
    header = {
        "uid": uid,
        "project": "order",
        "name": "order",
        "experiment": "order",
        "start_time": datetime.now(timezone.utc),
    }
    folder = journal_places(settings)[0] / uid
    journal = Journal(folder, header)
    for number in range(5):
        journal.record("console", {"stream": "stdout", "text": f"on disk {number}\n"})
    journal.close()
    memory = JournalMemory(header, new_segment_number)
    time.sleep(0.01)  # segments sort by the millisecond in which they were made
    for number in range(5):
        assert memory.record("console", {"stream": "stdout", "text": f"in memory {number}\n"}, time.time())
    memory.close()

    shipping = DirectShipping(settings, (folder,))
    shipping.ensure(memory)  # and no courier
    wait_for(lambda: not memory, "all that was in memory is stored")
    run = store.find_run_by_uid(uid)
    assert run is not None
    text = "".join(piece.text for piece in store.load_console(run.id).pieces)
    assert text == "".join(f"{where} {number}\n" for where in ("on disk", "in memory") for number in range(5))
