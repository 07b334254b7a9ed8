"""`Namespace`: the values of a config by name, read as a mapping or as attributes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class Namespace(dict[str, Any]):
    """A dict whose keys are attributes too: `data["batch"]` and `data.batch`. Ingredients' entries are given so."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            known = ", ".join(self) or "nothing"
            raise AttributeError(f"There is no config entry {name!r} here; there is {known}.") from None

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self]


def put_nested(tree: dict[str, Any], path: str, value: Any) -> None:
    """Sets `tree["data"]["paths"]` for the path `data.paths`; the dicts on the way are made of `tree`'s type."""
    *outer, last = path.split(".")
    for name in outer:
        inner = tree.get(name)
        if not isinstance(inner, dict):
            inner = tree[name] = type(tree)()
        tree = inner
    known = tree.get(last)
    # An ingredient `data.paths` may have been put before the ingredient `data`.
    tree[last] = type(tree)({**known, **value}) if isinstance(known, dict) and isinstance(value, Mapping) else value
