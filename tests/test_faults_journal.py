"""Waiting journals are damaged, cut and forgotten: all that is left of them arrives, and nothing else."""

from __future__ import annotations

from faults.places import Workplace
from faults.table import Row
from faults.testing_rows import check, rows, work

__all__ = ["work"]  # the fixture


@rows("journal")
def test_what_is_left_of_a_journal_arrives_and_nothing_else(row: Row, work: Workplace) -> None:
    check(row, work)
