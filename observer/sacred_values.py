"""Values as Sacred stores them, jsonpickle's JSON, as plain data; nothing that they name is imported or called."""

from __future__ import annotations

import base64
import datetime
import json
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from .field_names import decode_field_name
from .sacred_limits import DEPTH_LIMIT, ITEMS_LIMIT, TEXT_LIMIT, Room
from .sacred_objects import (
    CLASS_KEY,
    SIMPLE_TYPES,
    class_name,
    describe,
    foreign_text,
    has_plain_items,
    read_simple,
    rebuild,
)
from .sacred_references import RESERVED, Encoder, list_references

TOO_DEEP, CYCLE, MORE, LOST_REFERENCE = (
    "<nested too deeply>",
    "<contains itself>",
    "<more>",
    "<the same as another value>",
)
_AS_IS = frozenset((str, int, float, bool, type(None), bytes, datetime.datetime))


def plain_value(value: Any, *, encoder: Encoder = "jsonpickle 2", items_limit: int = ITEMS_LIMIT) -> Any:
    """`value` as lists, dicts with text keys, numbers, text, bytes and datetimes. Never raises, whatever it is.

    Tuples and sets become lists, numpy's numbers and arrays numbers and lists, paths and exact numbers text; an object
    becomes a dict of its attributes with its class under "<class>", or a text such as "<numpy.mean>". What is nested
    too deeply, contains itself or exceeds a limit leaves a mark in angle brackets.

    Args:
        encoder: who wrote it, which tells what `py/id`, the number of a value that stood before, counts.
        items_limit: how many values there may be in it.
    """
    return _Reader(Room(items_limit), list_references(value, encoder)).read(value, 0)


def plain_parts(value: Any) -> Any:
    """A value of our own observer of Sacred: ours, with field names encoded, and in it objects as jsonpickle has them.

    Each of those was encoded by itself, so references in it count its own parts.
    """
    if isinstance(value, (list, tuple)):
        return [plain_parts(item) for item in value]
    if not isinstance(value, Mapping):
        return value if type(value) in _AS_IS else foreign_text(value)
    if not RESERVED.isdisjoint(value):
        return plain_value(value)
    return {decode_field_name(str(key)): plain_parts(child) for key, child in value.items()}


