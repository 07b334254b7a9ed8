"""Secrets planted wherever a training passes one: none is in a journal, a database file, a log or on a page."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pymongo
import pytest
from cloister.observer.indexes import ensure_indexes
from cloister.observer.run_query import RunQuery
from cloister.observer.runs import RunStore
from cloister.viewer.app import create_app
from conftest import free_port, running_mongod
from sacred_scripts import need_sacred

# Where each is planted, and the secret. Random once, so that nothing holds them by accident.
CANARIES = {
    "password in config": "Kx7-canary-config-pass",
    "nested api key in config": "q9Zcanaryapikey0001",
    "default in config": "Vb3-canary-default",
    "URI in config": "Lm4canaryuripass",
    "override on the command line": "Ty6-canary-override",
    "token variable": "wE5-canary-env-token",
    "password in a URI variable": "Hs8canarymongopass",
    "secret of a cloud in a variable": "Ru2/canary/aws+secret+0001",
    "printed password": "Pq1-canary-printed",
    "printed variable": "jN3-canary-env-other",
    "secret cut over two writes": "Zc4canarycutsecret9",
    "token in a URL that is printed": "Gd7canaryurltoken",
    "bearer token on stderr": "Bk2canarybearer0123456789",
    "printed by a child process": "Xf5-canary-child",
    "logged by logging": "Oa9-canary-logged",
    "printed private key": "MIICanaryPrivateKeyLine0001",
    "literal in the main file": "Ie6-canary-main-file",
    "literal in an imported module": "Mw8-canary-module",
    "key id of a cloud in the code": "AKIA" + "CANARY0000EXAMPL",
    "changed file that is not committed": "Cv1-canary-diff",
    "token in the git remote": "ghp" + "_canaryremotecanaryremotecanaryremo0",
    "password in the git remote": "Sn4canaryremotepass",
    "message of the exception": "Du3-canary-exception",
    "line of code in the traceback": "Fy7-canary-trace-line",
    "output of a notebook": "Ah2-canary-notebook",
    "text of an artifact": "Wp5-canary-artifact",
    "metadata of an artifact": "Ez9-canary-metadata",
    "run.info": "Yk1-canary-info",
    "run.note": "Bt6-canary-note",
    "tag": "hf" + "_canarytagcanarytagcanarytagcanary0",
    "Sacred's config": "Qr8-canary-sacred-config",
    "Sacred's output": "Nl3-canary-sacred-print",
    "Sacred's source": "Jd5-canary-sacred-source",
    "Sacred's exception": "Uc7-canary-sacred-error",
    "words of a plain script": "Gm2-canary-plain-words",
    "output of a plain script": "Xo4-canary-plain-print",
}
C = CANARIES

ENVIRONMENT = {
    "TEAM_TOKEN": C["token variable"],
    "RESULTS_URI": f"mongodb://ana:{C['password in a URI variable']}@lab-db:27017/x",
    "AWS_SECRET_ACCESS_KEY": C["secret of a cloud in a variable"],
    "LAB_PASSWORD": C["printed variable"],
}

TRAIN = f"""
import logging, os, subprocess, sys, time
import cloister
import lab

SECRET_KEY = "{C["literal in the main file"]}"
CLOUD = "{C["key id of a cloud in the code"]}"

@cloister.experiment(project="canaries", tags=["{C["tag"]}"])
def train(lr: float = 0.1, password: str = "{C["default in config"]}", service: dict | None = None, uri: str = ""):
    run = cloister.current_run()
    print("login with password={C["printed password"]}")
    print("the token is", os.environ["TEAM_TOKEN"], "and", os.environ["LAB_PASSWORD"], os.environ["RESULTS_URI"])
    print("also", os.environ["AWS_SECRET_ACCESS_KEY"])
    sys.stdout.write("secret=Zc4canary"); sys.stdout.flush(); sys.stdout.write("cutsecret9\\n")
    print("GET https://forge/x?access_token={C["token in a URL that is printed"]}&page=1")
    print("Authorization: Bearer {C["bearer token on stderr"]}", file=sys.stderr)
    sys.stdout.flush()
    subprocess.run([sys.executable, "-c", "print('api_key: {C["printed by a child process"]}')"])
    logging.basicConfig(); logging.warning("db_password=%s", lab.DB_PASSWORD)
    print("-----BEGIN RSA PRIVATE KEY-----\\n{C["printed private key"]}\\n-----END RSA PRIVATE KEY-----")
    run.log({{"loss": 0.5}})
    run.info["login"] = {{"password": "{C["run.info"]}"}}
    run.note("the password: {C["run.note"]}")
    run.log_artifact("out.ipynb")
    run.log_artifact("conf.yaml", metadata={{"api_key": "{C["metadata of an artifact"]}"}})
    lab.connect(password="{C["line of code in the traceback"]}")

