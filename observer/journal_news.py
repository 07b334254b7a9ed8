"""What people are told of a journal that cannot be written as it should be: each thing once, with what to do."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from .journal_allowance import WARN_AT
from .journal_memory import MEMORY_LIMIT_BYTES

logger = logging.getLogger("cloister")


@dataclass(frozen=True)
class JournalState:
    """How a journal is just now.

    Attributes:
        place: index of the folder that is written to; as many as there are folders while that is memory.
        reasons: why a folder could not be written when that was last tried, by its index.
        lost: what is recorded nowhere.
        in_memory: whether anything is only there.
        used_bytes, limit_bytes: of what all journals of the destination may take.
        ended: nothing more will be recorded.
    """

    place: int
    reasons: Mapping[int, str]
    lost: Mapping[str, int]
    in_memory: bool
    used_bytes: int
    limit_bytes: int
    ended: bool


class JournalNews:
    """Remembers what has been said."""

    def __init__(self, folders: Sequence[Path]) -> None:
        self._folders = tuple(folders)
        self._said: set[str] = set()
        self._said_lost: Mapping[str, int] = {}

    def say(self, state: JournalState) -> None:
        """Log what is new. Not to be called with a lock that recording the console needs."""
        for cause, message in self._messages(state):
            if cause not in self._said:
                self._said.add(cause)
                logger.warning("%s", message)

    def _messages(self, state: JournalState) -> Iterator[tuple[str, str]]:
        yield from self._on_places(state)
        yield from self._on_limit(state)
        yield from self._on_loss(state)

    def _on_places(self, state: JournalState) -> Iterator[tuple[str, str]]:
        first = self._folders[0]
        if state.place == 0 and self._said & {"memory", "elsewhere"}:
            yield "back", f"The journal can be written to {first} again; the run goes on there."
        elif 0 < state.place < len(self._folders) and not state.ended:
            message = (
                f"The journal cannot be written to {first} ({state.reasons.get(0, 'unknown')}); the run is kept in "
                f"{self._folders[state.place]} until it can be, and shipped from both."
            )
            yield "elsewhere", message
        elif state.place == len(self._folders) and state.in_memory:
            message = (
                f"No folder takes the journal of this run: {self._tried(state)}. Training goes on. What it logs is "
                f"held in memory, up to {_size(MEMORY_LIMIT_BYTES)}, sent to the database from there, and written to a "
                "folder as soon as one takes it. Make room, or set CLOISTER_HOME to a folder that can be written."
            )
            yield "memory", message

    def _on_limit(self, state: JournalState) -> Iterator[tuple[str, str]]:
        share = state.used_bytes / max(1, state.limit_bytes)
        amount = f"{_size(state.used_bytes)} of the {_size(state.limit_bytes)} that they may"
        advice = "See with 'cloister doctor' why the database does not take it, or raise CLOISTER_JOURNAL_LIMIT."
        if share >= 1.0:
            message = (
                f"What waits to be shipped takes {amount}. Training goes on; what it logs from now on is counted as "
                f"lost until there is room. {advice}"
            )
            yield "limit", message
        elif share >= WARN_AT:
            message = (
                f"What waits to be shipped takes {amount}. Near the limit the hardware is recorded less often and then "
                f"no more, at the limit nothing is. {advice}"
            )
            yield "half", message

    def _on_loss(self, state: JournalState) -> Iterator[tuple[str, str]]:
        if not any(state.lost.values()):
            return
        if "lost" not in self._said:
            self._said_lost = dict(state.lost)
            message = (
                f"This run has lost {_amount(state.lost)}: nothing could take it. Training goes on, what is lost is "
                "counted, and the run's page shows it."
            )
            yield "lost", message
        elif state.ended and dict(state.lost) != dict(self._said_lost):
            yield "lost in all", f"In all this run has lost {_amount(state.lost)}."

    def _tried(self, state: JournalState) -> str:
        return "; ".join(f"{folder} ({state.reasons.get(at, 'unknown')})" for at, folder in enumerate(self._folders))


def _amount(lost: Mapping[str, int]) -> str:
    parts = [f"{count:,} {name}" for name, count in lost.items() if count]
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def _size(size_bytes: int) -> str:
    for factor, unit in ((1000**3, "GB"), (1000**2, "MB"), (1000, "kB")):
        if size_bytes >= factor:
            return f"{size_bytes / factor:,.3g} {unit}"
    return f"{size_bytes} bytes"
