"""Encrypted runs from the training to the reader, seen by who has the database, its backups and the journals."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cloister
import pytest
from bson import Binary
from click.testing import CliRunner
from cloister.__main__ import main
from cloister.decorators.queueing import CannotQueue
from cloister.decorators.worker.job_file import read_job
from cloister.decorators.worker.workplace import UnusableSources, workplace
from cloister.observer.blobs import BlobLocked, DamagedBlob
from cloister.observer.encryption import keyring
from cloister.observer.encryption.chosen import Chosen
from cloister.observer.encryption.data_keys import COLLECTION, new_data_key
from cloister.observer.encryption.key_care import KeyHeld, add_key, forget_key, list_keys, rotate_key
from cloister.observer.encryption.key_file import KeyFile
from cloister.observer.encryption.key_providers import open_provider
from cloister.observer.encryption.opened import LockedText
from cloister.observer.encryption.run_sealing import RunSealing
from cloister.observer.process_facts import this_process
from cloister.observer.retention.holds import hold_project, lift_project
from cloister.observer.run_query import RunQuery
from cloister.observer.run_queue import take_next
from cloister.observer.runs import RunStore
from cloister.observer.settings import Settings, load_settings
from conftest import StartRun, free_port, running_mongod
from pymongo.database import Database
from queued_runs import queue_script
from recorded_script import RecordedScript, wait_for
from transit_server import TOKEN, running_transit

PROJECT = "medical"
SHOWN = "kontrolle-9d1c"  # what is not encrypted: it shows that the search finds what is there
HIDDEN = {
    name: f"verborgen-{name}-7f3a"
    for name in (
        "config", "override", "stdout", "stderr", "traceback", "source", "diff", "artifact", "metadata", "resource",
        "info", "deep",
    )
}  # fmt: skip

SCRIPT = f"""
import sys
from pathlib import Path
import cloister

@cloister.experiment(project="{PROJECT}", tags=["{SHOWN}"], hardware=False)
def train(run, patient={{"name": "{HIDDEN["config"]}", "scan": {{"site": ["{HIDDEN["deep"]}"]}}}}, token_of=""):
    # {HIDDEN["source"]}
    print("{HIDDEN["stdout"]}")
    print("{HIDDEN["stderr"]}", file=sys.stderr)
    run.log({{"loss": 1.0}})
    run.info["found"] = "{HIDDEN["info"]}"
    Path("weights.bin").write_bytes(b"{HIDDEN["artifact"]}" * 9)
    run.log_artifact("weights.bin", metadata={{"what": "{HIDDEN["metadata"]}"}})
    run.add_resource("data.csv")
    raise ValueError("{HIDDEN["traceback"]}")

if __name__ == "__main__":
    train()
"""


@pytest.fixture
def keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> KeyFile:
    """A key file of the test's own, without a key."""
    monkeypatch.setenv("CLOISTER_KEYS", str(tmp_path / "keys" / "keys.json"))
    return KeyFile(tmp_path / "keys" / "keys.json")


@pytest.fixture
def policy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Sets the site's policy."""

    def write(text: str) -> None:
        (tmp_path / "policy.toml").write_text(text)
        monkeypatch.setenv("CLOISTER_POLICY", str(tmp_path / "policy.toml"))

    return write


@pytest.fixture
def settings(keys: KeyFile, home: Path) -> Settings:
    return load_settings()


def _files_with(folder: Path, text: str) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file() and text.encode() in path.read_bytes()]


def _record(start: StartRun, **options: Any) -> cloister.Run:
    with start(**{"project": PROJECT, "config": {"patient": {"name": "Anastasia"}, "lr": 0.1}, **options}) as run:
        run.log({"loss": 1.0})
    assert run.wait_until_stored(20)
    return run


