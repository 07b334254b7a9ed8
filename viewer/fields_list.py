"""The fields that runs have, as the columns dialog lists them: by group, those that a search found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..observer.query.fields import UnknownField
from .column_keys import ENVIRONMENT_COLUMNS, RUN_COLUMNS, curve_key, find_column

if TYPE_CHECKING:
    from ..observer.field_catalogue import FieldInfo
    from ..observer.runs import RunStore

MOST_FIELDS = 300
MOST_CURVES = 40
_TITLES = {"run": "Run", "metrics": "Metrics", "config": "Config", "git": "Git", "env": "Environment"}
SEARCH_LIMIT = 200


@dataclass(frozen=True)
class ListedField:
    """A field that can be a column. `run_count` is None where every run has it."""

    key: str
    kind: str
    title: str
    run_count: int | None


def list_fields(store: RunStore, project: str | None, text: str) -> list[tuple[str, list[ListedField]]]:
    """Fields with `text` in their name, by group; of metrics their curves too."""
    found = store.find_fields(project, text[:SEARCH_LIMIT], MOST_FIELDS)
    groups: dict[str, list[ListedField]] = {"metrics": [], "config": [], "run": _fixed_columns(RUN_COLUMNS, text)}
    groups["env"] = _fixed_columns(ENVIRONMENT_COLUMNS, text)
    for info in found:
        listed = _listed(info)
        if listed is not None:
            groups.setdefault(info.kind, []).append(listed)
    curves = [
        ListedField(curve_key(each.title), "curve", each.title, each.run_count)
        for each in groups["metrics"][:MOST_CURVES]
    ]
    titled = [(_TITLES[kind], fields) for kind, fields in groups.items()]
    return [(title, fields) for title, fields in (*titled, ("Curves", curves)) if fields]


def _fixed_columns(keys: Sequence[str], text: str) -> list[ListedField]:
    """Those that every run of ours has."""
    words = text.lower().split()
    columns = [find_column(key) for key in keys]
    return [
        ListedField(each.key, each.kind, each.title, None)
        for each in columns
        if all(word in f"{each.key} {each.title.lower()}" for word in words)
    ]


def _listed(info: FieldInfo) -> ListedField | None:
    """None for what stands in the list already, or in every table."""
    if info.kind in ("run", "git", "env"):
        return None
    try:
        about = find_column(info.key)
    except UnknownField:
        return None
    return ListedField(about.key, info.kind, about.name, info.run_count)
