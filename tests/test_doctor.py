"""`cloister doctor`: every line that it can say, made to appear."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from cloister.__main__ import main
from cloister.observer.doctor_command import check_data_folder, check_journals, check_mongod, examine
from cloister.observer.embedded import EmbeddedServer
from cloister.observer.settings import Settings


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A data folder of its own, no cloister.toml in sight, and a terminal wide enough for whole lines."""
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    monkeypatch.setenv("CLOISTER_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("COLUMNS", "1000")
    yield tmp_path / "home"
    EmbeddedServer(Settings(home=tmp_path / "home")).stop()


def doctor() -> Result:
    return CliRunner().invoke(main, ["doctor"])


def test_a_fresh_machine_is_well_and_nothing_is_started_or_made(folder: Path) -> None:
    result = doctor()

    assert result.exit_code == 0, result.output
    for said in ("Python", "Cloister", "Extra 'viewer'", "Extra 'embedded'", "Extra 'sacred'", "GB free", "MongoDB"):
        assert said in result.output
    assert "embedded, not made yet" in result.output
    assert "nothing waits to be shipped" in result.output
    assert not folder.exists()


def test_a_running_embedded_database_is_reached_and_its_password_not_shown(folder: Path) -> None:
    server = EmbeddedServer(Settings(home=folder))
    password = server.ensure_running().partition("cloister:")[2].partition("@")[0]

    result = doctor()

    assert result.exit_code == 0
    assert f"in {server.folder.path}; MongoDB" in result.output
    assert password not in result.output


def test_a_server_of_the_team_is_reached(mongod: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLOISTER_URI", mongod)
    result = doctor()
    assert result.exit_code == 0
    assert "database 'cloister'" in result.output


def test_an_unreachable_server_is_a_problem_and_its_password_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLOISTER_URI", "mongodb://ana:swordfish@127.0.0.1:1/?serverSelectionTimeoutMS=100")
    result = doctor()
    assert result.exit_code == 1
    assert "did not answer" in result.output
    assert "1 problem found." in result.output
    assert "swordfish" not in result.output


def test_a_wrong_uri_is_a_problem_and_not_a_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLOISTER_URI", "http://lab-db")
    result = doctor()
    assert result.exit_code == 1
    assert "is not a MongoDB URI" in result.output


def test_a_settings_file_is_named_with_what_it_sets(folder: Path) -> None:
    Path("cloister.toml").write_text('project = "digits"\n')
    result = doctor()
    assert str(Path.cwd() / "cloister.toml") in result.output
    assert "project = digits" in result.output


def test_broken_settings_are_the_problem_to_mend_first(folder: Path) -> None:
    Path("cloister.toml").write_text("proyect = 1\n")
    result = doctor()
    assert result.exit_code == 1
    assert "unknown setting 'proyect'" in result.output
    assert "before this is mended" in result.output


def test_journals_that_wait_are_counted(folder: Path) -> None:
    segments = folder / "journal" / "embedded" / "run"
    segments.mkdir(parents=True)
    (segments / "a.journal").write_bytes(b"x" * 1_500_000)
    (segments / "b.journal").write_bytes(b"x" * 1_500_000)

    [finding] = check_journals(Settings(home=folder))
    assert finding.verdict == "ok"
    assert finding.found.startswith("2 journal segments, 3.0 MB")
    assert "cloister sync" in finding.advice

    os.truncate(segments / "b.journal", 100_000_000)
    [finding] = check_journals(Settings(home=folder))
    assert finding.verdict == "warning"


@pytest.mark.parametrize(("free", "verdict"), [(10**7, "problem"), (10**9, "warning"), (10**10, "ok")])
def test_a_full_disk_is_told_before_it_hurts(
    folder: Path, monkeypatch: pytest.MonkeyPatch, free: int, verdict: str
) -> None:
    usage = shutil.disk_usage("/")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=free))
    [finding] = check_data_folder(Settings(home=folder))
    assert finding.verdict == verdict


def test_a_data_folder_that_is_a_file_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    [finding] = check_data_folder(Settings(home=tmp_path / "file"))
    assert finding.verdict == "problem"
    assert "CLOISTER_HOME" in finding.advice


def test_no_mongod_is_a_problem_only_for_those_who_need_one(tmp_path: Path) -> None:
    missing = tmp_path / "mongod"
    [finding] = check_mongod(Settings(mongod=missing))
    assert finding.verdict == "problem"
    [finding] = check_mongod(Settings(mongod=missing, uri="mongodb://lab-db"))
    assert finding.verdict == "ok"


def test_an_old_mongod_is_reported_with_its_hole_and_why_it_is_closed(tmp_path: Path) -> None:
    binary = tmp_path / "mongod"
    binary.write_text("#!/bin/sh\necho 'db version v6.0.5'\n")
    binary.chmod(0o755)
    [finding] = check_mongod(Settings(mongod=binary))
    assert "CVE-2025-14847" in finding.advice
    binary.write_text("#!/bin/sh\necho 'db version v8.2.3'\n")
    [finding] = check_mongod(Settings(mongod=binary))
    assert finding.advice == ""


def test_every_finding_that_is_not_well_says_what_to_do() -> None:
    for finding in examine():
        assert finding.verdict == "ok" or finding.advice or ". " in finding.found, finding
