"""Some fields of many runs as numpy columns: what an explanation, or a table of figures, reckons with.

Of each run only the fields that are asked for leave the database, never its document.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from .query.fields import Field, Kind, find_field
from .run_order import sort_value

if TYPE_CHECKING:
    from .run_query import RunQuery
    from .run_record import RunId
    from .runs import RunStore

MOST_RUNS = 20_000  # the newest; a figure of more shows no more
CATEGORY_CHARS = 80
Column = np.ndarray[Any, Any]


@dataclass(frozen=True)
class RunColumns:
    """The newest runs that a query matches, as columns of one length.

    Attributes:
        columns: by key: float64 with NaN where a run has no number, or, where any value is none, text and None.
        total: how many runs the query matches; more than there are here where it matches many.
    """

    ids: tuple[RunId, ...]
    names: tuple[str, ...]
    columns: Mapping[str, Column]
    total: int

    def __len__(self) -> int:
        return len(self.ids)

    def is_numeric(self, key: str) -> bool:
        return bool(self.columns[key].dtype == np.float64)

    def differs(self, key: str) -> bool:
        """Whether the runs have at least two values there."""
        column = self.columns[key]
        present = column[np.isfinite(column)] if self.is_numeric(key) else [each for each in column if each is not None]
        return len(set(present)) > 1

    def taking(self, places: Column | slice) -> RunColumns:
        """These runs alone: a stretch, or by place or by truth."""
        chosen = np.arange(len(self))[places]
        return RunColumns(
            tuple(self.ids[place] for place in chosen),
            tuple(self.names[place] for place in chosen),
            {key: column[chosen] for key, column in self.columns.items()},
            self.total,
        )


def load_run_columns(
    store: RunStore, query: RunQuery, keys: Iterable[str], *, most: int = MOST_RUNS, kept: bool = True
) -> RunColumns:
    """The fields `keys` of the newest `most` runs that `query` matches and the store's reader sees.

    Args:
        kept: whether a viewer's own columns may answer. For a sample, of many fields of a few runs, they are not asked,
            and nobody counts how many there are in all.

    Raises:
        UnknownField: a key is none.
        QueryError: the query cannot be understood.
    """
    fields = {key: find_field(key) for key in dict.fromkeys(keys)}
    query = replace(query, me=store.principal.owner_names)
    asked = [find_field("name"), *fields.values()]
    if kept and store.columns is not None and (found := store.columns.read(query, store.principal, asked, most)):
        names, *values = found.values
        return _assembled(found.ids, names, fields, values, found.total)
    return _asked_of_mongodb(store, query, fields, most, is_sample=not kept)


def _asked_of_mongodb(
    store: RunStore, query: RunQuery, fields: Mapping[str, Field], most: int, *, is_sample: bool
) -> RunColumns:
    wanted = {f"c{place}": sort_value(field) for place, field in enumerate(fields.values())}
    runs = store.database["runs"]
    condition = query.filter()
    # The index of a project's runs knows no id beside the start: for a sample of a few runs it is not asked for.
    order = {"start_time": -1} if is_sample else {"start_time": -1, "_id": -1}
    stages: list[dict[str, Any]] = [
        {"$match": condition},
        {"$sort": order},
        {"$limit": most},
        {"$project": {"_id": 1, "name": sort_value(find_field("name")), **wanted}},
    ]
    found = list(runs.aggregate(stages))
    total = len(found) if len(found) < most or is_sample else runs.count_documents(condition)
    values = [[document.get(f"c{place}") for document in found] for place in range(len(fields))]
    names = [document.get("name") for document in found]
    return _assembled([document["_id"] for document in found], names, fields, values, total)


def _assembled(
    ids: Sequence[RunId], names: Sequence[Any], fields: Mapping[str, Field], values: Sequence[Sequence[Any]], total: int
) -> RunColumns:
    columns = {key: _column(found, field.kind) for (key, field), found in zip(fields.items(), values, strict=True)}
    return RunColumns(tuple(ids), tuple(str(name or "") for name in names), columns, total)


def _column(values: Sequence[Any], kind: Kind) -> Column:
    if kind == "duration":  # the database reckons in milliseconds
        values = [value / 1000 if _is_number(value) else None for value in values]
    if all(value is None or _is_number(value) for value in values):
        return np.array([np.nan if value is None else float(value) for value in values], dtype=np.float64)
    column = np.empty(len(values), dtype=object)
    column[:] = [_category(value) for value in values]
    return column


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _category(value: Any) -> str | None:
    if value is None or isinstance(value, bytes):  # bytes are an encrypted value
        return None
    if isinstance(value, str):
        text = value
    elif isinstance(value, datetime):
        text = value.isoformat(" ", "minutes")
    elif _is_number(value):
        text = f"{value:.15g}"  # 64 and 64.0 are one category
    else:
        text = json.dumps(value, default=str, ensure_ascii=False)
    return text if len(text) <= CATEGORY_CHARS else f"{text[: CATEGORY_CHARS - 1]}…"
