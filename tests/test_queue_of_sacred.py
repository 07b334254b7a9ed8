"""Runs that Sacred has queued, adopted or not: in the list of the queue, and for a worker that does not make them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from click.testing import CliRunner
from cloister.__main__ import main
from cloister.observer.queue_list import count_sacreds, list_queue
from pymongo.database import Database


def test_what_sacred_has_queued_stays_sacreds_when_it_is_adopted(
    database: Database[dict[str, Any]], database_uri: str, home: Path
) -> None:
    queued = {"status": "QUEUED", "experiment": {"name": "old"}, "meta": {}}
    adopted = {"uid": "01a1feee-78c2-7464-b74c-df780a5fa15e", "project": "old", "adopted": {"state": "done"}}
    database["runs"].insert_many([{"_id": 1, **queued, "cloister": adopted}, {"_id": 2, **queued}])

    assert [run.is_ours for run in list_queue(database)] == [False, False]
    assert count_sacreds(database) == 2

    call = CliRunner(env={"CLOISTER_URI": database_uri, "COLUMNS": "200"})
    assert call.invoke(main, ["queue", "ls"]).output.count("Sacred's own") == 2
    worked = call.invoke(main, ["worker", "--once"])
    assert worked.exit_code == 0, worked.output
    assert "Nothing was waiting.\n2 runs queued by Sacred: --sacred makes them too" in worked.output
