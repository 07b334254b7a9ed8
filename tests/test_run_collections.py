"""Collections under other names: a prefix, a runs collection, and what is never renamed."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import cloister
import pytest
from cloister.observer.run_collections import (
    RENAMED,
    BadCollections,
    Collections,
    collections_of,
    with_collections,
)
from pymongo import WriteConcern
from pymongo.database import Database

ROOT = Path(cloister.__file__).parent
NEVER_RENAMED = {
    *("fs", "fs.files", "fs.chunks", "uploads"),
    *("users", "groups", "policy", "audit", "shares"),  # of the site, not of a set of runs
}


@pytest.mark.parametrize(
    ("text", "runs", "metrics", "chunks"),
    [
        ("", "runs", "metrics", "metric_chunks"),
        ("lab", "lab_runs", "lab_metrics", "lab_metric_chunks"),
        ("lab_", "lab_runs", "lab_metrics", "lab_metric_chunks"),
        ("runs=mine", "mine", "metrics", "mine_metric_chunks"),
    ],
)
def test_a_set_of_collections_is_named_as_sacred_names_it(text: str, runs: str, metrics: str, chunks: str) -> None:
    collections = Collections.parse(text)

    assert [collections.name(name) for name in ("runs", "metrics", "metric_chunks")] == [runs, metrics, chunks]
    assert [collections.name(name) for name in sorted(NEVER_RENAMED)] == sorted(NEVER_RENAMED)
    assert Collections.parse(str(collections)) == collections
    assert Collections.of_header(collections.as_header()) == collections


def test_what_is_written_into_a_set_lies_under_its_names(database: Database[dict[str, Any]]) -> None:
    lab = with_collections(database, Collections(prefix="lab"))
    lab["runs"].insert_one({"_id": 1})
    lab.with_options(write_concern=WriteConcern(w=1))["console"].insert_one({"_id": 2})
    lab.create_collection("metrics")

    assert {"lab_runs", "lab_console", "lab_metrics"} <= set(database.list_collection_names())
    assert lab.collection_name("runs") == "lab_runs"
    assert database["runs"].count_documents({}) == 0
    assert lab["fs.files"].name == "fs.files"
    assert collections_of(lab) == Collections(prefix="lab")
    assert collections_of(database).is_default


@pytest.mark.parametrize("given", [{"prefix": "a", "runs": "b"}, {"runs": ""}, {"prefix": "$x"}, {"runs": "system.x"}])
def test_names_that_mongodb_or_sacred_refuse_are_explained(given: dict[str, str]) -> None:
    with pytest.raises(BadCollections, match="Give a prefix"):
        Collections(**given)


def test_every_collection_that_the_code_names_is_renamed_or_known_not_to_be() -> None:
    named: set[str] = set()
    for room in ("observer", "decorators", "viewer"):
        for path in (ROOT / room).rglob("*.py"):
            named |= set(re.findall(r"database\[\"([a-z_.]+)\"\]", path.read_text(encoding="utf-8")))

    assert {"runs", "metrics", "console", "fs.files"} <= named
    assert {name for name in named if "." not in name} <= RENAMED | NEVER_RENAMED
