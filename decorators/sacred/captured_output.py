"""What an experiment prints: Sacred hands over the whole of it at each beat, of which the new is recorded."""

from __future__ import annotations

import bisect
from collections.abc import Callable

RECORD_CHARACTERS = 64 * 1024  # in one record
SHOWN_BYTES = 256 * 1024  # of what Sacred's readers see


class CapturedOutput:
    """Knows how much of the output is recorded.

    What was printed cannot be taken back, but a user's filter may do so, over the whole text at each beat. A last line
    that has become another one follows as the console shows it: behind a carriage return. Where earlier lines have
    changed, all from there on is recorded again, and Sacred's readers get the filter's text.
    """

    def __init__(self, record: Callable[[str], None], replace: Callable[[str], None]) -> None:
        """
        Args:
            record: takes text that follows what is recorded.
            replace: takes the end of the text as Sacred's readers should see it.
        """
        self._record = record
        self._replace = replace
        self._recorded = ""
        self._was_rewritten = False

    def take(self, text: str) -> None:
        """The whole output as it is now."""
        known = self._recorded
        if text == known:
            return
        self._recorded = text
        same = len(known) if text.startswith(known) else _common_length(known, text)
        if same < len(known):
            line_start = text.rfind("\n", 0, same) + 1
            if "\n" in known[line_start:]:
                self._was_rewritten = True
                self._record_pieces(("" if known.endswith("\n") else "\n") + text[line_start:])
            else:
                self._record_pieces("\r" + text[line_start:])
        else:
            self._record_pieces(text[same:])
        if self._was_rewritten:
            self._replace(_end_of(text))

    def _record_pieces(self, text: str) -> None:
        for start in range(0, len(text), RECORD_CHARACTERS):
            self._record(text[start : start + RECORD_CHARACTERS])


def _common_length(one: str, other: str) -> int:
    """How many characters two texts begin with alike, by comparing prefixes: quick for megabytes."""

    class Differs:
        def __len__(self) -> int:
            return min(len(one), len(other)) + 1

        def __getitem__(self, length: int) -> bool:
            return not other.startswith(one[:length])

    return bisect.bisect_left(Differs(), True) - 1


def _end_of(text: str) -> str:
    data = text[-SHOWN_BYTES:].encode("utf-8", "backslashreplace")
    return data[-SHOWN_BYTES:].decode("utf-8", "ignore")
