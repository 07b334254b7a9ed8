"""Pages and REST of encrypted runs: plain text where the viewer has the key, a lock where it has not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from cloister.observer.encryption.key_care import add_key
from cloister.observer.encryption.key_providers import open_provider
from cloister.observer.runs import RunStore
from cloister.observer.settings import load_settings
from cloister.viewer.app import create_app
from conftest import StartRun
from flask.testing import FlaskClient
from pymongo.database import Database

SECRETS = ("verborgen-config", "verborgen-console", "verborgen-artifact", "verborgen-source", "verborgen-trace")
TABS = ("", "/config", "/console", "/console/lines", "/console/download", "/source?file=train.py", "/artifacts")


@pytest.fixture
def client(store: RunStore) -> FlaskClient:
    return create_app(store).test_client()


@pytest.fixture
def run_id(start: StartRun, database: Database[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> int:
    """A run that is wholly encrypted, in a project with a key."""
    monkeypatch.setenv("CLOISTER_KEYS", str(tmp_path / "keys.json"))
    monkeypatch.setenv("CLOISTER_ENCRYPT", "everything")
    settings = load_settings()
    add_key(database, "medical", open_provider(settings), settings)
    config, console, artifact, source, trace = SECRETS
    (tmp_path / "notes.txt").write_text(f"{artifact}\n")
    with start(project="medical", config={"patient": config}) as run:
        run._recorder.record_console("stdout", f"{console}\n", 1e9)
        run._recorder.record_source("train.py", f"# {source}\n".encode())
        run.log({"loss": 0.25})
        run.log_artifact(tmp_path / "notes.txt")
        run.end_as(ValueError(trace))
    assert run.wait_until_stored(20)
    assert run.id is not None
    return run.id


def _shown(client: FlaskClient, run_id: int) -> str:
    return "".join(client.get(f"/runs/{run_id}{tab}").get_data(as_text=True) for tab in TABS)


def test_with_the_key_pages_show_what_was_recorded(client: FlaskClient, run_id: int) -> None:
    shown = _shown(client, run_id)
    assert [secret for secret in SECRETS if secret not in shown] == []
    assert "locked here" not in shown
    assert "config, console, sources, artifacts, results" in shown  # the privacy card says what is encrypted
    told = client.get(f"/api/v1/runs/{run_id}").get_json()
    assert (told["config"], told["encrypted"], told["locked"]) == ({"patient": SECRETS[0]}, ["everything"], "")
    [artifact] = client.get(f"/api/v1/runs/{run_id}/artifacts").get_json()["artifacts"]
    part = client.get(artifact["url"], headers={"Range": "bytes=10-17"})
    assert (part.status_code, part.data) == (206, b"artifact")


def test_without_the_key_pages_show_locks_and_no_answer_fails(
    client: FlaskClient, run_id: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLOISTER_KEYS", str(tmp_path / "nobodys.json"))
    answers = {tab: client.get(f"/runs/{run_id}{tab}") for tab in TABS}
    assert {answer.status_code for answer in answers.values()} == {200}
    shown = "".join(answer.get_data(as_text=True) for answer in answers.values())
    assert [secret for secret in SECRETS if secret in shown] == []
    assert str(tmp_path) not in shown  # where keys lie is no reader's affair
    for words in ("locked here", "The console is encrypted", "This file is encrypted", "1 line, encrypted"):
        assert words in shown, words
    assert "locked-value" in answers["/config"].get_data(as_text=True)
    assert "0.25" in answers[""].get_data(as_text=True)  # metrics are not encrypted
    told = client.get(f"/api/v1/runs/{run_id}").get_json()
    assert (told["config"], told["locked"].startswith("The key of project")) == ({"patient": "encrypted"}, True)
    [artifact] = client.get(f"/api/v1/runs/{run_id}/artifacts").get_json()["artifacts"]
    refused = client.get(artifact["url"])
    assert (refused.status_code, refused.get_json()["title"]) == (423, "This is encrypted")
    assert client.get(f"/runs/{run_id}/source/file?path=train.py").status_code == 423


def test_the_keys_page_lists_what_opens_what_is_locked_and_what_has_no_key(
    client: FlaskClient, run_id: int, database: Database[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = client.get("/privacy/keys").get_data(as_text=True)
    assert "medical" in page
    assert "opens here" in page
    assert str(tmp_path / "keys.json") in page  # for who runs the site, as everybody on this machine does
    monkeypatch.setenv("CLOISTER_KEYS", str(tmp_path / "nobodys.json"))
    assert "1 project is locked here." in client.get("/privacy/keys").get_data(as_text=True)
    monkeypatch.delenv("CLOISTER_ENCRYPT")
    database["encryption_keys"].delete_many({})
    assert "Nothing is encrypted" in client.get("/privacy/keys").get_data(as_text=True)
    (tmp_path / "policy.toml").write_text('[encrypt]\n"*" = ["console"]\n')
    monkeypatch.setenv("CLOISTER_POLICY", str(tmp_path / "policy.toml"))
    assert "1 project has no key." in client.get("/privacy/keys").get_data(as_text=True)
