"""Which runs have been written since the last look: a change stream that is read when somebody asks."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pymongo.errors import OperationFailure

if TYPE_CHECKING:
    from pymongo.change_stream import CollectionChangeStream
    from pymongo.collection import Collection

# IllegalOperation, no replica set, Unauthorized, and a stage that the server does not know.
_NO_CHANGE_STREAMS = frozenset({20, 40573, 13, 40324})
_OF_ONE_RUN = frozenset({"insert", "update", "replace", "delete"})
_EVENT: list[dict[str, Any]] = [{"$project": {"operationType": 1, "documentKey": 1}}]
WAIT_MS = 1  # how long the server waits for news where it has none; less it cannot


@dataclass
class Changes:
    """What was written: runs by id, those that were deleted among them; `everything` where nobody can tell."""

    ids: set[Any] = field(default_factory=set)
    everything: bool = False


class RunWrites:
    """The change stream of a collection of runs. Not thread-safe."""

    def __init__(self, runs: Collection[dict[str, Any]]) -> None:
        self._runs = runs
        self._stream: CollectionChangeStream[dict[str, Any]] | None = None

    def open(self) -> bool:
        """Begin to follow. False where this server, or this user, has no change streams."""
        try:
            self._stream = self._runs.watch(_EVENT, max_await_time_ms=WAIT_MS, batch_size=2000)
        except OperationFailure as error:
            if error.code in _NO_CHANGE_STREAMS:
                return False
            raise
        return True

    def read(self) -> Changes:
        """All that was written, confirmed by a majority, until this call."""
        changes = Changes()
        if self._stream is None:
            changes.everything = True
            return changes
        try:
            while (event := self._stream.try_next()) is not None:
                if event["operationType"] in _OF_ONE_RUN:
                    changes.ids.add(event["documentKey"]["_id"])
                else:  # dropped, renamed
                    changes.everything = True
            changes.everything = changes.everything or not self._stream.alive
        except OperationFailure:  # the oplog no longer reaches back to where this stream was
            changes.everything = True
        if changes.everything:
            self.close()
        return changes

    def close(self) -> None:
        if self._stream is not None:
            self._stream.close()
            self._stream = None