class _Reader:
    """Reads one value. Carries its numbered parts, and which of them it is inside of."""

    def __init__(self, room: Room, references: Sequence[Any]) -> None:
        self._room = room
        self._references = references
        self._inside: set[int] = set()

    def read(self, node: Any, depth: int) -> Any:
        self._room.items -= 1
        if type(node) in _AS_IS:
            return node
        if not isinstance(node, (list, tuple, Mapping)):
            return foreign_text(node)
        if depth >= DEPTH_LIMIT:
            return TOO_DEEP
        if self._room.items < 0:
            return MORE
        if id(node) in self._inside:
            return CYCLE
        self._inside.add(id(node))
        try:
            return self._mapping(node, depth + 1) if isinstance(node, Mapping) else self._items(node, depth + 1)
        finally:
            self._inside.discard(id(node))

    def _items(self, nodes: Iterable[Any], depth: int) -> list[Any]:
        items: list[Any] = []
        for node in nodes:
            if self._room.items <= 0:
                items.append(MORE)
                break
            items.append(self.read(node, depth))
        return items

    def _mapping(self, node: Mapping[Any, Any], depth: int) -> Any:
        if RESERVED.isdisjoint(node):
            return self._fields(node.items(), depth)
        for tag, read in _READERS:
            if tag in node:
                try:
                    return read(self, node, depth)
                except (ValueError, TypeError, LookupError, OverflowError, ArithmeticError, RecursionError, zlib.error):
                    break  # damaged, or not jsonpickle's: shown as it is stored
        return self._fields(node.items(), depth)

    def _fields(self, pairs: Iterable[tuple[Any, Any]], depth: int) -> dict[str, Any]:
        fields: dict[str, Any] = {}
        for key, child in pairs:
            if self._room.items <= 0:
                fields[MORE] = MORE
                break
            name = self._key(key, depth)
            while name in fields:  # 1 and "1" are two keys in Python and must stay two
                name += "'"
            fields[name] = child if type(child) in _AS_IS else self.read(child, depth)
            self._room.items -= 1
        return fields

    def _key(self, key: Any, depth: int) -> str:
        text = key if isinstance(key, str) else str(key)
        if not text.startswith("json://"):
            return text
        try:
            plain = self.read(load_json(text[len("json://") :]), depth)
        except (ValueError, RecursionError):
            return text
        if isinstance(plain, list):
            return f"({describe(plain)[1:-1]})"  # only tuples can be keys
        return plain if isinstance(plain, str) else describe(plain)

    # ---- what stands under each tag

    def _sequence(self, node: Mapping[str, Any], depth: int) -> list[Any]:
        return self._items(_list(node["py/tuple"]), depth)

    def _set(self, node: Mapping[str, Any], depth: int) -> list[Any]:
        return _in_order(self._items(_list(node["py/set"]), depth))

    def _iterator(self, node: Mapping[str, Any], depth: int) -> list[Any]:
        return self._items(_list(node["py/iterator"]), depth)

    def _bytes(self, node: Mapping[str, Any], _depth: int) -> bytes:
        if "py/b64" in node:
            return base64.b64decode(_text(node["py/b64"]))
        return base64.b85decode(_text(node["py/b85"]))

    def _reference(self, node: Mapping[str, Any], depth: int) -> Any:
        number = node["py/id"]
        if type(number) not in (int, float) or not 0 <= int(number) < len(self._references):
            return LOST_REFERENCE
        # Read again instead of shared: who shows or stores the result walks all of it, and the limits count that.
        return self.read(self._references[int(number)], depth)

    def _named(self, node: Mapping[str, Any], _depth: int) -> str:
        for tag, word in (("py/type", "class "), ("py/function", "function "), ("py/mod", "module ")):
            if tag in node:
                return f"<{word}{class_name(_text(node[tag]).partition('/')[0])}>"
        tag = "py/repr" if "py/repr" in node else "py/ref"
        return f"<{class_name(_text(node[tag]))}>"

    def _reduced(self, node: Mapping[str, Any], depth: int) -> Any:
        """What `__reduce__` gave: a callable, its arguments, a state, items of a list, items of a dict."""
        parts = [*_list(node["py/reduce"]), None, None, None, None]
        name = _callable_name(parts[0])
        arguments = self.read(parts[1], depth)
        arguments = arguments if isinstance(arguments, list) else []
        if name == "py/newobj" and arguments:
            name, arguments = str(arguments[0]).removeprefix("<class ").rstrip(">"), arguments[1:]
        items, pairs = self.read(parts[3], depth), self.read(parts[4], depth)
        known, value = rebuild(name, arguments, items, pairs)
        if known:
            return value
        state = self.read(parts[2], depth)
        if isinstance(state, dict) and state:
            return {CLASS_KEY: name, **state}
        if isinstance(pairs, list):
            return self._fields(((pair[0], pair[1]) for pair in pairs), depth)
        return items if isinstance(items, list) else f"<{name} {describe(arguments)[1:-1]}".rstrip() + ">"

    def _object(self, node: Mapping[str, Any], depth: int) -> Any:
        name = class_name(_text(node["py/object"]))
        if name.startswith("numpy.") and ("values" in node or "base" in node):
            return self._array(node, depth)
        if name.startswith("pandas.") and "meta" in node and isinstance(node.get("values"), str):
            return self._table(name, node, depth)
        if name in SIMPLE_TYPES or (name.startswith("numpy.") and ("value" in node or "dtype" in node)):
            return read_simple(name, node, lambda child: self.read(child, depth))
        return self._attributes(name, node, depth)

    def _attributes(self, name: str, node: Mapping[str, Any], depth: int) -> Any:
        if isinstance(node.get("__module__"), str) and isinstance(node.get("__qualname__"), str):
            return f"<{class_name(node['__module__'])}.{class_name(node['__qualname__'])}>"  # a function of C
        own = [(key, child) for key, child in node.items() if key not in RESERVED and key != "default_factory"]
        if name == "pandas.core.frame.DataFrame" and isinstance(node.get("values"), Mapping):  # Sacred 0.7
            return self.read(node["values"], depth)
        fields = self._fields(((key, child) for key, child in own if key != "__dict__" or child), depth)
        state = self.read(node.get("py/state"), depth)
        fields |= state if isinstance(state, dict) else {} if state is None else {"<state>": state}
        if "py/seq" in node:
            items = self._items(_list(node["py/seq"]), depth)
            return {CLASS_KEY: name, **fields, "<items>": items} if fields else items
        if has_plain_items(name):
            return fields
        if not fields:
            arguments = self.read(node.get("py/newargs", node.get("py/initargs")), depth)
            return f"<{name} {describe(arguments)[1:-1]}>" if isinstance(arguments, list) and arguments else f"<{name}>"
        return {CLASS_KEY: name, **fields}

    def _array(self, node: Mapping[str, Any], depth: int) -> Any:
        values = node.get("values")
        if not isinstance(values, str) and "values" in node:
            return self.read(values, depth)
        from .sacred_arrays import read_array  # numpy, which a config without arrays need not wait for

        return read_array(node, self._references, self._room)

    def _table(self, name: str, node: Mapping[str, Any], depth: int) -> Any:
        """A DataFrame, an Index: text, which since jsonpickle 3.4 is JSON of its own, and before was CSV."""
        text, meta = self._unpacked_text(node), node["meta"]
        if isinstance(meta, Mapping) and isinstance(meta.get("isoformat"), str):
            return read_simple("pandas.Timestamp", meta, lambda child: child)
        try:
            inner = load_json(text)
        except (ValueError, RecursionError):
            return {CLASS_KEY: name, "csv": text[:TEXT_LIMIT]} if text else self._attributes(name, node, depth)
        return _Reader(self._room, list_references(inner, "jsonpickle 2")).read(inner, depth)

    def _unpacked_text(self, node: Mapping[str, Any]) -> str:
        values = _text(node["values"])
        if node.get("txt", True):
            return values
        packed = self._room.unpack_base64(values)
        text = self._room.unpack_zlib(packed, TEXT_LIMIT) if node.get("comp") else packed
        return text.decode("utf-8", "replace")


