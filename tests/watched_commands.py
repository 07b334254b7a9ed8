"""What a test's database is asked: operators and reads, while somebody wants to know."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pymongo.monitoring import CommandListener, CommandStartedEvent


class Commands(CommandListener):
    """What the database was asked, while somebody wants to know.

    Attributes:
        operators: every key that begins with "$", wherever it stands in a command.
        reads: each read with its limit of time, None without one.
    """

    def __init__(self) -> None:
        self.watching = False
        self.operators: set[str] = set()
        self.reads: list[tuple[str, Any]] = []

    def started(self, event: CommandStartedEvent) -> None:
        if not self.watching:
            return
        self._note(event.command)
        if event.command_name in ("find", "aggregate", "count", "distinct"):
            self.reads.append((str(event.command[event.command_name]), event.command.get("maxTimeMS")))

    def _note(self, value: Any) -> None:
        if isinstance(value, Mapping):
            self.operators.update(key for key in value if key.startswith("$"))
            for each in value.values():
                self._note(each)
        elif isinstance(value, (list, tuple)):
            for each in value:
                self._note(each)

    def succeeded(self, event: object) -> None:
        pass

    failed = succeeded


WATCHED = Commands()
