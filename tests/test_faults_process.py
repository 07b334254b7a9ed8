"""Clocks jump, processes fork and meet in one run, and nothing that was accepted is lost."""

from __future__ import annotations

from faults.places import Workplace
from faults.table import Row
from faults.testing_rows import check, rows, work

__all__ = ["work"]  # the fixture


@rows("process")
def test_nothing_that_was_accepted_is_lost_to_clocks_forks_and_ranks(row: Row, work: Workplace) -> None:
    check(row, work)
