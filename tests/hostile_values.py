"""The catalogue of hostile inputs: what a training may give to a run, and what becomes of it."""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import enum
import fractions
import math
import pathlib
import threading
import time
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np


class Raising:
    """Whatever is asked of it, it raises."""

    def _raise(self, *_: object) -> Any:
        raise RuntimeError("hostile")

    __repr__ = __str__ = __float__ = __int__ = __index__ = __bool__ = __len__ = __iter__ = __eq__ = _raise
    __getattr__ = item = keys = items = _raise
    __hash__ = None  # type: ignore[assignment]


class Sleeping:
    """Its words take an hour."""

    def __repr__(self) -> str:
        time.sleep(3600)
        return ""

    __str__ = __repr__


class Recursive:
    def __repr__(self) -> str:
        return repr(self)


class Lying:
    """Says that it is a number."""

    @property
    def __class__(self) -> type:
        raise RuntimeError("hostile")


class EndlessMapping(Mapping[str, int]):
    def __getitem__(self, key: str) -> int:
        return 1

    def __len__(self) -> int:
        return 2**40

    def __iter__(self) -> Iterator[str]:
        number = 0
        while True:
            yield str(number)
            number += 1


class RaisingMapping(Mapping[str, int]):
    def __getitem__(self, key: str) -> int:
        raise RuntimeError("hostile")

    def __len__(self) -> int:
        return 1

    def __iter__(self) -> Iterator[str]:
        raise RuntimeError("hostile")


class HostileText(str):
    def __getitem__(self, index: Any) -> str:
        raise RuntimeError("hostile")

    encode = __str__ = __repr__ = __len__ = __getitem__  # type: ignore[assignment]


class HostileInt(int):
    def __le__(self, other: object) -> bool:
        raise RuntimeError("hostile")

    __ge__ = __lt__ = __gt__ = __repr__ = __str__ = __float__ = __le__  # type: ignore[assignment]


class HostileFloat(float):
    def __float__(self) -> float:
        raise RuntimeError("hostile")

    __repr__ = __str__ = __float__  # type: ignore[assignment]


class Zone(datetime.tzinfo):
    def utcoffset(self, _: object) -> datetime.timedelta:
        raise RuntimeError("hostile")


@dataclasses.dataclass
class Node:
    value: int
    inner: Any = None


class RaisingField:
    pass


class Colour(enum.Enum):
    RED = object()


def nested(depth: int) -> Any:
    value: Any = "bottom"
    for _ in range(depth):
        value = {"deeper": [value]}
    return value


def cyclic_dict() -> dict[str, Any]:
    value: dict[str, Any] = {"kept": 1}
    value["self"] = value
    return value


def cyclic_list() -> list[Any]:
    value: list[Any] = [1]
    value.append(value)
    return value


def cyclic_dataclass() -> Node:
    node = Node(1)
    node.inner = node
    return node


def cyclic_array() -> Any:
    value = np.empty(1, object)
    value[0] = value
    return value


def generator() -> Iterator[int]:
    yield 1


EAST = datetime.timezone(datetime.timedelta(hours=14))

# Metric values. What is stored is the float; None is a refusal.
METRICS: dict[str, tuple[Any, float | None]] = {
    "nan": (math.nan, math.nan),
    "inf": (math.inf, math.inf),
    "minus inf": (-math.inf, -math.inf),
    "minus zero": (-0.0, -0.0),
    "smallest": (5e-324, 5e-324),
    "largest": (1.7976931348623157e308, 1.7976931348623157e308),
    "true": (True, 1.0),
    "int64": (2**63 - 1, float(2**63 - 1)),
    "np.float16": (np.float16(0.5), 0.5),
    "np.float64": (np.float64(0.25), 0.25),
    "np.bool": (np.bool_(True), 1.0),
    "np.int8": (np.int8(-3), -3.0),
    "np.uint64": (np.uint64(7), 7.0),
    "0-d": (np.array(1.5), 1.5),
    "one element": (np.array([[2.5]]), 2.5),
    "2**63": (2**63, None),
    "-2**63-1": (-(2**63) - 1, None),
    "2**64": (2**64, None),
    "10**400": (10**400, None),
    "10**5000": (10**5000, None),
    "np.uint64 max": (np.uint64(2**64 - 1), None),
    "np.timedelta64": (np.timedelta64(5, "s"), None),
    "np.datetime64": (np.datetime64("2026-01-01"), None),
    "np.complex": (np.complex128(1j), None),
    "np.str": (np.str_("0.5"), None),
    "np.void": (np.zeros(1, [("a", "i4")])[0], None),
    "Decimal": (decimal.Decimal("0.1"), None),
    "Fraction": (fractions.Fraction(1, 3), None),
    "complex": (1j, None),
    "str": ("0.9", None),
    "long str": ("9" * 20_000_000, None),
    "surrogate": ("\ud800", None),
    "bytes": (b"1", None),
    "bytearray": (bytearray(b"1"), None),
    "None": (None, None),
    "list": ([1.0], None),
    "tuple": ((1.0,), None),
    "set": ({1.0}, None),
    "array": (np.zeros(1_000_000), None),
    "empty array": (np.zeros(0), None),
    "object array": (np.array([None]), None),
    "cyclic array": (cyclic_array(), None),
    "type": (float, None),
    "lambda": (lambda: 0.5, None),
    "generator": (generator(), None),
    "object": (object(), None),
    "raising": (Raising(), None),
    "sleeping": (Sleeping(), None),
    "recursive": (Recursive(), None),
    "lying": (Lying(), None),
    "raising mapping": (RaisingMapping(), None),
    "hostile text": (HostileText("x"), None),
    "hostile int": (HostileInt(3), None),
    "hostile float": (HostileFloat(0.5), None),
    "datetime": (datetime.datetime(2026, 1, 1), None),
    "enum": (Colour.RED, None),
}

