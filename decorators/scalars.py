"""What `run.log` was given, as named floats: numbers of Python, numpy and torch, nested dicts flattened."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from typing import Any

from ..observer.errors import CloisterError
from ..observer.field_names import encode_field_name

INT64_MIN, INT64_MAX = -(2**63), 2**63 - 1
SHOWN_CHARACTERS = 80
_NO_NUMBERS = (str, bytes, bytearray, complex)


class BadMetric(CloisterError, ValueError):
    """`run.log` was given something that is no number."""

    def __init__(self, name: str, value: object, reason: str) -> None:
        super().__init__(
            f"Metric {name!r} got {_show(value)} ({type(value).__name__}), {reason}. The other metrics of the call are "
            "recorded; log text and structures with run.log_artifact or as the run's config."
        )
        self.cause = (name, type(value).__name__)


class BadStep(CloisterError, ValueError):
    """A step is no whole number that fits 64 bits."""

    def __init__(self, name: str, step: object) -> None:
        super().__init__(
            f"Step {_show(step)} of metric {name!r} is not a whole number of 64 bits. Pass an int, or leave step "
            "out to have it counted."
        )
        self.cause = ("step", type(step).__name__)


class Scalars:
    """Reads what one run logs. Remembers how names are spelled in the journal, so a name is encoded once."""

    def __init__(self, prefix: str = "") -> None:
        """`prefix` stands in front of every name in the journal."""
        self._encoded: dict[str, str] = {}
        self._prefix = prefix

    def read(self, metrics: Mapping[str, Any]) -> tuple[dict[str, float], list[BadMetric]]:
        """The numbers in `metrics` by encoded name, and a refusal for each value that is none."""
        values: dict[str, float] = {}
        refused: list[BadMetric] = []
        self._read_into(values, refused, metrics, "")
        return values, refused

    def _read_into(
        self, values: dict[str, float], refused: list[BadMetric], metrics: Mapping[str, Any], prefix: str
    ) -> None:
        for key, value in metrics.items():
            name = f"{prefix}{key}"
            if type(value) is float:  # nearly always: the rest of the loop is for the others
                values[self._encoded.get(name) or self._encode(name)] = value
            elif isinstance(value, Mapping):
                self._read_into(values, refused, value, f"{name}/")
            else:
                try:
                    values[self._encoded.get(name) or self._encode(name)] = as_float(name, value)
                except BadMetric as error:
                    refused.append(error)

    def _encode(self, name: str) -> str:
        # A lone surrogate has no UTF-8, so no database can hold it: it is spelled out.
        clean = f"{self._prefix}{name}".encode("utf-8", "backslashreplace").decode("utf-8")
        encoded = self._encoded[name] = encode_field_name(clean)
        return encoded


def as_float(name: str, value: Any) -> float:
    """A number as float: bool, int, float, numpy scalar, array or torch tensor of one element.

    Raises:
        BadMetric: it is something else, or an int beyond 64 bits.
    """
    if isinstance(value, bool):
        return float(value)
    if isinstance(value, int):
        if not INT64_MIN <= value <= INT64_MAX:
            raise BadMetric(name, value, "which is beyond 64 bits")
        return float(value)
    if isinstance(value, float):
        return float(value)
    if isinstance(value, _NO_NUMBERS) or value is None:
        raise BadMetric(name, value, "which is not a number")
    try:
        item = value.item()  # numpy and torch; raises where there is more than one element
    except Exception as error:
        # Wide on purpose: `item` is a method of whatever object the user passed.
        reason = "which is not one number" if hasattr(value, "item") else "which is not a number"
        raise BadMetric(name, value, reason) from error
    if not isinstance(item, (bool, int, float)):
        raise BadMetric(name, value, "which is not a number")
    return as_float(name, item)


def as_step(metrics: Mapping[str, Any], step: Any) -> int:
    """A step as int.

    Raises:
        BadStep: it is not a whole number, or beyond 64 bits.
    """
    try:
        whole = operator.index(step)
    except TypeError:
        whole = None
    if whole is None or isinstance(step, bool) or not INT64_MIN <= whole <= INT64_MAX:
        raise BadStep(str(next(iter(metrics), "")), step)
    return whole


def _show(value: object) -> str:
    """A value for a message, short. Objects are not asked for their repr, which may be slow, or fail."""
    if isinstance(value, (str, bytes, float, complex)) or value is None:
        text = repr(value[:SHOWN_CHARACTERS] if isinstance(value, (str, bytes)) else value)
        return f"{text}..." if isinstance(value, (str, bytes)) and len(value) > SHOWN_CHARACTERS else text
    if isinstance(value, int):
        return str(value) if value.bit_length() < 200 else f"an int of {value.bit_length()} bits"
    return f"a {type(value).__name__}"
