"""A script's own say in what of its output is recorded: a function from text to text."""

from __future__ import annotations

from collections.abc import Callable

from ..observer.errors import CloisterError

ConsoleFilter = Callable[[str], str]
Record = Callable[[str, str, float], None]


class BadConsoleFilter(CloisterError, TypeError):
    """A console filter gave something else than text."""

    def __init__(self, given: object) -> None:
        super().__init__(
            f"The console filter returned {type(given).__name__}, not text. Output is recorded as it is from here on; "
            "return the text to record, '' for none."
        )


def filtered(console_filter: ConsoleFilter, record: Record, report: Callable[[Exception, object], None]) -> Record:
    """`record`, given what `console_filter` makes of each piece of output.

    A filter that fails costs itself: output is recorded as it is from then on, and that is reported once.
    """
    has_failed = False

    def record_filtered(stream: str, text: str, wall_time: float) -> None:
        nonlocal has_failed
        if not has_failed:
            try:
                kept = console_filter(text)
                if not isinstance(kept, str):
                    raise BadConsoleFilter(kept)
                text = kept
            except Exception as error:
                # Wide on purpose: it is the script's code, and the training outranks its record.
                has_failed = True
                report(error, "console filter")
        if text:
            record(stream, text, wall_time)

    return record_filtered