def _locked_store(store: RunStore, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> RunStore:
    """The store as somebody has it who has the database and no key."""
    monkeypatch.setenv("CLOISTER_KEYS", str(tmp_path / "nobodys.json"))
    return store


# ---- the operator of the database, and whoever gets a backup or a journal


def test_neither_journal_nor_raw_data_files_hold_what_is_encrypted(
    own_places: Path, tmp_path: Path, keys: KeyFile, policy: Callable[[str], None]
) -> None:
    keys.make(PROJECT)
    policy(f'[encrypt]\n{PROJECT} = ["everything"]\n')
    port = free_port()
    uri = f"mongodb://127.0.0.1:{port}/encrypted?directConnection=true"
    _run_script(tmp_path / "project", uri)

    # The database is away: all there is lies in the journal, on this machine's disk.
    assert _files_with(own_places, SHOWN), "the search finds nothing"
    assert {name: _files_with(own_places, text) for name, text in HIDDEN.items()} == {key: [] for key in HIDDEN}

    data = tmp_path / "mongod"
    data.mkdir()
    plain = ("--wiredTigerCollectionBlockCompressor", "none", "--wiredTigerJournalCompressor", "none")
    with running_mongod(data, *plain, port=port):
        assert CliRunner().invoke(main, ["sync", "--uri", uri], catch_exceptions=False).exit_code == 0
        with RunStore.connect(uri) as store:
            _read_in_the_clear(store)
            store.database.client.admin.command("fsync")
            assert _files_with(data, SHOWN), "the search finds nothing"
            found = {name: _files_with(data, text) for name, text in HIDDEN.items()}
            assert found == {key: [] for key in HIDDEN}


def _run_script(folder: Path, uri: str) -> None:
    folder.mkdir()
    script = folder / "train.py"
    script.write_text("# committed\n")
    (folder / "data.csv").write_text(f"name\n{HIDDEN['resource']}\n")
    git = ["git", "-C", str(folder), "-c", "user.name=a", "-c", "user.email=a@b"]
    for words in (["init", "-q"], ["add", "train.py"], ["commit", "-q", "-m", "first"]):
        subprocess.run([*git, *words], check=True)
    script.write_text(f"# {HIDDEN['diff']}\n{textwrap.dedent(SCRIPT)}")
    given = {"CLOISTER_URI": uri, "CLOISTER_COURIER": "thread", "CLOISTER_EXIT_WAIT": "0"}
    command = [sys.executable, script.name, "--token_of", HIDDEN["override"]]
    done = subprocess.run(command, cwd=folder, env={**os.environ, **given}, capture_output=True, text=True, timeout=60)
    assert HIDDEN["traceback"] in done.stderr


def _read_in_the_clear(store: RunStore) -> None:
    """With the key, everything is as it was recorded."""
    [brief] = store.find_runs(RunQuery())
    run = store.load_run(brief.id)
    assert brief.config == run.config
    patient = {"name": HIDDEN["config"], "scan": {"site": [HIDDEN["deep"]]}}
    assert run.config == {"patient": patient, "token_of": HIDDEN["override"]}
    assert run.config_defaults == {"patient": patient, "token_of": ""}
    assert HIDDEN["override"] in run.argv
    assert run.info == {"found": HIDDEN["info"]}
    assert HIDDEN["traceback"] in run.fail_trace[-1]
    console = "".join(piece.text for piece in store.load_console(run.id, after="").pieces)
    assert HIDDEN["stdout"] in console
    assert HIDDEN["stderr"] in console
    [artifact] = run.artifacts
    content = HIDDEN["artifact"].encode() * 9
    assert store.open_blob(artifact.file_id).read() == content
    assert (artifact.sha256, artifact.size) == (hashlib.sha256(content).hexdigest(), len(content))
    stored = store.database["runs"].find_one({"_id": run.id}) or {}
    assert stored["captured_out"] == "<encrypted: read it in Cloister>\n"
    [resource] = run.resources
    assert HIDDEN["resource"].encode() in store.open_blob(resource.file_id).read()
    [source] = run.sources
    assert HIDDEN["source"].encode() in store.open_blob(source.file_id).read()
    assert HIDDEN["diff"].encode() in store.open_blob(run.git["diff_file"]).read()
    assert (run.encrypted, run.locked, run.withheld) == (("everything",), "", False)


# ---- readers


def test_a_reader_without_the_key_sees_locks_and_all_that_is_not_encrypted(
    start: StartRun,
    store: RunStore,
    keys: KeyFile,
    policy: Callable[[str], None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    keys.make(PROJECT)
    policy('[encrypt]\n"med*" = ["config.patient.*", "console", "artifacts"]\n')
    (tmp_path / "weights.bin").write_bytes(b"weights" * 50)
    with start(project=PROJECT, config={"patient": {"name": "Anastasia"}, "lr": 0.1}) as run:
        run.log_artifact(tmp_path / "weights.bin")
        for number in range(1200):
            run._recorder.record_console("stdout", f"line {number}\n", 1e9)
    assert run.wait_until_stored(20)
    other = _record(start, project="digits")
    opened = store.load_run(run.id)
    assert (opened.config, opened.console_lines) == ({"patient": {"name": "Anastasia"}, "lr": 0.1}, 1200)
    pieces = store.load_console(run.id, after="").pieces
    assert "".join(piece.text for piece in pieces) == "".join(f"line {number}\n" for number in range(1200))
    assert len(pieces) < 12  # neighbours are one piece, as they are where nothing is encrypted

    locked = _locked_store(store, monkeypatch, tmp_path)
    read = locked.load_run(run.id)
    value = read.config["patient"]["name"]
    assert isinstance(value, LockedText)
    assert (value, read.config["lr"], read.locked) == ("encrypted", 0.1, value.reason)
    assert value.reason == "The key of project 'medical' is not here. 'cloister doctor' says more."
    [artifact] = read.artifacts
    assert (artifact.size, artifact.sha256) == (350, None)  # the digest of what is stored says nothing of the file
    with pytest.raises(BlobLocked, match="is not here"):
        locked.open_blob(artifact.file_id)
    page = locked.load_console(run.id, after="")
    assert {piece.locked for piece in page.pieces} == {value.reason}
    assert page.pieces[0].text == "<500 lines, encrypted>\n"
    assert (locked.load_run(other.id).config, locked.load_run(other.id).encrypted) == (
        {"patient": {"name": "Anastasia"}, "lr": 0.1},
        (),
    )


def test_whoever_changes_what_is_stored_is_found_out(
    start: StartRun, store: RunStore, keys: KeyFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys.make(PROJECT)
    monkeypatch.setenv("CLOISTER_ENCRYPT", "everything")
    (tmp_path / "weights.bin").write_bytes(os.urandom(700_000))
    with start(project=PROJECT, config={"a": 1, "b": 2}) as run:
        run.log_artifact(tmp_path / "weights.bin")
        run._recorder.record_console("stdout", "one\n", 1e9)
    with start(project=PROJECT) as second:
        second._recorder.record_console("stdout", "of another run\n", 1e9)
    assert run.wait_until_stored(20)
    assert second.wait_until_stored(20)
    database = store.database
    stored = database["runs"].find_one({"_id": run.id}) or {}
    database["runs"].update_one({"_id": run.id}, {"$set": {"config.a": Binary(stored["config"]["b"][:-1] + b"x", 6)}})
    theirs = database["console"].find_one({"run_id": second.id}) or {}
    database["console"].update_one({"run_id": run.id}, {"$set": {"sealed": theirs["sealed"]}})
    chunk = database["fs.chunks"].find_one({"n": 2}) or {}
    database["fs.chunks"].update_one({"_id": chunk["_id"]}, {"$set": {"data": chunk["data"][::-1]}})

    database["runs"].update_one({"_id": second.id}, {"$set": {"config.lr": stored["config"]["b"]}})
    assert isinstance(store.load_run(second.id).config["lr"], LockedText)  # a run's value opens for no other run
    read = store.load_run(run.id)
    assert (read.config["b"], type(read.config["a"])) == (2, LockedText)
    assert "somebody has changed it" in read.config["a"].reason
    [piece] = store.load_console(run.id, after="").pieces
    assert "another" not in piece.text
    blob = store.open_blob(read.artifacts[0].file_id)
    assert len(blob.read(100_000)) == 100_000
    with pytest.raises(DamagedBlob, match="not what its key has written"):
        blob.read()


def test_equal_files_are_stored_once_in_a_project_and_never_across_two(
    start: StartRun, store: RunStore, keys: KeyFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for project in (PROJECT, "digits"):
        keys.make(project)
    monkeypatch.setenv("CLOISTER_ENCRYPT", "artifacts")
    path = tmp_path / "weights.bin"
    path.write_bytes(b"weights" * 20_000)
    ids = []
    for project in (PROJECT, PROJECT, "digits"):
        with start(project=project) as run:
            run.log_artifact(path)
        assert run.wait_until_stored(20)
        [artifact] = store.load_run(run.id).artifacts
        ids.append(artifact.file_id)
        assert artifact.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert ids[0] == ids[1] != ids[2]
    files = list(store.database["fs.files"].find({"filename": {"$regex": "weights"}}))
    assert len(files) == 2
    plain = {hashlib.sha256(path.read_bytes()).hexdigest(), hashlib.md5(path.read_bytes()).hexdigest()}
    assert not any(digest in str(file) for digest in plain for file in files)
    # A file that is read from its middle, as for a Range header.
    blob = store.open_blob(ids[0])
    blob.seek(100_001)
    assert blob.read(10) == path.read_bytes()[100_001:100_011]


# ---- keys


def test_without_a_key_what_should_be_encrypted_is_not_recorded_at_all(
    start: StartRun, store: RunStore, keys: KeyFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    monkeypatch.setenv("CLOISTER_ENCRYPT", "config.patient console artifacts")
    (tmp_path / "weights.bin").write_bytes(b"weights")
    with start(project=PROJECT, config={"patient": {"name": "Anastasia"}, "lr": 0.1}) as run:
        run.log({"loss": 1.0})
        run.log_artifact(tmp_path / "weights.bin")
        run._recorder.record_console("stdout", "Ana\n", 1e9)
    assert run.wait_until_stored(20)
    [warning] = [record.getMessage() for record in caplog.records if "key of project" in record.getMessage()]
    assert "cloister keys add medical" in warning
    read = store.load_run(run.id)
    assert read.config == {"patient": "<not recorded: no key>", "lr": 0.1}
    assert (read.artifacts, read.withheld, len(store.load_points(run.id, "loss"))) == ((), True, 1)
    assert store.load_console(run.id, after="").pieces == ()
    assert "Anastasia" not in str(list(store.database["runs"].find()))


def test_a_run_that_could_not_know_the_databases_policy_is_encrypted_before_it_is_stored(
    start: StartRun, store: RunStore, database: Database[Any], keys: KeyFile, home: Path, tmp_path: Path
) -> None:
    database["policy"].insert_one({"_id": "site", "encrypt": {PROJECT: ["everything"]}})
    (tmp_path / "weights.bin").write_bytes(HIDDEN["artifact"].encode() * 9)
    keys.make(PROJECT)
    with start(project=PROJECT, config={"a": HIDDEN["config"]}) as run:
        run._recorder.record_console("stdout", f"{HIDDEN['stdout']}\n", 1e9)
        run.log_artifact(tmp_path / "weights.bin", metadata={"what": HIDDEN["metadata"]})
        run.info["found"] = HIDDEN["info"]
        run.end_as(ValueError(HIDDEN["traceback"]))
    assert run.wait_until_stored(20)
    names = ("runs", "console", "fs.chunks", "fs.files")
    stored = str([list(database[name].find()) for name in names])
    assert [text for text in HIDDEN.values() if text in stored] == []
    read = store.load_run(run.id)
    assert (read.config, read.info, read.encrypted) == (
        {"a": HIDDEN["config"]}, {"found": HIDDEN["info"]}, ("everything",)
    )  # fmt: skip
    assert HIDDEN["traceback"] in read.fail_trace[-1]
    [artifact] = read.artifacts
    assert store.open_blob(artifact.file_id).read() == (tmp_path / "weights.bin").read_bytes()
    assert [piece.text for piece in store.load_console(run.id, after="").pieces] == [f"{HIDDEN['stdout']}\n"]
    wait_for(lambda: not list(home.rglob("blobs/*")), "the private copies are gone")


def test_a_run_that_cannot_be_encrypted_as_the_databases_policy_wants_waits_for_the_key(
    start: StartRun,
    store: RunStore,
    database: Database[Any],
    keys: KeyFile,
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    database["policy"].insert_one({"_id": "site", "encrypt": {"*": ["config"]}})
    with start(project=PROJECT, config={"a": HIDDEN["config"]}) as run:
        run.log({"loss": 1.0})
    assert not run.wait_until_stored(2)
    assert database["runs"].count_documents({}) == 0
    keys.make(PROJECT)
    uri = f"mongodb://{database.client.address[0]}:{database.client.address[1]}/{database.name}?directConnection=true"
    assert CliRunner().invoke(main, ["sync", "--uri", uri], catch_exceptions=False).exit_code == 0
    assert store.load_run(run.id).config == {"a": HIDDEN["config"]}
    assert HIDDEN["config"] not in str(list(database["runs"].find()))


@pytest.mark.parametrize("missing", ["pymongocrypt.mongocrypt", "cryptography.hazmat.primitives.ciphers.aead"])
def test_a_training_without_the_libraries_goes_on_and_says_what_to_install(
    start: StartRun, store: RunStore, keys: KeyFile, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture,
    missing: str,
) -> None:  # fmt: skip
    keys.make(PROJECT)
    monkeypatch.setenv("CLOISTER_ENCRYPT", "everything")
    monkeypatch.setitem(sys.modules, missing, None)
    run = _record(start)
    read = store.load_run(run.id)
    assert (read.withheld, len(store.load_points(run.id, "loss"))) == (True, 1)
    assert "Anastasia" not in str(list(store.database["runs"].find()))
    assert "pip install 'cloister[encryption]'" in caplog.text


def test_rotation_keeps_what_is_stored_readable_and_gives_new_runs_new_keys(
    start: StartRun, store: RunStore, database: Database[Any], settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLOISTER_ENCRYPT", "config")
    provider = open_provider(settings)
    add_key(database, PROJECT, provider, settings)
    first = _record(start)
    [before] = database[COLLECTION].find()
    state, count = rotate_key(database, PROJECT, provider, settings, drops_old=True)
    assert (state.versions, count) == ((2,), 1)
    second = _record(start)
    for run in (first, second):
        assert store.load_run(run.id).config == {"patient": {"name": "Anastasia"}, "lr": 0.1}
    used = [each["cloister"]["encryption"]["key"] for each in database["runs"].find().sort("_id", 1)]
    assert used[0] != used[1]
    after = database[COLLECTION].find_one({"_id": before["_id"]}) or {}
    assert after["keyMaterial"] != before["keyMaterial"]
    [row] = list_keys(database, provider)
    assert (row.project, len(row.data_keys), row.problem) == (PROJECT, 2, "")


def test_a_forgotten_key_shreds_everything_backups_included(
    start: StartRun, store: RunStore, database: Database[Any], settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLOISTER_ENCRYPT", "config")
    monkeypatch.setattr(keyring, "FRESH_SECONDS", 0.0)  # two seconds, which no test waits for
    provider = open_provider(settings)
    add_key(database, PROJECT, provider, settings)
    run = _record(start)
    assert store.load_run(run.id).config["lr"] == 0.1
    backup = list(database[COLLECTION].find())
    hold_project(database, PROJECT, by="ana", reason="court")
    with pytest.raises(KeyHeld, match="under legal hold"):
        forget_key(database, PROJECT, provider, settings)
    lift_project(database, PROJECT)
    assert forget_key(database, PROJECT, provider, settings) == 1
    read = store.load_run(run.id)  # by the connection, and the keyring, that had the key open
    assert read.config == {"patient": "encrypted", "lr": "encrypted"}
    assert read.locked.startswith("The key of project 'medical' was forgotten on 2")
    [tombstone] = database[COLLECTION].find()
    assert "keyMaterial" not in tombstone
    # Somebody restores a backup of the database: the key that wraps its keys is nowhere.
    database[COLLECTION].replace_one({"_id": tombstone["_id"]}, backup[0])
    assert store.load_run(run.id).config == {"patient": "encrypted", "lr": "encrypted"}
    assert provider.find(PROJECT) is None


def test_a_vault_serves_recording_and_reading_and_outages_lock_instead_of_failing(
    start: StartRun, store: RunStore, database: Database[Any], home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLOISTER_ENCRYPT", "config")
    monkeypatch.setenv("VAULT_TOKEN", TOKEN)
    monkeypatch.setattr(keyring, "RETRY_SECONDS", 0.0)
    with running_transit() as vault:
        monkeypatch.setenv("CLOISTER_KEYS", f"vault:{vault.url}")
        settings = load_settings()
        add_key(database, PROJECT, open_provider(settings), settings)
        run = _record(start)
        assert store.load_run(run.id).config["lr"] == 0.1
        asked = len(vault.asked)
        assert store.load_run(run.id).config["lr"] == 0.1
        assert len(vault.asked) == asked  # a key that is open is not asked for again
    keyring._known.clear()  # as a viewer that starts now
    read = store.load_run(run.id)
    assert read.config == {"patient": "encrypted", "lr": "encrypted"}
    assert read.locked == "Its key cannot be asked for at the moment. 'cloister doctor' says more."
    withheld = _record(start)
    assert store.load_run(withheld.id).withheld
    assert len(store.load_points(withheld.id, "loss")) == 1


# ---- runs that go on, are handed to a worker, or made by Sacred's observer


def test_a_resumed_run_keeps_its_config_encrypted_and_notes_no_value_of_it(
    start: StartRun, store: RunStore, database: Database[Any], keys: KeyFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys.make(PROJECT)
    monkeypatch.setenv("CLOISTER_ENCRYPT", "config.patient")
    first = _record(start)
    with start(project=PROJECT, resume=first.uid, config={"patient": {"name": "Bartholomew"}, "lr": 0.2}) as run:
        assert run.next_step == 1
    assert run.wait_until_stored(20)
    read = store.load_run(first.id)
    assert read.config == {"patient": {"name": "Anastasia"}, "lr": 0.1}
    [note] = read.resumed
    assert set(note.config_changes) == {("lr", 0.1, 0.2), ("patient.name", "<encrypted>", "<encrypted>")}
    stored = str(list(database["runs"].find()))
    assert "Anastasia" not in stored
    assert "Bartholomew" not in stored


def test_a_queued_run_is_rebuilt_where_the_key_is_and_refused_where_it_is_not(
    script: RecordedScript, database: Database[Any], keys: KeyFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys.make(PROJECT)
    monkeypatch.setenv("CLOISTER_ENCRYPT", "everything")
    monkeypatch.setenv("CLOISTER_COURIER", "thread")
    source = f'print("{HIDDEN["source"]}")\n'
    assert queue_script(script, source, "--name", HIDDEN["override"], project=PROJECT).is_stored
    stored = str([list(database[name].find()) for name in ("runs", "fs.chunks", "fs.files")])
    assert HIDDEN["override"] not in stored
    assert HIDDEN["source"] not in stored
    settings = load_settings()
    document = take_next(database, this_process(), lease_seconds=60)
    assert document is not None
    with workplace(database, document, settings) as place:
        assert (place.code / "train.py").read_text() == source
        assert read_job(place.folder)[1].words == ("--name", HIDDEN["override"])
    monkeypatch.setenv("CLOISTER_KEYS", str(tmp_path / "nobodys.json"))
    with pytest.raises(UnusableSources, match="parts of it are encrypted"), workplace(database, document, settings):
        pass
    with pytest.raises(CannotQueue, match="cloister keys add medical"):
        queue_script(script, source, project=PROJECT)


def test_what_sacreds_observer_is_told_is_encrypted_as_well() -> None:
    secret = HIDDEN["config"]
    key = new_data_key(PROJECT)
    sealing = RunSealing(Chosen(("everything",)), key, {"_id": Binary(key.id, 4)}, "018f" + "0" * 28)
    meta = {"command": "main", "config_updates": {"a": secret}, "options": {"UPDATE": [f"a={secret}"]}}
    header = {"config": {"a": secret}, "sacred": {"experiment": {"name": "x"}, "meta": meta}, "argv": ["x", secret]}
    fields = {"info.a": secret, "result": secret, "captured_out": secret, "config": {"a": [secret]}, "heartbeat": None}
    ending = {"fail_trace": [secret], "exit": {"code": 1, "reason": secret}, "status": "FAILED"}
    told = (sealing.header(header), sealing.fields(fields), sealing.fields(ending))
    assert secret not in str(told)
    assert (told[1]["heartbeat"], told[2]["status"], told[2]["exit"]["code"]) == (None, "FAILED", 1)
    assert told[0]["sacred"]["meta"]["command"] == "main"
    assert sealing.header(told[0])["config"] == told[0]["config"]  # what is encrypted already stays as it is


def test_commands_make_list_rotate_hand_out_and_destroy_keys(
    database: Database[Any],
    database_uri: str,
    keys: KeyFile,
    home: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CLOISTER_URI", database_uri)

    def call(*words: str, answer: str = "") -> str:
        done = CliRunner().invoke(main, list(words), input=answer)
        assert done.exit_code == 0, done.output
        return done.output

    assert "cloister keys add PROJECT" in call("keys", "ls")
    assert "version 1" in call("keys", "add", PROJECT)
    assert "version 2; 1 data key wrapped anew" in call("keys", "rotate", PROJECT)
    call("keys", "export", PROJECT, str(tmp_path / "handed.json"))
    refused = CliRunner().invoke(main, ["keys", "export", PROJECT, str(tmp_path / "handed.json")])
    assert "is not overwritten" in refused.output
    monkeypatch.setenv("CLOISTER_KEYS", str(tmp_path / "there.json"))
    apart = CliRunner().invoke(main, ["keys", "add", PROJECT])
    assert "has a key already" in apart.output
    assert "Taken: medical" in call("keys", "import", str(tmp_path / "handed.json"))
    listed = call("keys", "ls")
    assert PROJECT in listed
    assert "yes" in listed
    stopped = CliRunner().invoke(main, ["forget-key", PROJECT], input="digits\n")
    assert (stopped.exit_code, KeyFile(tmp_path / "there.json").projects()) == (1, (PROJECT,))
    assert "is destroyed, with 2 data keys" in call("forget-key", PROJECT, answer=f"{PROJECT}\n")
    assert "forgotten" in call("keys", "ls")
    noted = [(entry["action"], entry["project"]) for entry in database["audit"].find().sort("_id", 1)]
    assert noted[0] == ("key-made", PROJECT)
    assert noted[1] == ("key-rotated", PROJECT)
    assert noted[-1] == ("key-forgotten", PROJECT)


def test_doctor_says_whether_what_should_be_encrypted_can_be(
    keys: KeyFile, home: Path, policy: Callable[[str], None]
) -> None:
    from cloister.observer.doctor_command import check_encryption

    [nothing] = check_encryption(load_settings())
    assert (nothing.verdict, nothing.found.startswith("nothing is chosen")) == ("ok", True)
    policy(f'[encrypt]\n{PROJECT} = ["console"]\n')
    [missing] = check_encryption(load_settings())
    assert (missing.verdict, "keys add PROJECT" in missing.advice) == ("problem", True)
    keys.make(PROJECT)
    [found] = check_encryption(load_settings())
    assert (found.verdict, "medical: console; keys of medical" in found.found) == ("ok", True)
    keys.path.chmod(0o644)
    [open_to_all] = check_encryption(load_settings())
    assert (open_to_all.verdict, "chmod 600" in open_to_all.found) == ("problem", True)
