"""The segments of the journals below a folder, and how much goes through them before they are shipped and deleted."""

from __future__ import annotations

import glob
import os
import threading
from pathlib import Path
from types import TracebackType

LOOK_SECONDS = 0.02


def segments_below(folder: Path) -> list[Path]:
    """The segments of all runs. Unlike `Path.glob`, this looks over folders that go while it looks."""
    return [Path(name) for name in glob.glob(f"{folder}/*/*.journal")]  # noqa: PTH207


class JournalWatch:
    """Counts the bytes of all segments below a folder while it is entered; an open file outlives its deletion."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._descriptors: dict[Path, int] = {}
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._look_on, daemon=True)

    def __enter__(self) -> JournalWatch:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopped.set()
        self._thread.join()
        for descriptor in self._descriptors.values():
            os.close(descriptor)

    @property
    def total_bytes(self) -> int:
        return sum(os.fstat(descriptor).st_size for descriptor in self._descriptors.values())

    def _look_on(self) -> None:
        while not self._stopped.wait(LOOK_SECONDS):
            for path in segments_below(self._folder):
                if path not in self._descriptors:
                    try:
                        self._descriptors[path] = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
                    except FileNotFoundError:  # shipped between the two
                        continue
