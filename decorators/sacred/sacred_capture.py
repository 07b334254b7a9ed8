"""Sacred's capture of what an experiment prints, made to bear what it does not: see `mend_capture`."""

from __future__ import annotations

import codecs
import contextlib
import io
import logging
import os
import threading
from collections.abc import Callable, Iterator
from typing import Any

logger = logging.getLogger("cloister")

READ_BYTES = 1024 * 1024
PATIENCE_SECONDS = 5.0  # a forked child may have its lock from a thread that it has not


def mend_capture(run: Any) -> None:
    """Have the capture of `run`, a `sacred.run.Run` that begins, cost the run nothing.

    As Sacred has it, a byte that is no UTF-8, a character that is half written when a beat comes, or a filter that
    fails ends the beats and marks the run as failed; two threads that read at once lose text; and what was printed
    since the last beat is never read when the run fails.
    """
    output = getattr(run, "_output_file", None)
    if output is None or not all(hasattr(output, name) for name in ("get", "finalize", "flush", "final", "buffer")):
        return
    file = getattr(output.buffer, "file", None)
    if isinstance(file, io.TextIOWrapper):
        reader = _TolerantReading(output, file)
        output.get, output.finalize = reader.get, reader.finalize
    filtered = getattr(run, "captured_out_filter", None)
    if callable(filtered):
        run.captured_out_filter = _harmless(filtered)
    turns = _InTurns(run, output)
    run._get_captured_output, output.finalize = turns.read, turns.finalize


class _TolerantReading:
    """Stands in for two methods of Sacred's `CapturedStdout`, with its meaning, where it captures descriptors."""

    def __init__(self, output: Any, file: io.TextIOWrapper) -> None:
        self._output = output
        self._file = file
        self._offset = int(getattr(output, "read_position", 0))
        self._decoder = codecs.getincrementaldecoder("utf-8")("backslashreplace")

    def get(self) -> str:
        """What came since the last call."""
        if self._output.final is not None:
            value, self._output.final = str(self._output.final), None
            return value
        return self._read(final=False)

    def finalize(self) -> None:
        self._output.flush()
        self._output.final = self._read(final=True)
        self._output.buffer.close()

    def _read(self, *, final: bool) -> str:
        parts = []
        while data := os.pread(self._file.fileno(), READ_BYTES, self._offset):
            self._offset += len(data)
            parts.append(self._decoder.decode(data))
        return "".join(parts) + self._decoder.decode(b"", final=final)


class _InTurns:
    """Reads the output into the run, one thread at a time, and its end too."""

    def __init__(self, run: Any, output: Any) -> None:
        self._run = run
        self._output = output
        self._read, self._finalize = run._get_captured_output, output.finalize
        self._lock = threading.Lock()

    def read(self) -> None:
        with self._turn():
            self._read()

    def finalize(self) -> None:
        with self._turn():
            self._finalize()
            rest, self._output.final = self._output.final, None
            if rest:
                text = self._run.captured_out + rest
                filtered = self._run.captured_out_filter
                self._run.captured_out = text if filtered is None else filtered(text)

    @contextlib.contextmanager
    def _turn(self) -> Iterator[None]:
        is_ours = self._lock.acquire(timeout=PATIENCE_SECONDS)
        try:
            yield
        finally:
            if is_ours:
                self._lock.release()


def _harmless(captured_out_filter: Callable[[str], str]) -> Callable[[str], str]:
    """A filter that gives the text as it came where the user's own fails, and says so once."""
    told = False

    def filtered(text: str) -> str:
        nonlocal told
        try:
            kept = captured_out_filter(text)
            if not isinstance(kept, str):
                raise TypeError(f"it returned {type(kept).__name__!r}, not the text to keep")
            return kept
        except Exception as error:
            # Wide on purpose: it is the user's own code, and Sacred would mark the run as failed.
            if not told:
                told = True
                logger.warning("captured_out_filter failed, so output is recorded as it came: %r", error)
            return text

    return filtered
