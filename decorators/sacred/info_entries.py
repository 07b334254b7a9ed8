"""The entries of a run's `info`, of which Sacred hands over all at each beat, and few have changed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .sacred_encoding import stored_name, to_info


class InfoEntries:
    """Knows what was recorded."""

    def __init__(self) -> None:
        self._known: dict[str, Any] = {}  # by stored name

    def take(self, info: Mapping[Any, Any]) -> tuple[dict[str, Any], list[str]]:
        """Take `info` as it is now for recorded; returns what has changed since the last call, and what is gone."""
        known = self._known
        now = {_name(key): to_info(value) for key, value in _own_entries(info)}
        self._known = now
        changed = {name: value for name, value in now.items() if name not in known or differs(known[name], value)}
        return changed, [name for name in known if name not in now]


def differs(one: Any, other: Any) -> bool:
    """Whether two stored values are not the same to MongoDB."""
    if type(one) is not type(other):
        return True
    from bson import encode

    return one != other and encode({"": one}) != encode({"": other})  # a NaN differs from itself, its bytes do not


def _own_entries(info: Mapping[Any, Any]) -> list[tuple[Any, Any]]:
    """The user's own entries. Beside an observer of Sacred's, `metrics` lists the documents of that one."""
    return [(key, value) for key, value in list(info.items()) if not (key == "metrics" and _is_list_of_metrics(value))]


def _is_list_of_metrics(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(entry, dict) and set(entry) == {"name", "id"} for entry in value)


def _name(key: Any) -> str:
    name = stored_name(key)
    return "metrics'" if name == "metrics" else name  # readers look for the run's metrics there
