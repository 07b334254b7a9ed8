"""The fault table itself: every row is in the suite, and what `make faults` and its page say of it is true."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from faults.cutting_proxy import CuttingProxy
from faults.places import clean_environment
from faults.table import ROWS, between, choose

HERE = Path(__file__).parent


def run_program(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "faults", *words]
    return subprocess.run(command, cwd=HERE, env=clean_environment(), capture_output=True, text=True, timeout=60)


def test_every_group_of_rows_has_its_file_of_tests() -> None:
    files = {path.stem.removeprefix("test_faults_") for path in HERE.glob("test_faults_*.py")} - {"table"}
    assert {row.group for row in ROWS} == files


def test_every_row_is_on_the_page() -> None:
    page = (HERE.parent / "docs" / "faults.md").read_text(encoding="utf-8")
    assert [row.name for row in ROWS if f"| {row.name} |" not in page] == []


def test_rows_have_names_of_their_own() -> None:
    assert len({row.name for row in ROWS}) == len(ROWS)


def test_rows_are_chosen_by_words_of_their_names() -> None:
    assert [row.name for row in choose(["CLOCK"])] == ["clock set back an hour"]
    assert choose([]) == list(ROWS)


def test_sizes_lie_between_those_of_the_suite_and_the_whole_ones() -> None:
    assert [between(1, 21, share) for share in (0, 0.1, 1)] == [1, 3, 21]
    assert [between((1.0,), (1.0, 1.0, 20.0, 120.0), share) for share in (0, 0.5, 1)] == [
        (1.0,),
        (1.0, 1.0),
        (1.0, 1.0, 20.0, 120.0),
    ]


def test_the_program_names_its_rows() -> None:
    listed = run_program("--list").stdout
    assert all(row.name in listed for row in ROWS)


def test_a_word_that_is_in_no_row_is_an_error_that_says_how_to_see_them() -> None:
    refused = run_program("nonsense")
    assert refused.returncode == 2
    assert "--list" in refused.stderr


def test_a_proxy_that_may_not_cut_passes_everything_on(mongod: str) -> None:
    import pymongo

    port = pymongo.uri_parser.parse_uri(mongod)["nodelist"][0][1]
    proxy = CuttingProxy(port, lambda: None)
    with pymongo.MongoClient("127.0.0.1", proxy.port, directConnection=True) as client:
        assert client.admin.command("ping")["ok"] == 1
    proxy.close()
    assert proxy.cuts == 0
