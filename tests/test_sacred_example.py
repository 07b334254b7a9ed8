"""examples/sacred_digits: a published Sacred script as it is, under our observer, and its port: equal records."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from cloister.observer.run_record import RunRecord
from cloister.observer.runs import RunStore
from recorded_script import RecordedScript

pytest.importorskip("sacred", reason="needs sacred")
pytest.importorskip("sklearn", reason="needs scikit-learn")

EXAMPLE = Path(__file__).parent.parent / "examples" / "sacred_digits"


def recorded(script: RecordedScript, name: str, words: str) -> RunRecord:
    """The run that the example's program records with these words, in a folder of its own."""
    source = f"""
        import runpy, sys

        sys.path.insert(0, {str(EXAMPLE)!r})
        sys.argv = [{str(EXAMPLE / name)!r}, *{words.split()!r}]
        runpy.run_path(sys.argv[0], run_name="__main__")
    """
    finished = script.run(source)
    assert finished.returncode == 0, finished.stderr
    return script.store.load_run(max(run["_id"] for run in script.store.database["runs"].find({}, {"_id": 1})))


def facts(store: RunStore, run: RunRecord) -> dict[str, Any]:
    """What a run recorded, without what differs from run to run."""
    printed = "".join(piece.text for piece in store.load_console(run.id).pieces)
    points = {name: store.load_points(run.id, name) for name in run.summary}
    return {
        "status": run.status,
        "experiment": run.experiment,
        "command": run.command,
        "config": run.config,
        "result": run.result,
        "metrics": {name: (list(found.steps), list(found.values)) for name, found in points.items()},
        "artifacts": [(item.name, item.sha256) for item in run.artifacts],
        "resources": [(Path(item.path).name, item.md5, item.size) for item in run.resources],
        "presets": run.meta.get("named_configs"),
        "printed": [line for line in printed.splitlines() if "INFO" not in line],  # what Sacred itself says
    }


def test_a_sacred_script_and_its_port_end_with_equal_records(script: RecordedScript) -> None:
    original = recorded(script, "record.py", "with wide lr=0.02")
    ported = recorded(script, "ported.py", "@wide lr=0.02")
    found = facts(script.store, original)
    assert found == facts(script.store, ported)
    assert found["config"]["smallest_lr"] == 0.02 / 100
    assert len(found["metrics"]["val.loss"][0]) == 3
    assert found["result"] == found["metrics"]["val.accuracy"][1][-1] > 0.5
    assert [source.path for source in original.sources] == ["sacred_script.py"]
