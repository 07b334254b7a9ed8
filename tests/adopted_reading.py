"""What RunStore reads of all runs, in a form that two readings can be compared in."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from click.testing import CliRunner
from cloister.__main__ import main
from cloister.observer.blobs import BlobNotFound, DamagedBlob
from cloister.observer.runs import RunStore
from pymongo.database import Database

FILES = frozenset(("artifacts", "sources", "resources"))
# What only an adoption can know.
NEW = frozenset(("uid", "updated_at", "console_lines", "console_bytes", "summary", "system"))


def read_all(store: RunStore) -> dict[Any, Any]:
    """Every run by its id: fields, points, curves, output, bytes of files."""
    return {
        document["_id"]: read_one(store, document["_id"]) for document in store.database["runs"].find({}, {"_id": 1})
    }


def read_one(store: RunStore, run_id: Any) -> dict[str, Any]:
    run = store.load_run(run_id)
    fields = {
        name: value for name, value in vars(run).items() if name not in (*NEW, "artifacts", "sources", "resources")
    }
    names = [metric.name for metric in store.list_metrics(run_id)]
    return {
        **fields,
        "metrics": {name: points_of(store, run_id, name) for name in names},
        "curves": {name: curves_of(store, run_id, name) for name in names},
        "output": "".join(piece.text for piece in store.load_console(run_id).pieces),
        "artifacts": [(entry.name, entry.content_type, digest_of(store, entry.file_id)) for entry in run.artifacts],
        "sources": [(entry.path, digest_of(store, entry.file_id)) for entry in run.sources],
        "resources": [(entry.path, entry.md5) for entry in run.resources],
    }


def points_of(store: RunStore, run_id: Any, name: str) -> tuple[bytes, bytes, bytes]:
    points = store.load_points(run_id, name)
    return points.steps.tobytes(), points.values.tobytes(), points.wall_times.tobytes()


def curves_of(store: RunStore, run_id: Any, name: str) -> list[bytes]:
    """Charts whose every pixel has one point at most, and the extremes of one that is narrow."""
    steps = store.load_points(run_id, name).steps
    middle = float(np.median(steps)) if len(steps) else 0.0
    near = store.load_curve(run_id, name, pixels=2000, low=middle - 300, high=middle + 300)
    whole = store.load_curve(run_id, name, pixels=100)
    finite = whole.values[np.isfinite(whole.values)]
    ends = np.array([finite.min(), finite.max(), whole.total]) if len(finite) else np.array([whole.total])
    return [near.x.tobytes(), near.values.tobytes(), ends.astype(np.float64).tobytes()]


def digest_of(store: RunStore, file_id: Any) -> str:
    try:
        return hashlib.sha256(store.open_blob(file_id).read()).hexdigest()
    except (BlobNotFound, DamagedBlob) as error:
        return type(error).__name__


def content_of(database: Database[dict[str, Any]]) -> Mapping[str, str]:
    """A digest of every collection: equal when nothing at all was changed."""
    collections: Mapping[str, str] = database.command("dbHash")["collections"]
    return collections


@dataclass(frozen=True)
class Adopted:
    """How `cloister adopt` ended, and what it said."""

    returncode: int
    said: str


def adopt(*arguments: object, uri: str | None = None) -> Adopted:
    """`cloister adopt`, with `uri` as the database of the settings."""
    done = CliRunner().invoke(main, ["adopt", *map(str, arguments)], env={"CLOISTER_URI": uri}, prog_name="cloister")
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return Adopted(done.exit_code, done.output)
