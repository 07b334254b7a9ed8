"""Which config entries and metrics all runs have, however old: read in the background, and again every hour.

A list of fields looks at the newest runs; what only old ones have is found here. Runs are grouped by the shape of their
config and the names of their metrics, so that the database sends each shape once.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..access.visibility import shown_in
from ..field_names import decode_field_name
from ..query.fields import Family
from ..run_query import PROJECT_OF_RUN
from ..run_record import SUMMARY, VISIBILITY

if TYPE_CHECKING:
    from pymongo.collection import Collection

    from ..access.principal import Principal

DEPTH = 6  # of a config; what lies deeper is one value
SHAPES_LIMIT = 20_000  # where each run has keys of its own, their catalogue would be larger than the runs are many
FieldCounts = Counter[tuple[Family, str]]


@dataclass
class Survey:
    """How many runs have each field, by project and by who sees them in general."""

    counts: dict[tuple[str, str], FieldCounts] = field(default_factory=dict)

    def seen_by(self, principal: Principal, project: str | None) -> FieldCounts:
        """Of the runs that the principal sees without being named; those of one project where it is given."""
        total: FieldCounts = Counter()
        if principal.kind == "share" or principal.limited_to is not None or not principal.sees_runs:
            return total
        for (name, visibility), counts in self.counts.items():
            is_asked = project in (None, name) and (principal.projects is None or name in principal.projects)
            if is_asked and (principal.sees_everything or visibility in shown_in(principal, name)):
                total.update(counts)
        return total


def survey_fields(runs: Collection[dict[str, Any]]) -> Survey:
    """Look at all runs."""
    config = {"$cond": [{"$eq": [{"$type": "$config"}, "object"]}, _shape("$config", DEPTH), []]}
    metrics = {"$map": {"input": {"$objectToArray": {"$ifNull": [f"${SUMMARY}", {}]}}, "in": "$$this.k"}}
    shape = {"project": PROJECT_OF_RUN, "visibility": f"${VISIBILITY}", "config": config, "metrics": metrics}
    stages: list[dict[str, Any]] = [
        {"$match": {SUMMARY: {"$type": "object"}}},
        {"$group": {"_id": shape, "runs": {"$sum": 1}}},
    ]
    survey = Survey()
    for group in itertools.islice(runs.aggregate(stages, allowDiskUse=True), SHAPES_LIMIT):
        found = group["_id"]
        visibility = found.get("visibility")
        place = found["project"], visibility if isinstance(visibility, str) else ""
        counts = survey.counts.setdefault(place, Counter())
        for key in _leaves(found["config"]):
            counts["config", key] += group["runs"]
        for name in found["metrics"]:
            counts["metrics", decode_field_name(name)] += group["runs"]
    return survey


def _shape(value: str, depth: int) -> dict[str, Any]:
    """The keys of a document and, below those that hold one, its own."""
    entry = f"$$entry{depth}"
    inner: Any = None
    if depth > 1:
        is_document = {"$eq": [{"$type": f"{entry}.v"}, "object"]}
        inner = {"$cond": [is_document, _shape(f"{entry}.v", depth - 1), None]}
    entries = {"k": f"{entry}.k", "n": inner}
    return {"$map": {"input": {"$objectToArray": value}, "as": f"entry{depth}", "in": entries}}


def _leaves(entries: Iterable[Mapping[str, Any]], prefix: str = "") -> Iterable[str]:
    for entry in entries:
        if entry.get("n"):
            yield from _leaves(entry["n"], f"{prefix}{entry['k']}.")
        else:
            yield f"{prefix}{entry['k']}"
