"""The database dies, freezes, steps down, is late or cut off, and nothing that was accepted is lost."""

from __future__ import annotations

from faults.places import Workplace
from faults.table import Row
from faults.testing_rows import check, rows, work

__all__ = ["work"]  # the fixture


@rows("database")
def test_nothing_that_was_accepted_is_lost_to_a_database_in_trouble(row: Row, work: Workplace) -> None:
    check(row, work)
