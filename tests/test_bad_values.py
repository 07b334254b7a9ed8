"""Each row of the catalogue of hostile inputs, given to one real training: it costs itself alone, and is told once."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cloister.observer.runs import RunStore
from conftest import RecordedScript
from hostile_values import CALLS, KEEP, METRICS, NAMES, STEPS, VALUES
from pymongo.database import Database

SCRIPT = """
    import pathlib
    from cloister import start_run
    from hostile_values import CALLS, METRICS, NAMES, STEPS, VALUES

    config = {name: value for name, (value, _) in VALUES.items()}
    config["mutable"] = mutable = [1]
    run = start_run(project="hostile", name="\\ud800 \\x00", tags=["\\ud800", 1, None], notes="\\ud800", config=config,
                    hardware=False)
    mutable.append(2)
    good = 0

    def log_good():
        global good
        run.log({"good": good}, step=good)
        good += 1

    for again in range(2):
        for name, (value, _) in METRICS.items():
            run.log({f"before {name}": 1.0, f"metric {name}": value, f"after {name}": 2.0}, step=again)
            log_good()
    for name, (step, _) in STEPS.items():
        run.log({f"step {name}": 1.0}, step=step)
        log_good()
    run.log({"past the largest": 1.0})
    for name in NAMES:
        run.log({name: 0.5, "beside a name": 1.0}, step=0)
        log_good()
    for call in CALLS:
        run.log(call, step=0)
        log_good()
    for place in (range, 3, None, "missing", "nul\\x00", "/"):
        run.log_artifact(place)
        log_good()
    for name, (value, _) in VALUES.items():
        pathlib.Path("file").write_text(name)
        run.log_artifact("file", name=f"artifact {name}", metadata={"before": 1, "value": value, "after": 2})
        log_good()
    for name in NAMES:
        run.log_artifact("file", name=name)
    run.add_tags("\\udfff", 5)
    run.note("nul \\x00")
    print("good", good)
    run.finish(result={name: value for name, (value, _) in VALUES.items()})
"""


class Hostile:
    """The one run of the script, as stored, and what the script said."""

    def __init__(self, script: RecordedScript, database: Database[dict[str, Any]]) -> None:
        process = script.run(SCRIPT, env={"PYTHONPATH": f"{Path(__file__).parent}:{os.environ.get('PYTHONPATH', '')}"})
        assert process.returncode == 0, process.stderr[-3000:]
        script.wait_until_shipped()
        self.run = script.only_run()
        self.warnings = process.stderr
        self.good = int(process.stdout.split()[-1])
        self.store: RunStore = script.store
        document = database["runs"].find_one()
        assert document is not None
        self.document = document

    def points(self, name: str) -> list[tuple[int, float]]:
        if name not in self.run.summary:
            return []
        points = self.store.load_points(self.run.id, name)
        return list(zip(points.steps.tolist(), points.values.tolist(), strict=True))


@pytest.fixture
def hostile(script: RecordedScript, database: Database[dict[str, Any]]) -> Iterator[Hostile]:
    return Hostile(script, database)


def test_every_row_of_the_catalogue_costs_itself_alone_and_is_told_once(hostile: Hostile) -> None:
    assert hostile.run.status == "completed"
    assert hostile.points("good") == [(step, float(step)) for step in range(hostile.good)]
    check_metrics(hostile)
    check_steps(hostile)
    check_names(hostile)
    check_values(hostile.run.config)
    assert hostile.run.config["mutable"] == [1]
    check_values(hostile.run.result)
    check_artifacts(hostile)
    assert hostile.run.name == "\\ud800 \x00"
    assert hostile.run.tags == ("\\ud800", "1", "None", "\\udfff", "5")
    assert hostile.run.notes == "nul \x00"


def check_metrics(hostile: Hostile) -> None:
    for name, (value, stored) in METRICS.items():
        assert hostile.points(f"before {name}") == [(0, 1.0), (1, 1.0)], name
        assert hostile.points(f"after {name}") == [(0, 2.0), (1, 2.0)], name
        found = [number for _, number in hostile.points(f"metric {name}")]
        told = re.findall(rf"Metric '{re.escape(f'metric {name}')}' got .*", hostile.warnings)
        if stored is None:
            assert found == [], name
            assert len(told) == 1, (name, told)
            assert f"({type(value).__name__})" in told[0]
            assert len(told[0]) < 500
        else:
            assert [math.copysign(1, number) for number in found] == [math.copysign(1, stored)] * 2, name
            assert [repr(number) for number in found] == [repr(stored)] * 2, name
            assert told == [], name


def check_steps(hostile: Hostile) -> None:
    for name, (_, stored) in STEPS.items():
        expected = [] if stored is None else [(stored, 1.0)]
        assert hostile.points(f"step {name}") == expected, name
    refused = {type(step).__name__ for step, stored in STEPS.values() if stored is None}
    told = re.findall(r"Step .* of metric 'step .*' is not a whole number of 64 bits", hostile.warnings)
    assert len(told) == len(refused)
    assert hostile.points("past the largest") == []


def check_names(hostile: Hostile) -> None:
    assert len(hostile.points("beside a name")) == len(NAMES)
    for name in NAMES:
        stored = name.encode("utf-8", "backslashreplace").decode()
        assert hostile.points(stored) == [(0, 0.5)], name
    assert len(re.findall(r"run\.log got .*, from which no metrics can be read", hostile.warnings)) == len(
        {type(call).__name__ for call in CALLS if not isinstance(call, dict)}
    )


def check_values(stored: dict[str, Any]) -> None:
    for name, (_, expected) in VALUES.items():
        assert name in stored
        if expected is not KEEP:
            assert repr(stored[name]) == repr(expected), name
    assert stored["deep 95"] != stored["deep 20"]
    assert sorted(stored["equal keys"].values()) == ["int", "text"]
    assert stored["surrogate key"]["kept"] == 2
    assert stored["raising key"]["kept"] == 2
    assert set(stored["foreign keys"]) == {"1", "(1, 2)", "None", "1.5"}
    assert stored["many texts"][0].startswith("x" * 1000)


def check_artifacts(hostile: Hostile) -> None:
    entries = {entry["name"]: entry for entry in hostile.document["artifacts"]}
    for name in VALUES:
        entry = entries[f"artifact {name}"]
        assert entry["metadata"]["before"] == 1
        assert entry["metadata"]["after"] == 2
        assert "value" in entry["metadata"]
        assert hostile.store.open_blob(entry["file_id"]).read() == name.encode()
    for name in NAMES:
        stored = name.encode("utf-8", "backslashreplace").decode()[:4096] or "file"
        assert any(found.startswith(stored) for found in entries), name
    assert "'missing'" in hostile.warnings