# Steps. What is stored is the int; None is a refusal.
STEPS: dict[str, tuple[Any, int | None]] = {
    "minus one": (-1, -1),
    "five": (5.0, 5),
    "np.int32": (np.int32(7), 7),
    "int64": (2**63 - 1, 2**63 - 1),
    "smallest": (-(2**63), -(2**63)),
    "nan": (math.nan, None),
    "inf": (math.inf, None),
    "half": (1.5, None),
    "text": ("5", None),
    "2**63": (2**63, None),
    "10**400": (10**400, None),
    "1e300": (1e300, None),
    "true": (True, None),
    "list": ([1], None),
    "raising": (Raising(), None),
    "lying": (Lying(), None),
    "sleeping": (Sleeping(), None),
}

NAMES = [
    "", "a.b", "a,b", "$where", "$", ".", "..", "a..b", "%", "%2E", "a/b", "/", "x" * 10_000, "new\nline", "nul\x00",
    "../../etc/passwd", "<script>alert(1)</script>", "\u202ertl", "\U0001f600", "__proto__", "constructor", "toString",
    "\ud800", "_id", "cloister", " ", "C:\\x", "=1+1", "é", "e\u0301",
]  # fmt: skip

# Calls of run.log that hold no metrics, or one under two names.
CALLS: list[Any] = [
    None, 0.5, "loss", [("loss", 0.5)], {"loss"}, Raising(), RaisingMapping(), {Recursive(): 1.0}, {}, {"a": {}}
]  # fmt: skip

# Values of configs, results and the metadata of artifacts. All are recorded somehow; where it is told, as what.
KEEP = object()
VALUES: dict[str, tuple[Any, Any]] = {
    "dotted key": ({"a.b": 1, "a,b": 2}, {"a.b": 1, "a,b": 2}),
    "operator key": ({"$where": 1, "$": 2}, {"$where": 1, "$": 2}),
    "nul key": ({"a\x00b": 1}, {"a\x00b": 1}),
    "surrogate key": ({"\ud800": 1, "kept": 2}, KEEP),
    "empty key": ({"": 1}, {"": 1}),
    "long key": ({"k" * 10_000: 1}, {"k" * 10_000: 1}),
    "foreign keys": ({1: "int", (1, 2): "tuple", None: "none", 1.5: "float"}, KEEP),
    "equal keys": ({1: "int", "1": "text"}, KEEP),
    "raising key": ({Recursive(): 1, "kept": 2}, KEEP),
    "deep 20": (nested(20), nested(20)),
    "deep 95": (nested(95), KEEP),
    "deep 5000": (nested(5000), KEEP),
    "cyclic dict": (cyclic_dict(), {"kept": 1, "self": "<contains itself>"}),
    "cyclic list": (cyclic_list(), [1, "<contains itself>"]),
    "cyclic dataclass": (cyclic_dataclass(), {"value": 1, "inner": "<contains itself>"}),
    "cyclic array": (cyclic_array(), KEEP),
    "int64": (2**63 - 1, 2**63 - 1),
    "2**63": (2**63, str(2**63)),
    "10**400": (10**400, str(10**400)),
    "10**5000": (10**5000, KEEP),
    "minus zero": (-0.0, -0.0),
    "inf": (math.inf, math.inf),
    "Decimal": (decimal.Decimal("0.1"), KEEP),
    "complex": (1j, KEEP),
    "np.float16": (np.float16(0.5), 0.5),
    "np.longdouble": (np.longdouble(0.5), KEEP),
    "np.void": (np.zeros(1, [("a", "i4")])[0], KEEP),
    "array": (np.arange(3), [0, 1, 2]),
    "huge array": (np.zeros(1_000_000), "<array of shape (1000000,), float64>"),
    "bytes": (b"\x00\xff", b"\x00\xff"),
    "bytearray": (bytearray(b"1"), KEEP),
    "surrogate text": ("\ud800", "\\ud800"),
    "nul text": ("a\x00b", "a\x00b"),
    "path": (pathlib.Path("a/b"), "a/b"),
    "first day": (datetime.datetime(1, 1, 1, tzinfo=EAST), "0001-01-01T00:00:00+14:00"),
    "last day": (datetime.datetime.max.replace(tzinfo=datetime.timezone.utc), KEEP),
    "raising zone": (datetime.datetime(2026, 1, 1, tzinfo=Zone()), KEEP),
    "enum": (Colour.RED, KEEP),
    "mixed set": ({1, "a", None, (1, 2)}, KEEP),
    "lambda": (lambda: 1, KEEP),
    "class": (Node, KEEP),
    "lock": (threading.Lock(), KEEP),
    "generator": (generator(), KEEP),
    "raising": (Raising(), KEEP),
    "sleeping": (Sleeping(), KEEP),
    "recursive": (Recursive(), KEEP),
    "lying": (Lying(), KEEP),
    "raising mapping": (RaisingMapping(), KEEP),
    "endless mapping": (EndlessMapping(), KEEP),
    "hostile text": (HostileText("text"), "text"),
    "hostile int": (HostileInt(3), 3),
    "hostile float": (HostileFloat(0.5), KEEP),
    "long list": (list(range(200_000)), KEEP),
    "long text": ("x" * 20_000_000, KEEP),
    "many texts": (["x" * 1_000_000] * 17, KEEP),
}
