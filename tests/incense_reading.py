"""All that Incense can read of a database, as JSON in a file: python incense_reading.py URI DATABASE FOLDER

Run by the Python of Incense's own environment: it knows nothing of us. What it saves of artifacts is in FOLDER.
"""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import Any

import incense
from incense import ExperimentLoader
from incense.artifact import Artifact


def main(uri: str, database: str, folder: Path) -> None:
    loader = ExperimentLoader(mongo_uri=uri, db_name=database)
    runs = {experiment.id: read_run(experiment, folder) for experiment in loader.find_all()}
    plain = ExperimentLoader(mongo_uri=uri, db_name=database, unpickle=False)
    answer = {
        "version": incense.__version__,
        "runs": runs,
        "not unpickled": [experiment.id for experiment in plain.find_all()],
        "by id": loader.find_by_id(1).id,
        "by ids": [experiment.id for experiment in loader.find_by_ids(list(runs))],
        "by name": [experiment.experiment.name for experiment in loader.find_by_name("^comp")],
        "by config": [experiment.id for experiment in loader.find_by_config_key("lr", 0.1)],
        "by nested config": [experiment.id for experiment in loader.find_by_config_key("optimizer.name", "adam")],
        "by key": [experiment.experiment.name for experiment in loader.find_by_key("status", "FAILED")],
        "by query": [experiment.id for experiment in loader.find({"config.lr": {"$gt": 0.45}})],
        "latest": len(loader.find_latest(3)),
        "projected": project(loader),
    }
    (folder / "read.json").write_text(json.dumps(answer), encoding="utf-8")


def read_run(experiment: Any, folder: Path) -> dict[str, Any]:
    whole = experiment.to_dict()
    return {
        "repr": repr(experiment),
        "status": experiment.status,
        "config": {key: repr(value) for key, value in whole["config"].items()},
        "info": {key: repr(value) for key, value in whole["info"].items() if key != "metrics"},
        "named": [entry["name"] for entry in whole["info"].get("metrics", [])],
        "fields": sorted(whole),
        "metrics": {
            name: {"steps": summarize(column.index), "values": summarize(column), "count": len(column)}
            for name, column in experiment.metrics.items()
            if len(column)
        },
        "artifacts": {name: read_artifact(artifact, folder) for name, artifact in experiment.artifacts.items()},
    }


def read_artifact(artifact: Artifact, folder: Path) -> dict[str, Any]:
    artifact.save(str(folder / "saved"))
    rendered = None
    if type(artifact) is not Artifact and artifact.content_type != "application/pdf":
        rendered = repr(artifact.as_content_type(artifact.content_type).render())
    return {"kind": type(artifact).__name__, "size": len(artifact.content), "rendered": rendered}


def summarize(column: Any) -> list[Any]:
    """First, largest, last."""
    values = column.tolist()
    return [plain(values[0]), plain(column.max()), plain(values[-1])]


def plain(value: Any) -> Any:
    number = value.item() if hasattr(value, "item") else value  # numpy's
    return repr(number) if isinstance(number, float) and not math.isfinite(number) else number


def project(loader: ExperimentLoader) -> dict[str, Any]:
    chosen = loader.find_by_name("^(completed|failed)$")
    table = chosen.project(on=["experiment.name", "config.lr", "status", {"metrics.loss": max}])
    return {str(number): row for number, row in table.to_dict("index").items()}


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
