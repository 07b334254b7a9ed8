"""Trainings for a long while, and a database that is killed now and then."""

from __future__ import annotations

import pytest
from faults.places import Workplace
from faults.table import Row
from faults.testing_rows import check, rows, work

__all__ = ["work"]  # the fixture


@pytest.mark.slow
@rows("soak")
def test_nothing_that_was_accepted_is_lost_in_the_long_run(row: Row, work: Workplace) -> None:
    check(row, work)
