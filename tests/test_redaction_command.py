"""`cloister redact`: a dry run for a script, and what is stored already is found and taken out for good."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from cloister.__main__ import main
from cloister.observer.audit.verifying import verify
from cloister.observer.redaction.marks import mark
from cloister.observer.runs import RunStore
from pymongo.database import Database
from recorded_script import RecordedScript
from running_viewer import insert_run

TRAINING = """
import sys
import cloister

PATIENT = "P-200001"

with cloister.start_run(project="ward", config={"patient": "P-200002", "lr": 0.1}, notes="of P-200003") as run:
    print("seen P-200004 and P-200005")
    print("seen nobody")
    run.log({"loss": 0.5})
    open("report.txt", "w").write("P-200006 is well")
    run.log_artifact("report.txt", metadata={"of": "P-200007"})
    run.log_artifact("report.txt", "again.txt")
"""
SECRETS = [f"P-20000{number}" for number in range(1, 8)]


def cloister_command(*words: str) -> tuple[int, str]:
    done = CliRunner().invoke(main, list(words), prog_name="cloister")
    assert not isinstance(done.exception, (AssertionError, AttributeError, TypeError)), done.exception
    return done.exit_code, done.output


def everything_in(database: Database[dict[str, Any]]) -> str:
    stored = []
    for name in set(database.list_collection_names()) - {"policy"}:
        stored += [repr(document) for document in database[name].find()]
    return "".join(stored)


def test_a_script_is_checked_line_by_line_without_being_run(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TEAM_TOKEN", "abcdef-0123456789")
    (tmp_path / "lab.py").write_text("x = 1\n\nAPI_KEY = 'abcd1234efgh'\n")
    (tmp_path / "train.py").write_text("import lab\nopen('was-run', 'w')\npassword = 'hunter2'\nsecret = load()\n")
    for words in (["init", "-q"], ["remote", "add", "origin", "https://ana:hunter2@forge/a.git"]):
        subprocess.run(["git", *words], cwd=tmp_path, check=True)
    code, output = cloister_command("redact", "--check", "train.py", "--password", "hunter2", "lr=0.1")
    lines = [line.split(maxsplit=1) for line in output.splitlines()]
    assert ["password", "train.py:3"] in lines
    assert ["api-key", "lab.py:3"] in lines
    assert ["password", "command line"] in lines
    assert ["token", "value of $TEAM_TOKEN, wherever it is printed"] in lines
    assert ["password", "uncommitted train.py"] in lines
    assert code == 1
    assert not any(secret in output for secret in ("hunter2", "abcd1234efgh", "abcdef-0123456789"))
    assert not (tmp_path / "was-run").exists()
    monkeypatch.delenv("TEAM_TOKEN")
    elsewhere = tmp_path_factory.mktemp("clean")
    monkeypatch.chdir(elsewhere)
    (elsewhere / "clean.py").write_text("print('token', 1)\n")
    assert cloister_command("redact", "--check", "clean.py") == (0, "Nothing of clean.py would be redacted.\n")


def test_what_is_stored_already_is_found_and_taken_out_for_good(
    script: RecordedScript, store: RunStore, database: Database[dict[str, Any]]
) -> None:
    done = script.run(TRAINING)
    assert done.returncode == 0, done.stderr
    script.wait_until_shipped()
    run = script.only_run()
    before = everything_in(database)
    assert all(secret in before for secret in SECRETS), "there is no rule yet"
    assert cloister_command("redact", "--scan", "--uri", script.uri) == (
        0,
        "Nothing that is stored would be redacted.\n",
    )

    database["policy"].insert_one({"_id": "site", "redaction": {"patterns": {"patient": "P-[0-9]{6}"}}})
    code, output = cloister_command("redact", "--scan", "--uri", script.uri)
    assert code == 1
    for where in ("config: patient", "notes", "console: stdout", "source: train.py", "source: report.txt"):
        assert where in output
    assert everything_in(database) == before, "a scan changes nothing"
    assert not any(secret in output for secret in SECRETS)

    code, output = cloister_command("redact", "--apply", "--yes", "--uri", script.uri, "--run", str(run.id))
    assert code == 0, output
    after = everything_in(database)
    assert not [secret for secret in SECRETS if secret in after]
    redacted = store.load_run(run.id)
    assert redacted.config == {"patient": mark("patient"), "lr": 0.1}
    assert redacted.summary == run.summary
    console = "".join(piece.text for piece in store.load_console(run.id).pieces)
    assert console == f"seen {mark('patient')} and {mark('patient')}\nseen nobody\n"
    assert {artifact.name for artifact in redacted.artifacts} == {"report.txt", "again.txt"}
    for artifact in redacted.artifacts:
        blob = store.open_blob(artifact.file_id)
        assert b"".join(blob) == f"{mark('patient')} is well".encode()
        assert (artifact.size, artifact.sha256) == (blob.size, blob.sha256)
    [source] = redacted.sources
    assert f'PATIENT = "{mark("patient")}"'.encode() in b"".join(store.open_blob(source.file_id))
    assert {one.rule for one in redacted.redactions} == {"patient"}
    assert database["audit"].count_documents({"action": "redaction-applied"}) == 1
    assert verify(database).is_whole
    assert cloister_command("redact", "--scan", "--uri", script.uri)[0] == 0


def test_a_run_that_is_being_recorded_is_left_alone(
    store: RunStore, database: Database[dict[str, Any]], database_uri: str, home: Path
) -> None:
    insert_run(database, 7, status="RUNNING", config={"password": "hunter2"})
    code, output = cloister_command("redact", "--apply", "--yes", "--uri", database_uri)
    assert (code, "Run 7 is being recorded" in output) == (0, True), output
    assert store.load_run(7).config == {"password": "hunter2"}


def test_the_command_says_what_it_needs() -> None:
    code, output = cloister_command("redact", "--scan", "--apply")
    assert code == 2
    assert "Say one of --check SCRIPT, --scan, --apply and --pseudonym NAME" in output
    done = subprocess.run([sys.executable, "-m", "cloister", "redact", "--help"], capture_output=True, text=True)
    assert "cloister redact --scan --project digits" in done.stdout
