"""What `py/id` of jsonpickle counts: the lists, dicts and objects of a value, in the order in which they were met."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

_TAGS = (
    "bytes b64 b85 function id initargs iterator mod newargs newargsex newobj object property reduce ref repr seq set"
)
RESERVED = frozenset(f"py/{tag}" for tag in (*_TAGS.split(), "state", "tuple", "type"))
STEPS_LIMIT = 2_000_000  # nodes that are walked at most; a document of 16 MB has fewer
_WITHOUT_CHILDREN = ("py/b64", "py/b85", "py/type", "py/function", "py/repr", "py/ref")
KEY_LIMIT = 100_000


# Who counted: jsonpickle since 2.0 counts dicts too. Sacred until 0.8.0 made plain numbers of numpy's, which had been
# counted all the same, so that behind the first number in a value nothing is certain.
Encoder = Literal["jsonpickle 2", "jsonpickle 1", "sacred 0.8.0"]


def list_references(value: Any, encoder: Encoder) -> list[Any]:
    """The parts of `value` by number, as far as they are certain; none when it refers to none.

    Where a reference would look ahead, which no encoder does, whether dicts count is taken to be the other way.
    """
    parts = _number(value, encoder == "jsonpickle 2")
    if not parts.referred_to:
        return []
    if encoder == "sacred 0.8.0":
        return parts.found[: parts.before_numbers]
    if parts.possible:
        return parts.found
    others = _number(value, encoder != "jsonpickle 2")
    return others.found if others.possible else parts.found


@dataclass
class _Parts:
    """What has a number. `before_numbers`: how many of them stand before the first plain number."""

    found: list[Any] = field(default_factory=list)
    referred_to: bool = False
    possible: bool = True
    before_numbers: int | None = None


def _number(value: Any, counts_dicts: bool) -> _Parts:
    known = _Parts()
    parts, waiting = known.found, [value]
    for _ in range(STEPS_LIMIT):
        if not waiting:
            break
        node = waiting.pop()
        if isinstance(node, (list, tuple)):
            parts.append(node)
            waiting += reversed(node)
        elif isinstance(node, Mapping):
            if "py/id" in node:
                known.referred_to = True
                known.possible = known.possible and _is_earlier(node["py/id"], len(parts))
                continue
            counted, children = _children(node, counts_dicts)
            if counted:
                parts.append(node)
            waiting += reversed(children)
        elif known.before_numbers is None and isinstance(node, (int, float)):
            known.before_numbers = len(parts)
    return known


def _is_earlier(number: Any, count: int) -> bool:
    return isinstance(number, (int, float)) and 0 <= number < count


def _children(node: Mapping[Any, Any], counts_dicts: bool) -> tuple[bool, list[Any]]:
    """Whether a mapping has a number, and which values in it were written by way of the counter."""
    if RESERVED.isdisjoint(node):
        return counts_dicts, _values(node)
    for tag in ("py/tuple", "py/set"):
        if tag in node:
            return False, _listed(node[tag])
    if any(tag in node for tag in _WITHOUT_CHILDREN):
        return False, []
    for tag in ("py/iterator", "py/reduce"):
        if tag in node:
            return True, _listed(node[tag])
    if "py/object" in node:
        return True, _of_object(node)
    return True, []  # a module


def _of_object(node: Mapping[Any, Any]) -> list[Any]:
    name = str(node["py/object"])
    if name.startswith("numpy.") and not name.endswith("ndarray") and "value" not in node and "values" not in node:
        return []
    if "meta" in node or ("dtypes" in node and name.startswith("pandas.")):
        return []  # pandas: JSON and texts of their own
    if name.startswith("numpy.") and _is_sacreds_own(node):
        return []
    children: list[Any] = []
    for key, child in node.items():
        if key == "__reduce__":  # [class, [packed, time zone]]
            children += [part for part in _listed(child)[1:] for part in _listed(part)[1:]]
        elif key in ("py/seq", "py/newargsex"):
            children += _listed(child)
        elif key in ("shape", "strides") and name.startswith("numpy."):
            continue
        elif key != "py/object":
            children += _values({key: child})
    return children


def _is_sacreds_own(node: Mapping[Any, Any]) -> bool:
    """Whether Sacred's own handler wrote this array (until 0.8.0), which counted nothing: it wrote `values` first."""
    keys = [key for key in node if key in ("values", "dtype")]
    return keys == ["values", "dtype"] and isinstance(node["values"], list)


def _values(node: Mapping[Any, Any]) -> list[Any]:
    """A dict's values, each behind what its key holds: objects in keys count too."""
    values: list[Any] = []
    for key, child in node.items():
        if isinstance(key, str) and key.startswith("json://{") and len(key) < KEY_LIMIT:
            with contextlib.suppress(ValueError, RecursionError):  # no key of jsonpickle's: it is shown as it is
                values.append(json.loads(key[len("json://") :]))
        values.append(child)
    return values


def _listed(value: Any) -> list[Any]:
    return list(value) if isinstance(value, (list, tuple)) else []
