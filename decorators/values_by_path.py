"""Looking into a config by dotted paths, whatever it is made of: mappings, dataclasses, models, namespaces."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from .config.structures import kind_of_value

ABSENT: Final[Any] = object()
_NAMED_LEVELS = 4  # of nested entries, for the nearest name in a message


def members_of(value: Any) -> dict[str, Any]:
    """What is in `value` by name; empty for a value without parts."""
    if isinstance(value, Mapping):
        return dict(value)
    kind = kind_of_value(value)
    return {} if kind is None else kind.values(value)


def look_up(value: Any, path: str) -> Any:
    """What `path` names in `value`, or ABSENT. The longest existing key comes first: a key may itself have dots."""
    members = members_of(value)
    if path in members:
        return members[path]
    places = [place for place, letter in enumerate(path) if letter == "."]
    for place in reversed(places):
        if path[:place] in members:
            found = look_up(members[path[:place]], path[place + 1 :])
            if found is not ABSENT:
                return found
    return ABSENT


def merge(root: dict[str, Any], updates: Mapping[str, Any]) -> None:
    """Set what the dotted names of `updates` mean in nested dicts; of a nested mapping only what it names."""
    for path, value in updates.items():
        name, _, rest = str(path).partition(".")
        if rest:
            value = {rest: value}
        if isinstance(value, Mapping):
            inner = root.get(name)
            root[name] = copied(inner) if isinstance(inner, Mapping) else {}
            merge(root[name], value)
        else:
            root[name] = value


def copied(value: Any) -> Any:
    """`value` with dicts and lists of its own; anything else in it stays the same object."""
    if isinstance(value, Mapping):
        return {key: copied(item) for key, item in value.items()}
    return [copied(item) for item in value] if isinstance(value, list) else value


def known_names(entries: Mapping[str, Any]) -> tuple[str, ...]:
    """The dotted names of all entries and of what is in them."""
    return tuple(_names(entries, _NAMED_LEVELS))


def _names(entries: Mapping[str, Any], levels: int) -> Iterator[str]:
    for name, value in entries.items():
        yield str(name)
        if levels > 1:
            yield from (f"{name}.{inner}" for inner in _names(members_of(value), levels - 1))
