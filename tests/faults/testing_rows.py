"""What the suite's tests of the fault table share: the workplace, and how a row becomes a test."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from .places import NotHere, Workplace, a_workplace
from .table import Row, rows_of

PATIENCE = 5.0  # the suite shares its machine


@pytest.fixture(scope="module")
def work(mongod: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workplace]:
    """A workplace on the session's server; its random moments are others each time, as with `make faults`."""
    folder: Path = tmp_path_factory.mktemp("faults")
    with a_workplace(folder, mongod, patience=PATIENCE, chooser=random.Random()) as place:
        yield place


def rows(*groups: str) -> pytest.MarkDecorator:
    """Have a test run once for each row of the groups, as its argument `row`."""
    found = [row for group in groups for row in rows_of(group)]
    return pytest.mark.parametrize("row", [pytest.param(row, id=row.name.replace(" ", "-")) for row in found])


def check(row: Row, work: Workplace) -> None:
    """Run a row at the suite's sizes; fail with what it complains of."""
    try:
        outcome = row.run(work, share=0)
    except NotHere as reason:
        pytest.skip(str(reason))
    if outcome.complaints:
        pytest.fail("\n".join(outcome.complaints), pytrace=False)
    assert outcome.stored > 0 or outcome.accepted == 0  # killed before its first step
    assert outcome.exits_alike
