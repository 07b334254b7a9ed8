"""Something that happens between two calls to the database: another writer, or the end of the process."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from pymongo.collection import Collection

CALLS = (
    *("insert_one", "insert_many", "update_one", "update_many", "replace_one", "delete_one", "delete_many"),
    *("bulk_write", "find_one_and_update", "find_one_and_delete", "find", "count_documents", "distinct"),
)


class Killed(BaseException):
    """Stands for SIGKILL: nothing catches it, and nothing is tidied up."""


class Calls:
    """Counts the calls of one thread to the database; before the one with number `at`, `act` is called once."""

    def __init__(self, at: int, act: Callable[[], object]) -> None:
        self.count, self._at, self._act = 0, at, act
        self._is_acting = False

    def note(self) -> None:
        if self._is_acting:
            return
        self.count += 1
        if self.count == self._at:
            self._is_acting = True
            try:
                self._act()
            finally:
                self._is_acting = False


@contextmanager
def watched_calls(calls: Calls) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name in CALLS:
            real = getattr(Collection, name)

            def noting(self: Any, *arguments: Any, _real: Any = real, **options: Any) -> Any:
                calls.note()
                return _real(self, *arguments, **options)

            patch.setattr(Collection, name, functools.wraps(real)(noting))
        yield


def kill() -> None:
    raise Killed
