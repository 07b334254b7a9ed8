"""A query on columns: which rows meet it. The same conditions as `query/filters.py` gives to MongoDB."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np

from ..query.conditions import ME, All, AnyOf, Condition, Moment, Negated, Node, Words, iter_conditions
from ..query.evaluation import is_number, moment_bounds, value_test
from ..query.fields import RUN_FIELDS, Field
from ..run_query import RunQuery
from ..run_status import LOST_AFTER_SECONDS, QUEUED_STATES
from .column import Bools, Column, Floats, milliseconds
from .table import ColumnTable

_COMPARE: dict[str, Callable[[Any, Any], Any]] = {
    "=": operator.eq,
    "has": operator.eq,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_NO_COLUMN = frozenset({"id", "duration"})  # reckoned from what each table has
_SEARCHED = ("name", "experiment", "tags")


def asked_fields(query: RunQuery) -> set[Field]:
    """The fields whose columns a query needs, to filter and to sort."""
    fields = {*query.order.fields, *query.condition.fields()}
    if query.text.split() or any(isinstance(part, Words) for part in iter_conditions(query.condition.node)):
        fields |= {RUN_FIELDS[key] for key in _SEARCHED}
    if query.tags:
        fields.add(RUN_FIELDS["tags"])
    return {field for field in fields if field.key not in _NO_COLUMN}


@dataclass(frozen=True)
class Asked:
    """A question to a table, at a moment.

    Attributes:
        me: the login names of whoever asks.
    """

    table: ColumnTable
    now: datetime
    me: tuple[str, ...]

    def matching(self, query: RunQuery) -> Bools:
        """The rows that meet all that the query says, whoever may see them."""
        met: Bools = self.table.alive.copy()
        if query.project is not None:
            met &= self.column("project").where_text(query.project)
        for word in query.text.replace("\x00", "").split():
            met &= self._word(word)
        if query.status:
            met &= _any(self._status(status) for status in query.status)
        for tag in query.tags:
            met &= self.column("tags").where_text(tag)
        if query.condition.node is not None:
            met &= self._node(query.condition.node)
        if query.archived != "with":
            is_archived: Bools = self.column("archived").codes != 0
            met &= is_archived if query.archived == "only" else ~is_archived
        return met

    def column(self, name: str) -> Column:
        return self.table.columns[name]

    def _node(self, node: Node) -> Bools:
        if isinstance(node, All):
            return _all(self._node(part) for part in node.parts)
        if isinstance(node, AnyOf):
            return _any(self._node(part) for part in node.parts)
        if isinstance(node, Negated):
            return ~self._node(node.part)
        if isinstance(node, Words):
            return _all((self.table.alive, *(self._word(word) for word in node.text.split())))
        return self._condition(node)

    def _condition(self, condition: Condition) -> Bools:
        if condition.field.key == "id":
            return self._id(condition)
        if condition.field.kind == "status":
            return self.table.alive if condition.operator == "exists" else self._status(condition.value)
        if condition.field.kind == "duration":
            return self._duration(condition)
        column = self.column(condition.field.key)
        if column.is_time:
            return self._time(column, condition)
        is_equality = condition.operator == "=" or condition.field.kind == "list"
        if is_equality and condition.operator != "contains" and isinstance(condition.value, str):
            return column.where_text(condition.value)
        if condition.operator == "contains":
            return column.where_contains(condition.value)
        return column.where(_of_numbers(condition), value_test(condition, self.now, self.me))

    def _time(self, column: Column, condition: Condition) -> Bools:
        there: Bools = column.codes != 0
        if condition.operator == "exists":
            return there
        assert isinstance(condition.value, Moment)
        low, high = moment_bounds(condition.operator, condition.value, self.now)
        for bound, compare, compare_within in ((low, np.greater, np.greater_equal), (high, np.less, np.less_equal)):
            if bound is not None:
                chosen = compare_within if bound[1] else compare
                there = there & chosen(column.numbers, milliseconds(bound[0]))
        return there

    def _id(self, condition: Condition) -> Bools:
        if condition.operator == "exists":
            return self.table.alive
        value = condition.value
        if not is_number(value):
            return np.zeros(len(self.table.ids), np.bool_)
        met: Bools = _COMPARE[condition.operator](self.table.ids, value)
        return met

    def _status(self, status: str) -> Bools:
        stored = self.column("status")
        if status in ("running", "lost"):
            is_going_on = stored.where_text("RUNNING")
            return is_going_on & self.is_alive() if status == "running" else is_going_on & ~self.is_alive()
        if status == "queued":
            return _any(stored.where_text(state.upper()) for state in QUEUED_STATES)
        if status in ("completed", "failed"):
            return stored.where_text(status.upper())
        if status == "interrupted":
            usual = ("RUNNING", "COMPLETED", "FAILED", *(state.upper() for state in QUEUED_STATES))
            return stored.where(None, lambda value: isinstance(value, str) and value > "" and value not in usual)
        return stored.where_text(status)

    def is_alive(self) -> Bools:
        """Which rows had a sign of life lately; one that never gave one may well go on."""
        now = milliseconds(self.now)
        heartbeat, started = self.column("heartbeat"), self.column("started")
        seen = np.where(heartbeat.codes != 0, heartbeat.numbers, np.where(started.codes != 0, started.numbers, now))
        alive: Bools = seen >= now - LOST_AFTER_SECONDS * 1000
        return alive

    def durations(self) -> Floats:
        """Milliseconds as `duration_at` reckons them; NaN where there are none."""
        started, ended, heartbeat = (self.column(name) for name in ("started", "ended", "heartbeat"))
        now = milliseconds(self.now)
        is_lost = self.column("status").where_text("RUNNING") & ~self.is_alive() & (heartbeat.codes != 0)
        until = np.where(ended.codes != 0, ended.numbers, np.where(is_lost, heartbeat.numbers, now))
        paused = np.nan_to_num(self.column("paused").numbers) * 1000
        passed: Floats = np.maximum(until - started.numbers - paused, 0)
        return passed

    def _duration(self, condition: Condition) -> Bools:
        passed = self.durations()
        there: Bools = ~np.isnan(passed)
        if condition.operator != "exists":
            there &= _COMPARE[condition.operator](passed, condition.value * 1000)
        return there

    def _word(self, word: str) -> Bools:
        found = _any(self.column(name).where_contains(word) for name in (*_SEARCHED, "status"))
        if word.isascii() and word.isdigit() and len(word) < 19:
            found |= self.table.ids == int(word)
        return found


def _of_numbers(condition: Condition) -> Callable[[Floats], Any] | None:
    value = condition.value
    if condition.operator == "exists":
        return lambda numbers: np.ones(len(numbers), np.bool_)
    if condition.operator == "has" and condition.field.kind == "any":
        return None  # a number by itself is no list
    if value is ME or not is_number(value):
        return None
    if value != value:
        return np.isnan
    compare = _COMPARE[condition.operator]
    as_float = _as_float(value)
    return lambda numbers: compare(numbers, as_float)


def _as_float(value: float) -> float:
    """As a float; numbers in columns are exact below 2**53, so beyond it only the order counts."""
    try:
        return float(value)
    except OverflowError:
        return float("inf") if value > 0 else float("-inf")


def _all(masks: Iterable[Bools]) -> Bools:
    met: Bools = np.logical_and.reduce(list(masks))
    return met


def _any(masks: Iterable[Bools]) -> Bools:
    met: Bools = np.logical_or.reduce(list(masks))
    return met
