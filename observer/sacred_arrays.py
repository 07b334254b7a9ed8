"""numpy's arrays as jsonpickle writes them, zlib and base64 or views of others, as lists. Bounded before unpacking."""

from __future__ import annotations

import json
import math
import re
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from .sacred_limits import Room

DIMENSIONS_LIMIT = 32
VIEWS_LIMIT = 3  # of views
OBJECTS_LIMIT_BYTES = 1024 * 1024
# Numbers, texts of fixed length, dates: what lies in memory as it is. No objects, no records, no repeated types.
_TYPES = re.compile(
    r"(bool|[u]?int\d{1,2}|float\d{1,3}|complex\d{1,3}|[<>|=]?[?biufc]\d{1,2}|[<>|=]?[US]\d{1,4}"
    r"|[<>=]?(datetime64|timedelta64|[mM]8)\[\d{0,5}\w{1,2}\])",
    re.ASCII,
)


def read_array(node: Mapping[str, Any], references: Sequence[Any], room: Room) -> Any:
    """An array as nested lists; a text that says what it is when it is too large or damaged.

    Args:
        references: the numbered parts of the value, for views of an array that stood before.
    """
    shape = _shape(node)
    kind = str(node.get("dtype"))[:40]
    told = f"<array of shape ({', '.join(map(str, shape))}), {kind}>" if shape is not None else f"<array, {kind}>"
    if shape is None or math.prod(shape) > room.items:
        return told
    room.items -= math.prod(shape)
    try:
        return _object_items(node, room) if kind == "object" else _listed(_array(node, references, room, depth=0))
    except (ValueError, TypeError, OverflowError, LookupError, RecursionError, zlib.error):
        return told


def _array(node: Mapping[str, Any], references: Sequence[Any], room: Room, depth: int) -> npt.NDArray[Any]:
    base, values = node.get("base"), node.get("values")
    if isinstance(base, Mapping) and "py/id" in base:
        base = references[int(base["py/id"])]
    if isinstance(base, Mapping) and depth < VIEWS_LIMIT:
        return _view(node, _array(base, references, room, depth + 1))
    if isinstance(values, (list, int, float)):
        room.take_bytes(100 * len(values) if isinstance(values, list) else 8)  # at least so much work
        return np.array(values, _dtype(node))
    dtype, shape = _dtype(node), _shape(node) or ()
    size = math.prod(shape) * dtype.itemsize
    packed = room.unpack_base64(str(values))
    # Never packed where somebody had set jsonpickle so; zlib begins with an x.
    data = packed if len(packed) == size and packed[:1] != b"x" else room.unpack_zlib(packed, size + 1)
    return np.frombuffer(data, dtype).reshape(shape, order="F" if node.get("order") == "F" else "C")


def _view(node: Mapping[str, Any], owner: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """numpy itself refuses what would lie outside of the owner's bytes."""
    order: Any = owner.dtype.byteorder  # of a view that is said in comparison to its owner
    dtype = _dtype(node).newbyteorder(order)
    if node.get("byteorder") == "S":
        dtype = dtype.newbyteorder("S")
    strides = node.get("strides")
    view: npt.NDArray[Any] = np.ndarray(
        _shape(node) or (),
        dtype,
        owner.data if owner.flags.c_contiguous else owner.T.data,
        int(node.get("offset") or 0),
        None if strides is None else tuple(int(stride) for stride in strides),
    )
    return view


def _dtype(node: Mapping[str, Any]) -> np.dtype[Any]:
    name = str(node.get("dtype"))
    if not _TYPES.fullmatch(name):
        raise ValueError(f"{name[:40]!r} is no type of plain items")
    dtype = np.dtype(name)
    order = node.get("byteorder")
    return dtype.newbyteorder(order) if order in ("<", ">") and name[0] not in "<>" else dtype


def _shape(node: Mapping[str, Any]) -> tuple[int, ...] | None:
    shape = node.get("shape")
    if isinstance(shape, Mapping):
        shape = shape.get("py/tuple")
    if not isinstance(shape, (list, tuple)) or len(shape) > DIMENSIONS_LIMIT:
        return None
    if not all(type(length) in (int, float) and 0 <= length < 2**40 for length in shape):
        return None
    return tuple(int(length) for length in shape)


def _object_items(node: Mapping[str, Any], room: Room) -> list[Any]:
    """An array of objects: a list in JSON, packed."""
    items = json.loads(room.unpack_zlib(room.unpack_base64(str(node.get("values"))), OBJECTS_LIMIT_BYTES))
    if not isinstance(items, list) or len(items) > room.items:
        raise ValueError("not an array of so many")
    if not all(isinstance(item, (str, int, float, bool, type(None))) for item in items):
        raise ValueError("not an array of plain values")
    return items


def _listed(array: npt.NDArray[Any]) -> Any:
    if array.dtype.kind in "mM":
        return array.astype(str).tolist()
    if array.dtype.kind == "c":
        return np.char.strip(array.astype(str), "()").tolist()
    return (np.char.decode(array, "utf-8", "replace") if array.dtype.kind == "S" else array).tolist()
