"""`cloister status`: what is recorded, what waits, what was lost, without starting or making anything."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner
from cloister.__main__ import main
from cloister.observer.courier_launch import held_lock
from cloister.observer.journal import Journal

UID = "01a1fd6d-8b44-7339-9421-c3edac2c77f5"

pytestmark = pytest.mark.usefixtures("own_places")


def status() -> str:
    answer = CliRunner(env={"COLUMNS": "200"}).invoke(main, ["status"])
    assert answer.exit_code == 0, answer.output
    return answer.output


def test_a_quiet_machine_says_so_and_stays_as_it_is(home: Path) -> None:
    assert "Nothing is being recorded" in status()
    assert not home.exists()


def test_a_run_that_is_recorded_is_shown_with_what_it_lost(home: Path) -> None:
    destination = home / "journal" / "embedded"
    journal = Journal(destination / UID, {"uid": UID, "name": "run-7", "project": "digits"})
    assert "no courier is at work" in status()
    assert status().splitlines()[-2].split()[:3] == ["run-7", "digits", "recording"]
    journal.record("beat", {"lost": {"points": 1200, "lines": 1, "bytes": 30}})
    journal.close()
    with held_lock(destination) as is_ours:
        assert is_ours
        shown = status()
    assert "a courier is at work" in shown
    assert "1,200 points, 1 line, 30 B" in shown
    assert "ended" in shown
