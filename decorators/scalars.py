"""What `run.log` was given, as named floats: numbers of Python, numpy and torch, nested dicts flattened."""

from __future__ import annotations

import operator
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from ..observer.bson_values import to_text
from ..observer.errors import CloisterError
from ..observer.field_names import encode_field_name

INT64_MIN, INT64_MAX = -(2**63), 2**63 - 1
SHOWN_CHARACTERS = 80
DEPTH_LIMIT = 20  # of nested dicts; one that contains itself has no end
NAMES_KEPT = 10_000  # more names than that are spelled out each time: a training's memory stays as it is
CALLS_KEPT = 500  # of different names
_FLOATS = frozenset({float})
_NO_NUMBERS = (str, bytes, bytearray, complex)


class BadMetric(CloisterError, ValueError):
    """`run.log` was given something that is no number."""

    def __init__(self, name: str, value: object, reason: str) -> None:
        super().__init__(
            f"Metric {_show(name)} got {_show(value)} ({type(value).__name__}), {reason}. The call's other metrics are "
            "recorded; log text and structures with run.log_artifact or as the run's config."
        )
        self.cause = (name, type(value).__name__, reason)


class NoMetrics(CloisterError, TypeError):
    """`run.log` was given something from which no names and values can be read."""

    def __init__(self, metrics: object) -> None:
        super().__init__(
            f"run.log got {_show(metrics)} ({type(metrics).__name__}), from which no metrics can be read. Pass numbers "
            'by name, as in run.log({"loss": 0.5}).'
        )
        self.cause = ("metrics", type(metrics).__name__)


class BadStep(CloisterError, ValueError):
    """A step is no whole number that fits 64 bits."""

    def __init__(self, metrics: object, step: object) -> None:
        super().__init__(
            f"Step {_show(step)} of metric {_show(_first_name(metrics))} is not a whole number of 64 bits. Pass an "
            "int, or leave step out to have it counted."
        )
        self.cause = ("step", type(step).__name__)


Refusal = BadMetric | NoMetrics


class Scalars:
    """Reads what one run logs. Remembers names as the journal spells them, so a name is encoded once.

    Any thread may read at any time; what two of them learn at once is the same.
    """

    def __init__(self, prefix: str = "") -> None:
        """`prefix` stands in front of every name in the journal."""
        self._prefix = prefix
        self._encoded: dict[str, str] = {}
        self._spelled: dict[tuple[str, ...], tuple[str, ...]] = {}  # the names of earlier calls, encoded
        self._as_they_are: set[tuple[str, ...]] = set()  # those of them that the journal spells alike
        self._plain: set[type] = {float, bool}  # types of which every value is a float's; numpy's are learned

    def read(self, metrics: Mapping[str, Any]) -> tuple[Mapping[str, float], Sequence[Refusal]]:
        """The numbers in `metrics` by encoded name, and a refusal for each value that is none. Never raises."""
        try:
            if type(metrics) is dict:  # nearly always: names of an earlier call, and no value that needs a look
                names = tuple(metrics)
                if names in self._as_they_are and _FLOATS.issuperset(map(type, metrics.values())):
                    return metrics, ()
                encoded = self._spelled.get(names)
                if encoded is not None and self._plain.issuperset(map(type, metrics.values())):
                    return dict(zip(encoded, map(float, metrics.values()), strict=True)), ()
            return self._read_each(metrics)
        except Exception:
            # Wide on purpose: the mapping is the user's own object, and another thread may change it meanwhile.
            return {}, [NoMetrics(metrics)]

    def _read_each(self, metrics: Mapping[str, Any]) -> tuple[Mapping[str, float], Sequence[Refusal]]:
        values: dict[str, float] = {}
        refused: list[Refusal] = []
        self._read_into(values, refused, metrics, "", 0)
        names = tuple(metrics)
        if len(values) == len(names) and names not in self._spelled:
            self._remember(names, tuple(values))
        return values, refused

    def _remember(self, names: tuple[str, ...], encoded: tuple[str, ...]) -> None:
        # Not True for "True": it equals 1, which is another name.
        if len(self._spelled) < CALLS_KEPT and all(type(name) is str for name in names):
            self._spelled[names] = encoded
            if names == encoded:
                self._as_they_are.add(names)

    def _read_into(
        self, values: dict[str, float], refused: list[Refusal], metrics: Mapping[str, Any], prefix: str, depth: int
    ) -> None:
        for key, value in metrics.items():
            name = f"{prefix}{key if type(key) is str else to_text(key)}"
            try:
                kind = type(value)
                if kind in self._plain:
                    self._put(values, name, float(value), value)
                elif kind is int:
                    self._put(values, name, as_float(name, value), value)
                elif not isinstance(value, Mapping):
                    self._put(values, name, as_float(name, value), value)
                    self._learn(kind)
                elif depth < DEPTH_LIMIT:
                    self._read_into(values, refused, value, f"{name}/", depth + 1)
                else:
                    raise BadMetric(name, value, "which is nested too deeply")
            except BadMetric as error:
                refused.append(error)
            except Exception:
                # Wide on purpose: the value is the user's own object, and costs itself alone.
                refused.append(BadMetric(name, value, "which cannot be read"))

    def _put(self, values: dict[str, float], name: str, number: float, value: Any) -> None:
        encoded = self._encoded.get(name) or self._encode(name)
        if encoded in values:  # {"a/b": 1, "a": {"b": 2}}, or {1: 0.5, "1": 0.25}
            raise BadMetric(name, value, "a second value under that name in one call")
        values[encoded] = number

    def _encode(self, name: str) -> str:
        # A lone surrogate has no UTF-8, so no database can hold it: it is spelled out.
        clean = f"{self._prefix}{name}".encode("utf-8", "backslashreplace").decode("utf-8")
        encoded = encode_field_name(clean)
        if len(self._encoded) < NAMES_KEPT:
            self._encoded[name] = encoded
        return encoded

    def _learn(self, kind: type) -> None:
        """Remember a type of numpy's if a float holds every value of it as far as 64 bits go."""
        numpy = sys.modules.get("numpy")
        if numpy is not None and issubclass(kind, numpy.generic):
            number = numpy.dtype(kind)
            if (number.kind in "fib" and number.itemsize <= 8) or (number.kind == "u" and number.itemsize <= 4):
                self._plain.add(kind)


