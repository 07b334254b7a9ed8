"""`cloister journal`: what waits on a machine can be seen, verified and thrown away."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from cloister.__main__ import main
from cloister.observer.journal import Journal
from cloister.observer.journal_records import RECORD_LIMIT_BYTES, RecordTooLarge
from cloister.observer.journal_segments import segments_in
from cloister.observer.journal_survey import find_journal
from cloister.observer.shippable_segment import SegmentFile

_OPEN: list[Journal] = []  # a journal that nobody holds is closed, and its run no longer alive
UIDS = ("01a1fd6d-8b44-7339-9421-c3edac2c77f5", "01a1fd6e-8b44-7339-9421-c3edac2c77f5")

pytestmark = pytest.mark.usefixtures("own_places")


def cloister(*arguments: object, answer: str = "") -> Result:
    return CliRunner(env={"COLUMNS": "200"}).invoke(main, [str(argument) for argument in arguments], input=answer)


def waiting_run(place: Path, uid: str = UIDS[0], *, open_still: bool = False) -> Path:
    """A run of 100 points and two lines whose journal waits in `place`."""
    folder = place / "journal" / "0123456789abcdef" / uid
    journal = Journal(
        folder, {"uid": uid, "name": f"run-{uid[:8]}", "project": "digits", "host": {"hostname": "node7"}}
    )
    for step in range(100):
        journal.record("points", {"s": step, "v": {"train/loss": step / 3, "bad": float("nan")}})
    journal.record("console", {"stream": "stdout", "text": "first\nsecond\x1b[31m\n"})
    if not open_still:
        journal.record("end", {"status": "COMPLETED"})
        journal.close()
    else:
        _OPEN.append(journal)
    return folder


def test_a_machine_on_which_nothing_waits_says_so(home: Path) -> None:
    answer = cloister("journal", "ls")
    assert answer.exit_code == 0
    assert "No journal waits" in answer.stdout


def test_the_list_names_run_project_host_and_state(home: Path) -> None:
    waiting_run(home)
    waiting_run(home, UIDS[1], open_still=True)
    lines = cloister("journal", "ls").stdout.splitlines()
    assert "run-01a1fd6d" in lines[1]
    assert "digits" in lines[1]
    assert "node7" in lines[1]
    assert lines[1].rstrip().endswith("waiting")
    assert lines[2].rstrip().endswith("recording")


def test_a_copy_on_a_stick_is_listed_by_any_folder_above_it(home: Path, tmp_path: Path) -> None:
    folder = waiting_run(tmp_path / "stick")
    for named in (tmp_path / "stick", folder.parent, folder):
        assert "run-01a1fd6d" in cloister("journal", "ls", named).stdout


def test_records_are_shown_with_the_names_that_the_script_gave(home: Path) -> None:
    waiting_run(home)
    shown = cloister("journal", "show", "01a1fd6d", "--limit", 0).stdout
    assert '{"step": 99, "values": {"train/loss": 33.0, "bad": NaN}}' in shown
    assert "\x1b" not in shown


def test_records_as_json_are_lines_that_any_program_reads(home: Path) -> None:
    waiting_run(home)
    shown = cloister("journal", "show", "01a1", "--kind", "points", "--json", "--limit", 2).stdout
    first, second = (json.loads(line, parse_constant=pytest.fail) for line in shown.splitlines())
    assert first["values"] == {"train/loss": 0.0, "bad": "nan"}
    assert second["sequence"] == 3


def test_one_changed_byte_is_found_and_costs_one_record(home: Path) -> None:
    [segment] = segments_in(waiting_run(home))
    assert cloister("journal", "verify").exit_code == 0
    damaged = bytearray(segment.read_bytes())
    damaged[len(damaged) // 2] ^= 0x10
    segment.write_bytes(damaged)
    answer = cloister("journal", "verify")
    assert answer.exit_code == 1
    assert "1 segment not whole" in answer.stderr
    assert "1 record missing" in answer.stderr


@pytest.mark.parametrize("kept", [0.3, 0.999])
def test_a_segment_that_was_cut_is_found(home: Path, kept: float) -> None:
    [segment] = segments_in(waiting_run(home))
    os.truncate(segment, int(segment.stat().st_size * kept))
    answer = cloister("journal", "verify")
    assert answer.exit_code == 1
    assert "damaged bytes" in answer.stderr


def test_a_journal_is_removed_after_a_question_or_with_yes(home: Path) -> None:
    folder = waiting_run(home)
    assert cloister("journal", "rm", "01a1fd6d", answer="n\n").exit_code != 0
    assert folder.exists()
    assert cloister("journal", "rm", "01a1fd6d", "--yes").exit_code == 0
    assert not folder.exists()


def test_a_journal_that_is_being_written_is_not_removed(home: Path) -> None:
    folder = waiting_run(home, open_still=True)
    answer = cloister("journal", "rm", "01a1fd6d", "--yes")
    assert answer.exit_code == 1
    assert "still being recorded" in answer.stderr
    assert folder.exists()


def test_a_name_that_fits_none_or_several_runs_is_refused_with_what_to_do(home: Path) -> None:
    for uid in UIDS:
        waiting_run(home, uid)
    assert "'cloister journal ls'" in cloister("journal", "show", "ffff").stderr
    assert "fits 2 runs" in cloister("journal", "rm", "01a1fd6", "--yes").stderr
    assert cloister("journal", "ls", home / "nowhere").exit_code == 1


def test_bytes_that_are_no_journal_are_damage_and_no_error(home: Path) -> None:
    folder = home / "journal" / "0123456789abcdef" / UIDS[0]
    folder.mkdir(parents=True)
    (folder / "0000000000000001.journal").write_bytes(os.urandom(100_000))
    (folder / "0000000000000002.journal").write_bytes(bytes(100_000))
    assert "no readable header" in cloister("journal", "ls").stdout
    assert "200,000 damaged bytes" in cloister("journal", "verify").stderr


def test_what_is_shipped_while_somebody_looks_is_no_error(home: Path) -> None:
    run = find_journal(str(waiting_run(home)), ())
    [segment] = run.segments
    shutil.rmtree(run.folders[0])
    assert run.size_bytes == 0
    assert not run.is_foreign
    assert run.lost() == {"points": 0, "lines": 0, "bytes": 0}
    SegmentFile(segment).set_aside()  # of two shippers of a damaged segment, one is later


def test_a_value_that_does_not_fit_leaves_a_journal_that_is_whole(home: Path) -> None:
    folder = waiting_run(home)
    journal = Journal(folder, {"uid": UIDS[0]})
    with pytest.raises(RecordTooLarge):
        journal.record("set", {"fields": {"result": "x" * RECORD_LIMIT_BYTES}})
    journal.record("points", {"s": 0, "v": {"loss": 0.5}})
    journal.close()
    answer = cloister("journal", "verify")
    assert answer.exit_code == 0, answer.stdout
