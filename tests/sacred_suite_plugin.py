"""A pytest plugin for Sacred's own tests: our observer in place of Sacred's, a real MongoDB in place of its mock.

Its tests compare whole documents with Sacred's, so the one key that we add, `cloister`, is hidden from them.
"""

from __future__ import annotations

import contextlib
import os
import sys
import types
import unittest.mock
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gridfs
import pymongo
import pytest
import sacred.observers.mongo
from cloister.decorators.sacred import queued_observer as ours
from pymongo.collection import Collection
from pymongo.database import Database

SERVER = os.environ["SACRED_SUITE_SERVER"]
OPTIONS = "directConnection=true&serverSelectionTimeoutMS=20000"
IS_ATTACHED = bool(os.environ.get("SACRED_SUITE_ATTACHED"))  # our observer beside those of the tests
RealClient = pymongo.MongoClient
# Tests of Sacred's own failing, which ours does not do: an outage raises nothing, and nothing is pickled.
NOT_OURS = {
    "test_mongo_observer_fails": "an outage raises no error: the journal has the event, and the courier ships it",
    "test_mongo_observer_saves_after_failure": "what an outage keeps back waits in the journal, not in a pickle",
}
# Sacred's capture lets two `tee` append to one file at once, and a line and its end may be two writes: under load this
# test fails eleven times of twenty-five without us. It has to pass once.
RACING = "test_fd_tee_output"
TRIES = 40
_current = {"database": ""}


class HidingCollection(Collection):  # type: ignore[type-arg]
    """Sacred's view of a collection."""

    def find_one(self, *arguments: Any, **options: Any) -> Any:
        document = super().find_one(*arguments, **options)
        if document is not None:
            document.pop("cloister", None)
        return document


class HidingDatabase(Database):  # type: ignore[type-arg]
    def __getitem__(self, name: str) -> Any:
        return super().__getitem__(name) if name.startswith("fs") else HidingCollection(self, name)


class StandIn:
    """Takes the place of mongomock's client, and is no client of PyMongo's, as that is not."""

    def __init__(self, *_arguments: Any, **_options: Any) -> None:
        self._client: Any = RealClient(f"{SERVER}/?{OPTIONS}")

    def __getattr__(self, _name: str) -> Any:
        return HidingDatabase(self._client, _current["database"])

    __getitem__ = __getattr__


def pytest_configure() -> None:
    mock: Any = types.ModuleType("mongomock")
    mock.MongoClient = StandIn
    mock.gridfs = types.ModuleType("mongomock.gridfs")
    mock.gridfs.enable_gridfs_integration = lambda: None
    sys.modules.update({"mongomock": mock, "mongomock.gridfs": mock.gridfs, "mock": unittest.mock})
    for name in ("MongoObserver", "QueuedMongoObserver", "QueueCompatibleMongoObserver"):
        setattr(sacred.observers.mongo, name, getattr(ours, name))
    assert gridfs.GridFS  # imported before a test replaces it


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.name in NOT_OURS:
            item.add_marker(pytest.mark.skip(reason=NOT_OURS[item.name]))
        if item.name == RACING and isinstance(item, pytest.Function):
            item.obj = tried_again(item.obj)


def tried_again(test: Callable[..., None]) -> Callable[..., None]:
    """The test, which fails only if it fails every time."""

    def tried(**fixtures: Any) -> None:
        for _ in range(TRIES - 1):
            with contextlib.suppress(AssertionError):
                return test(**fixtures)
        return test(**fixtures)

    return tried


@pytest.fixture(autouse=True)
def _a_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A new one for each test, but where all runs of all tests go into one."""
    if IS_ATTACHED:
        yield
        return
    name = _current["database"] = f"sacred_{uuid.uuid4().hex[:12]}"
    monkeypatch.setenv("CLOISTER_URI", f"{SERVER}/{name}?{OPTIONS}")
    monkeypatch.setenv("CLOISTER_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("CLOISTER_COURIER_IDLE", "0.5")
    yield
    client: Any = RealClient(f"{SERVER}/?{OPTIONS}")
    client.drop_database(name)


# ---- Sacred's tests of runs and experiments, which know no database: each of their runs is told to our observer too


def attach_to_every_run() -> None:
    import sacred.run

    call = sacred.run.Run.__call__

    def observed(self: Any, *arguments: Any) -> Any:
        if not self.unobserved and not self.queue_only:
            self.observers = [*self.observers, ours.MongoObserver(priority=-1)]  # behind those that the tests look at
        return call(self, *arguments)

    sacred.run.Run.__call__ = observed


if IS_ATTACHED:
    attach_to_every_run()
