"""Incense reads what we write: what its calls return, in an environment of its own."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from peer_installs import incense_interpreter
from runs_for_readers import HOSTILE_NAMES, LONG_POINTS, PEAK_STEP, artifact_files
from runs_to_read import STATUSES, RunsToRead

PROGRAM = Path(__file__).with_name("incense_reading.py")


@dataclass(frozen=True)
class Read:
    """What Incense has found; `answer` as `incense_reading` writes it."""

    runs: RunsToRead
    answer: dict[str, Any]
    saved: Path

    def run(self, kind: str) -> Any:
        return self.answer["runs"][str(self.runs.number(kind))]


@pytest.fixture(scope="module")
def read(mongod: str, runs_to_read: RunsToRead, tmp_path_factory: pytest.TempPathFactory) -> Read:
    python, folder = incense_interpreter(), tmp_path_factory.mktemp("incense")
    done = subprocess.run(
        [str(python), str(PROGRAM), mongod, runs_to_read.database.name, str(folder)],
        env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | {"PYTHONWARNINGS": ""},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return Read(runs_to_read, json.loads((folder / "read.json").read_text(encoding="utf-8")), folder / "saved")


def test_every_run_is_found_in_every_way(read: Read) -> None:
    numbers = sorted(read.runs.numbers.values())
    assert sorted(map(int, read.answer["runs"])) == numbers
    assert sorted(read.answer["not unpickled"]) == numbers
    assert sorted(read.answer["by ids"]) == numbers
    assert read.answer["by id"] == 1
    assert read.answer["by name"] == ["completed"]
    assert sorted(read.answer["by key"]) == ["failed", "sacred"]
    assert {read.runs.number(kind) for kind in ("completed", "hostile", "sacred")} <= set(read.answer["by config"])
    assert sorted(read.answer["by nested config"]) == [read.runs.number("completed"), read.runs.number("hostile")]
    assert {read.runs.number(kind) for kind in ("loud", "forked", "running")} <= set(read.answer["by query"])
    assert read.answer["latest"] == 3


@pytest.mark.parametrize("kind", STATUSES)
def test_every_run_is_shown_with_its_status(read: Read, kind: str) -> None:
    run = read.run(kind)
    assert run["status"] == {"PROBABLY_DEAD": "RUNNING"}.get(STATUSES[kind], STATUSES[kind])
    assert f"id={read.runs.number(kind)}" in run["repr"]
    assert set(run["named"]) == set(run["metrics"])


def test_what_sacred_recorded_through_us_is_as_sacred_recorded_it(read: Read) -> None:
    for kind in ("sacred", "adopted"):
        assert read.run(kind)["metrics"]["loss"] == {"count": 50, "steps": [0, 49, 49], "values": [1.0, 1.0, 0.02]}
        assert read.run(kind)["metrics"]["system/threads too"]["values"] == ["nan", "inf", 1.0]
        assert read.run(kind)["artifacts"]["artifact.csv"]["kind"] == "CSVArtifact"


def test_metrics_are_columns_by_step(read: Read) -> None:
    assert read.run("completed")["metrics"] == {
        "loss": {"count": 100, "steps": [0, 99, 99], "values": [1.0, 1.0, 0.01]},
        "val/accuracy": {"count": 100, "steps": [0, 99, 99], "values": [0.0, 0.99, 0.99]},
    }
    assert read.run("forked")["metrics"]["loss"] == {"count": 60, "steps": [0, 59, 59], "values": [1.0, 1.0, 0.5]}
    assert read.run("resumed")["metrics"]["loss"] == {"count": 11, "steps": [0, 10, 10], "values": [10.0, 10.0, 0.0]}


def test_of_a_million_points_the_extremes_are_there(read: Read) -> None:
    wave = read.run("long")["metrics"]["wave"]
    assert 1000 <= wave["count"] <= 10_000
    assert wave["steps"] == [0, LONG_POINTS - 1, LONG_POINTS - 1]
    assert wave["values"] == [0.0, 1000.0, 0.999]
    [document] = read.runs.database["metrics"].find({"run_id": read.runs.number("long"), "name": "wave"})
    assert PEAK_STEP in document["steps"]


def test_values_that_are_no_numbers_stay_what_they_are(read: Read) -> None:
    metrics = read.run("hostile")["metrics"]
    assert set(metrics) >= {*HOSTILE_NAMES} - {"\ud800"}
    assert all(metric == {"count": 5, "steps": [0, 4, 4], "values": ["nan", "inf", 0.5]} for metric in metrics.values())


def test_info_is_read_as_sacred_stores_it(read: Read) -> None:
    assert read.run("completed")["info"] == {"note": "'kept'"}
    info = read.run("hostile")["info"]
    assert info["bytes"] == "'AP8='"
    assert info["large"] == str(2**63 - 1)
    assert info["a%2Eb"] == "[1, None]"
    sacred = read.run("sacred")["info"]
    assert sacred["when"] == "datetime.datetime(2026, 11, 21, 0, 0)"
    assert sacred["twice"] == "[[0, 1, 2], {'1': [2, 3]}]"


def test_artifacts_are_of_their_kind_and_saved_under_their_names(read: Read) -> None:
    expected = artifact_files()
    found = read.run("completed")["artifacts"]
    assert {name: artifact["size"] for name, artifact in found.items()} == {
        name: len(content) for name, content in expected.items()
    }
    assert found["dot.png"]["kind"] == "ImageArtifact"
    assert found["table.csv"]["rendered"].split() == ["epoch", "loss", "0", "1", "0.50", "1", "2", "0.25"]
    for name, content in expected.items():
        assert (read.saved / f"{read.runs.number('completed')}_{name}").read_bytes() == content


def test_runs_are_projected_on_a_table(read: Read) -> None:
    row = read.answer["projected"][str(read.runs.number("completed"))]
    assert row == {"name": "completed", "lr": 0.1, "status": "COMPLETED", "loss_max": 1.0}
    assert len(read.answer["projected"]) == 2
