"""`make demo`: from nothing to a dashboard that shows two finished trainings and a live one."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from cloister.observer.embedded import EmbeddedServer
from cloister.observer.settings import load_settings
from conftest import free_port
from recorded_script import wait_for

ROOT = Path(__file__).parent.parent
pytestmark = pytest.mark.slow


@pytest.fixture
def embedded_home(home: Path) -> Iterator[Path]:
    yield home
    EmbeddedServer(load_settings()).stop()


@contextmanager
def started_demo(home: Path) -> Iterator[subprocess.Popen[str]]:
    environment = {**os.environ, "CLOISTER_HOME": str(home), "CLOISTER_URI": "mongodb://team.invalid", "COLUMNS": "200"}
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "examples" / "demo.py")],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=60)


def read_until(process: subprocess.Popen[str], start: str) -> tuple[str, list[str]]:
    """What follows `start` on its line, and the lines before."""
    assert process.stdout is not None
    before: list[str] = []
    for line in process.stdout:
        if line.startswith(start):
            return line.removeprefix(start).strip(), before
        before.append(line)
    raise AssertionError(f"no line begins with {start!r}: {before}, {process.stderr and process.stderr.read()}")


def runs_at(address: str) -> list[dict[str, Any]]:
    """The runs that the dashboard's API tells of, oldest first."""
    with urllib.request.urlopen(f"{address}api/v1/projects/digits/runs?sort=started", timeout=20) as answer:
        runs: list[dict[str, Any]] = json.load(answer)["runs"]
    return runs


def points_of(address: str, run_id: int) -> int:
    with urllib.request.urlopen(f"{address}api/v1/runs/{run_id}/metrics", timeout=20) as answer:
        return {metric["name"]: metric["count"] for metric in json.load(answer)["metrics"]}.get("val/accuracy", 0)


def test_the_demo_shows_two_finished_trainings_and_a_live_one_and_leaves_them(embedded_home: Path) -> None:
    with started_demo(embedded_home) as demo:
        address, before = read_until(demo, "Cloister is at ")
        assert any("CLOISTER_URI is set and not used" in line for line in before)
        with urllib.request.urlopen(address, timeout=20) as answer:
            assert "digits" in answer.read().decode()
        wait_for(lambda: len(runs_at(address)) == 3, "the dashboard shows three runs")
        first, second, live = (run["id"] for run in runs_at(address))
        assert [run["status"] for run in runs_at(address)] == ["completed", "completed", "running"]
        assert points_of(address, first) == points_of(address, second) == 40
        wait_for(lambda: points_of(address, live) > 0, "the live run's first points are shown")
        seen = points_of(address, live)
        wait_for(lambda: points_of(address, live) > seen, "more of its points are shown")

        demo.send_signal(signal.SIGINT)
        rest, errors = demo.communicate(timeout=60)

    assert demo.returncode == 0
    assert "The runs stay" in rest
    assert "Traceback" not in errors
    # A training that is ended by a signal does not wait; the courier ships the rest.
    wait_for(lambda: stored_runs()[2]["status"] != "RUNNING", "the last training's end is stored")
    runs = stored_runs()
    assert [run["status"] for run in runs] == ["COMPLETED", "COMPLETED", "INTERRUPTED"]
    assert {artifact["name"] for artifact in runs[0]["artifacts"]} == {"confusion.png", "mistakes.png", "model.joblib"}


def stored_runs() -> list[dict[str, Any]]:
    import pymongo

    uri = EmbeddedServer(load_settings()).uri()
    assert uri is not None, "the demo's end left no database"
    with pymongo.MongoClient[dict[str, Any]](uri) as client:
        return list(client["cloister"]["runs"].find().sort("_id"))


def test_the_demo_takes_the_next_port_when_its_own_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "examples"))
    import demo

    taken = free_port()
    monkeypatch.setattr(demo, "FIRST_PORT", taken)
    assert demo.free_port() == taken
    with socket.create_server(("127.0.0.1", taken)):
        assert demo.free_port() != taken
