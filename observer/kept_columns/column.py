"""One field of all runs: numbers as an array, whatever else it holds as codes into a table of its different values."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta, timezone
from typing import Any

import numpy as np
import numpy.typing as npt

from ..run_grouping import plain_key

Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]
NUMBER, MISSING = -1, 0  # codes; those from 1 on are places in the table of values
_PACKED_BELOW = 0.7  # of the rows
_EXACT = 2**53  # whole numbers up to here are exact as float64
VALUE_BYTES = 160  # a short text, with its place in list and dict
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_MILLISECOND = timedelta(milliseconds=1)


class Column:
    """The values of one field, by row. Not thread-safe."""

    def __init__(self, capacity: int, *, is_time: bool = False) -> None:
        self.codes: npt.NDArray[np.signedinteger[Any]] = np.zeros(capacity, np.int8)
        self.values: list[Any] = [None]
        self.is_time = is_time
        self.has_lists = False
        self._numbers: Floats | None = None  # a column of texts has none
        self._is_packed = False  # where few runs have a number, only those are kept, in the order of their rows
        self._places: dict[Any, int] = {}
        self._ranks: _Ranks | None = None

    @property
    def numbers(self) -> Floats:
        """The numbers, NaN where there is none: for reading."""
        if self._numbers is None:
            return np.broadcast_to(np.float64(np.nan), len(self.codes))
        if not self._is_packed:
            return self._numbers
        whole = np.full(len(self.codes), np.nan)
        whole[self.codes == NUMBER] = self._numbers
        return whole

    @property
    def size_bytes(self) -> int:
        numbers = 0 if self._numbers is None else self._numbers.nbytes
        return numbers + self.codes.nbytes + VALUE_BYTES * len(self.values)

    def grow(self, capacity: int) -> None:
        more = capacity - len(self.codes)
        if self._numbers is not None and not self._is_packed:
            self._numbers = np.concatenate([self._numbers, np.full(more, np.nan)])
        self.codes = np.concatenate([self.codes, np.zeros(more, self.codes.dtype)])

    def rearrange(self, rows: npt.NDArray[np.intp], capacity: int) -> None:
        """Move the first values to these rows of a column of that capacity, whose other rows are empty."""
        numbers, codes = self._numbers, self.codes[: len(rows)]
        self.codes = np.zeros(capacity, codes.dtype)
        self.codes[rows] = codes
        if numbers is not None:
            self._numbers = np.full(capacity, np.nan)
            self._numbers[rows] = numbers[: len(rows)]
            self._pack()

    def _pack(self) -> None:
        is_number = self.codes == NUMBER
        if self._numbers is not None and np.count_nonzero(is_number) < _PACKED_BELOW * len(self.codes):
            self._numbers, self._is_packed = self._numbers[is_number], True

    def put(self, rows: Sequence[int], values: Sequence[Any]) -> None:
        """Take the values of these rows; None is no value."""
        numbers, codes = [], []
        for value in values:
            if type(value) is float:
                numbers.append(value)
                codes.append(NUMBER)
            else:
                number, code = self._encode(value)
                numbers.append(number)
                codes.append(code)
        places = np.asarray(rows, np.intp)
        was_packed = self._is_packed and (NUMBER in codes or NUMBER in self.codes[places])
        if was_packed:
            self._numbers, self._is_packed = self.numbers, False
        if len(self.values) > np.iinfo(self.codes.dtype).max:
            self.codes = self.codes.astype(np.int16 if len(self.values) <= np.iinfo(np.int16).max else np.int32)
        self.codes[places] = codes
        if self._numbers is None and NUMBER in codes:
            self._numbers = np.full(len(self.codes), np.nan)
        if self._numbers is not None and not self._is_packed:
            self._numbers[places] = numbers
        if was_packed:
            self._pack()

    def value_at(self, row: int) -> Any:
        code = self.codes[row]
        return float(self.numbers[row]) if code == NUMBER else self.values[code]

    def where(self, of_numbers: Callable[[Floats], Any] | None, test: Callable[[Any], bool]) -> Bools:
        """Which rows meet a test.

        Args:
            of_numbers: the same test for an array of numbers; None if no number meets it.
            test: of one value; None stands for a row without one.
        """
        table = np.fromiter((test(value) for value in self.values), np.bool_, len(self.values))
        return self._look_up(table, of_numbers)

    def where_text(self, text: str) -> Bools:
        """Which rows hold exactly this text, or a list with it."""
        if self.has_lists:
            return self.where(None, lambda value: value == text or (isinstance(value, list) and text in value))
        found: Bools = self.codes == self._places.get((str, text), -2)
        return found

    def where_contains(self, text: str) -> Bools:
        """Which rows hold a text with this one in it, in any case."""
        search = re.compile(re.escape(text), re.IGNORECASE).search

        def found(value: Any) -> bool:
            if isinstance(value, str):
                return search(value) is not None
            return isinstance(value, list) and any(isinstance(each, str) and search(each) for each in value)

        return self.where(None, found)

    def _look_up(self, table: Bools, of_numbers: Callable[[Floats], Any] | None) -> Bools:
        if not table.any():
            met: Bools = np.zeros(len(self.codes), np.bool_)
        else:
            met = table[np.maximum(self.codes, 0)]
            met[self.codes == NUMBER] = False
        if of_numbers is not None:
            met |= (self.codes == NUMBER) & of_numbers(self.numbers)
        return met

    def order_parts(self, rows: npt.NDArray[np.intp], *, descending: bool) -> tuple[Bools, npt.NDArray[Any], Floats]:
        """For a sort, of some rows: whether there is no value (NaN is none), the rank of its type, its place within.

        As MongoDB orders them: numbers, texts, documents, bytes, booleans, dates; a list by its first or last value.
        """
        codes, numbers = self.codes[rows], self.numbers[rows]
        ranks = self._ranked(descending)
        is_number = codes == NUMBER
        safe = np.maximum(codes, 0)
        kinds = np.where(is_number, 0, ranks.kinds[safe])
        places = np.where(is_number, numbers, ranks.places[safe])
        missing = np.where(is_number, np.isnan(numbers), ranks.missing[safe])
        return missing, kinds, np.where(missing, 0.0, places)

    def _ranked(self, descending: bool) -> _Ranks:
        known = self._ranks
        if known is None or len(known.kinds) != len(self.values) or (self.has_lists and known.descending != descending):
            self._ranks = known = _rank(self.values, descending)
        return known

    def _encode(self, value: Any) -> tuple[float, int]:
        if value is None:
            return np.nan, MISSING
        if self.is_time:
            return (milliseconds(value), NUMBER) if isinstance(value, datetime) else (np.nan, MISSING)
        if isinstance(value, float):
            return value, NUMBER
        if isinstance(value, int) and not isinstance(value, bool) and -_EXACT < value < _EXACT:
            return float(value), NUMBER
        key = (type(value), plain_key(value))
        try:
            place = self._places.get(key)
        except TypeError:  # a value that cannot be a key: it is known by how it is written
            key = (type(value), repr(value))
            place = self._places.get(key)
        if place is None:
            place = self._places[key] = len(self.values)
            self.values.append(value)
            self.has_lists = self.has_lists or isinstance(value, list)
        return np.nan, place


class _Ranks:
    """Where each of a column's different values stands in an order."""

    def __init__(self, count: int, descending: bool) -> None:
        self.descending = descending
        self.kinds = np.zeros(count, np.int8)
        self.places: Floats = np.zeros(count)
        self.missing: Bools = np.zeros(count, np.bool_)