def as_float(name: str, value: Any) -> float:
    """A number as float: bool, int, float, numpy scalar, array or torch tensor of one element.

    Raises:
        BadMetric: it is something else, or an int beyond 64 bits.
    """
    number = value
    if not isinstance(value, (int, float)):
        if isinstance(value, _NO_NUMBERS) or value is None or not hasattr(type(value), "item"):
            raise BadMetric(name, value, "which is not a number")
        try:
            number = value.item()  # numpy and torch; raises where there is more than one element
        except Exception as error:
            # Wide on purpose: `item` is a method of whatever object the user passed.
            raise BadMetric(name, value, "which is not one number") from error
        if not isinstance(number, (int, float)):
            raise BadMetric(name, value, "which is not a number")
    if isinstance(number, int) and not INT64_MIN <= number <= INT64_MAX:
        raise BadMetric(name, value, "which is beyond 64 bits")
    return float(number)


def as_step(metrics: Mapping[str, Any], step: Any) -> int:
    """A step as int; a float that is whole is one.

    Raises:
        BadStep: it is not a whole number, or beyond 64 bits.
    """
    try:
        whole = int(step) if isinstance(step, float) and step.is_integer() else operator.index(step)
    except Exception as error:
        # Wide on purpose: `__index__` is a method of whatever object the user passed.
        raise BadStep(metrics, step) from error
    if isinstance(step, bool) or not INT64_MIN <= whole <= INT64_MAX:
        raise BadStep(metrics, step)
    return whole


def _first_name(metrics: object) -> str:
    # Other mappings may be of any make: asking them again might fail.
    return to_text(next(iter(metrics), "")) if type(metrics) is dict else ""


def _show(value: object) -> str:
    """A value for a message, short. Objects are not asked for their repr, which may be slow, or fail, or lie."""
    kind = type(value)
    if value is None:
        return "None"
    if issubclass(kind, str):
        text = str.__str__(value)
        return repr(text) if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS]!r}..."
    if kind is bytes:
        return repr(value) if len(value) <= SHOWN_CHARACTERS else f"{len(value)} bytes"  # type: ignore[arg-type]
    if kind in (bool, float, complex):
        return repr(value)
    if kind is int:
        bits = int.bit_length(value)  # type: ignore[arg-type]
        return repr(value) if bits < 200 else f"an int of {bits} bits"
    return f"a {kind.__name__}"
