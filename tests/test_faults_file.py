"""Large files are cut on their way into the database, and arrive whole."""

from __future__ import annotations

from faults.places import Workplace
from faults.table import Row
from faults.testing_rows import check, rows, work

__all__ = ["work"]  # the fixture


@rows("file")
def test_a_large_file_arrives_whole_or_is_not_listed(row: Row, work: Workplace) -> None:
    check(row, work)
