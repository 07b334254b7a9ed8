"""Disks under the journal are full or cannot be written: nothing is lost, or what is lost is counted."""

from __future__ import annotations

from faults.places import Workplace
from faults.table import Row
from faults.testing_rows import check, rows, work

__all__ = ["work"]  # the fixture


@rows("disk")
def test_a_disk_in_trouble_loses_nothing_or_what_it_loses_is_counted(row: Row, work: Workplace) -> None:
    check(row, work)