def load_json(text: str) -> Any:
    """JSON out of a stored value.

    Raises:
        ValueError: it is too long, or none.
        RecursionError: it is nested too deeply.
    """
    if len(text) > TEXT_LIMIT:
        raise ValueError(f"{len(text)} characters of JSON are more than is read")
    return json.loads(text)


def _callable_name(node: Any) -> str:
    if isinstance(node, Mapping):
        for tag in ("py/type", "py/function", "py/object"):
            if isinstance(node.get(tag), str):
                return class_name(node[tag])
    return class_name(node) if isinstance(node, str) else "an object"


def _in_order(items: list[Any]) -> list[Any]:
    """Sets have no order of their own: numbers by size, else as their texts sort."""
    if all(type(item) in (int, float) for item in items):
        return sorted(items)
    return sorted(items, key=lambda item: item if isinstance(item, str) else describe(item))


def _list(value: Any) -> list[Any]:
    if not isinstance(value, (list, tuple)):
        raise TypeError("not a list")
    return list(value)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("not a text")
    return value


# In the order in which jsonpickle asks; only `py/reduce` stands beside `py/object` in what versions before 1.0 wrote.
_READERS: tuple[tuple[str, Callable[[_Reader, Mapping[str, Any], int], Any]], ...] = (
    ("py/tuple", _Reader._sequence),
    ("py/set", _Reader._set),
    ("py/b64", _Reader._bytes),
    ("py/b85", _Reader._bytes),
    ("py/id", _Reader._reference),
    ("py/iterator", _Reader._iterator),
    ("py/reduce", _Reader._reduced),
    ("py/object", _Reader._object),
    ("py/type", _Reader._named),
    ("py/function", _Reader._named),
    ("py/mod", _Reader._named),
    ("py/repr", _Reader._named),
    ("py/ref", _Reader._named),
)

__all__ = ["DEPTH_LIMIT", "ITEMS_LIMIT", "load_json", "plain_parts", "plain_value"]