def milliseconds(moment: datetime) -> float:
    """Since 1970, as BSON has it."""
    moment = moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)
    return float((moment - _EPOCH) // _MILLISECOND)


def _rank(values: Sequence[Any], descending: bool) -> _Ranks:
    ranks = _Ranks(len(values), descending)
    keys = [_end_of_list(value, descending) if isinstance(value, list) else _bson_key(value) for value in values]
    for place, key in enumerate(keys):
        if key is None or key[1] != key[1]:
            ranks.missing[place] = True
    present = [place for place, key in enumerate(keys) if not ranks.missing[place]]
    present.sort(key=lambda place: keys[place] or (0, 0))
    number, before = -1, None
    for place in present:
        kind, value = keys[place] or (0, 0)
        if (kind, value) != before:
            number, before = number + 1, (kind, value)
        ranks.kinds[place] = kind
        ranks.places[place] = value if kind == 0 else number
    return ranks


def _end_of_list(values: list[Any], descending: bool) -> tuple[int, Any] | None:
    keys = [key for key in map(_bson_key, values) if key is not None]
    if not keys:
        return None
    return max(keys) if descending else min(keys)


def _bson_key(value: Any) -> tuple[int, Any] | None:
    """What sorts values as MongoDB does; None for what counts as missing."""
    if value is None:
        return None
    if isinstance(value, bool):
        return 5, value
    if isinstance(value, (int, float)):
        return 0, value
    if isinstance(value, str):
        return 1, value
    if isinstance(value, dict):
        return 2, repr(value)
    if isinstance(value, (list, tuple)):
        return 3, repr(value)
    if isinstance(value, datetime):
        return 6, milliseconds(value)
    return 4, repr(value)