if __name__ == "__main__":
    train(service={{"api_key": "{C["nested api key in config"]}"}}, uri="postgres://ana:{C["URI in config"]}@db/x",
          password=sys.argv[1].partition("=")[2])
"""
LAB = f"""
DB_PASSWORD = "{C["logged by logging"]}"

def connect(password):
    credentials = {{"password": "{C["literal in an imported module"]}"}}
    raise RuntimeError(f"refused: password={C["message of the exception"]}")
"""
SACRED = f"""
import cloister, sacred

ex = sacred.Experiment("canaries", save_git_info=False)
ex.observers.append(cloister.MongoObserver())
API_TOKEN = "{C["Sacred's source"]}"

@ex.config
def settings():
    db = {{"password": "{C["Sacred's config"]}"}}

@ex.automain
def main(db):
    print("password: {C["Sacred's output"]}")
    raise ValueError("token={C["Sacred's exception"]}")
"""
PLAIN = f"print('client_secret = {C['output of a plain script']}')\n"
OUTPUTS = [{"text": [f"password: {C['output of a notebook']}\n"]}]
CELLS = [{"cell_type": "code", "source": "login()", "outputs": OUTPUTS}]
NOTEBOOK = {"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": CELLS}


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Path, RunStore, str]]:
    """The folder of journals as they were while no database answered, the data files, and the runs once shipped."""
    need_sacred()
    folder, data = tmp_path_factory.mktemp("canaries"), tmp_path_factory.mktemp("data")
    project = make_project(folder / "project")
    port, home = free_port(), folder / "home"
    uri = f"mongodb://127.0.0.1:{port}/canaries?directConnection=true"
    env = {
        **os.environ, **ENVIRONMENT, "CLOISTER_HOME": str(home), "CLOISTER_URI": uri, "CLOISTER_EXIT_WAIT": "0",
        "CLOISTER_CAPTURE": "fd", "CLOISTER_COURIER_IDLE": "0.5",
    }  # fmt: skip
    override = f"password={C['override on the command line']}"
    words = ["--password", C["words of a plain script"]]
    commands = [["train.py", override], ["sacred_train.py"], ["-m", "cloister", "run", "plain.py", *words]]
    started = [
        subprocess.Popen(
            [sys.executable, *command], cwd=project, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        for command in commands
    ]
    outs = [process.communicate(timeout=120) for process in started]
    assert [process.returncode for process in started] == [1, 1, 0], outs
    assert all(secret.encode() in outs[0][0] + outs[0][1] for secret in (C["printed password"], C["logged by logging"]))
    journal = folder / "journal-as-it-was"
    subprocess.run(["cp", "-r", str(home), str(journal)], check=True)
    plain = ["--wiredTigerCollectionBlockCompressor", "none", "--wiredTigerJournalCompressor", "none"]
    with running_mongod(data, *plain, port=port):
        done = subprocess.run([sys.executable, "-m", "cloister", "sync"], env=env, capture_output=True, timeout=120)
        assert done.returncode == 0, done.stderr
        with pymongo.MongoClient(uri, tz_aware=True) as client:
            database = client.get_default_database()
            ensure_indexes(database)
            client.admin.command("fsync")
            yield journal, data, RunStore(database), str(home)


def make_project(folder: Path) -> Path:
    folder.mkdir()
    for name, text in (("train.py", TRAIN), ("lab.py", LAB), ("sacred_train.py", SACRED), ("plain.py", PLAIN)):
        (folder / name).write_text(text)
    (folder / "out.ipynb").write_text(json.dumps(NOTEBOOK))
    (folder / "conf.yaml").write_text("lr: 0.1\n")
    user = ["-c", "user.name=a", "-c", "user.email=a@b"]
    remotes = [
        f"https://{C['token in the git remote']}@forge/a.git",
        f"https://a:{C['password in the git remote']}@f/a",
    ]
    for words in (["init", "-q"], ["add", "."], [*user, "commit", "-q", "-m", "First"],
                  ["remote", "add", "origin", remotes[0]], ["remote", "add", "other", remotes[1]]):  # fmt: skip
        subprocess.run(["git", *words], cwd=folder, check=True)
    changed = f"lr: 0.1\npassword: {C['changed file that is not committed']}\ntoken: {C['text of an artifact']}\n"
    (folder / "conf.yaml").write_text(changed)
    return folder


def found_in(folder: Path) -> dict[str, list[str]]:
    """The canaries that stand in the bytes of any file, by file."""
    found = {}
    for path in folder.rglob("*"):
        if path.is_file():
            content = path.read_bytes().rstrip(b"\0")  # MongoDB sets space aside for its own journal
            here = [where for where, secret in CANARIES.items() if secret.encode() in content]
            if here:
                found[str(path.relative_to(folder))] = here
    return found


def test_no_canary_is_in_a_journal_or_log(recorded: tuple[Path, Path, RunStore, str]) -> None:
    journal, _, _, home = recorded
    assert sum(path.stat().st_size for path in journal.rglob("*") if path.is_file()) > 10_000, (
        "the journals hold the runs"
    )
    assert found_in(journal) == {}
    assert found_in(Path(home)) == {}


def test_no_canary_is_in_the_files_of_the_database(recorded: tuple[Path, Path, RunStore, str]) -> None:
    _, data, store, _ = recorded
    assert b"[redacted:password]" in b"".join(path.read_bytes() for path in data.rglob("*.wt")), (
        "what is stored can be read"
    )
    assert found_in(data) == {}
    runs = store.list_runs(RunQuery()).runs
    assert sorted(run.status for run in runs) == ["completed", "failed", "failed"]


def test_no_canary_is_on_a_page_or_in_an_answer_and_the_run_says_where_they_were(
    recorded: tuple[Path, Path, RunStore, str],
) -> None:
    _, _, store, _ = recorded
    client = create_app(store).test_client()
    shown = 0
    for run in store.list_runs(RunQuery()).runs:
        record = store.load_run(run.id)
        tabs = (
            "",
            "/config",
            "/console",
            "/source",
            "/artifacts",
            "/environment",
            "/console/download",
            "/source/diff.patch",
        )
        files = [f"/source/file?path={source.path}" for source in record.sources]
        addresses = [f"/runs/{run.id}{tab}" for tab in (*tabs, *files)] + [f"/api/v1/runs/{run.id}"]
        for address in addresses:
            answer = client.get(address, follow_redirects=True)
            assert answer.status_code in (200, 404), address
            shown += answer.data.count(b"[redacted:")
            assert not [where for where, secret in CANARIES.items() if secret.encode() in answer.data], address
    assert shown > 20
    [ours] = [run for run in map(store.load_run, (1, 2, 3)) if run.artifacts]
    told = {(one.where, one.rule) for one in ours.redactions}
    for where, rule in (
        ("config: password", "password"), ("config: service.api_key", "api-key"), ("command line", "password"),
        ("config: uri", "url-credentials"), ("console: stdout", "private-key"), ("console: stderr", "authorization"),
        ("source: train.py", "secret"), ("source: lab.py", "password"), ("uncommitted changes", "password"),
        ("exception", "password"), ("artifact: out.ipynb", "password"), ("metadata of conf.yaml: api_key", "api-key"),
        ("info: login.password", "password"), ("notes", "password"), ("tags", "access-token"),
    ):  # fmt: skip
        assert (where, rule) in told, (where, rule, sorted(told))
