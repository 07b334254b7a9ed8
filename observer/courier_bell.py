"""The courier's bell: a FIFO beside the journals, by which trainings wake the courier and lend it a URI that works."""

from __future__ import annotations

import contextlib
import os
import select
import stat
import time
from collections import deque
from pathlib import Path
from types import TracebackType

BELL_FILE = "courier.bell"
URIS_KEPT = 8
MESSAGE_LIMIT_BYTES = 4096  # what a pipe takes in one piece, whoever else writes (PIPE_BUF)

SOON = b"."
NOW = b"!"
_URI = b"uri "


class Bell:
    """The courier's side. Where a file system has no FIFOs there is no bell, and the courier looks by itself."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / BELL_FILE
        self._descriptor = -1
        self._waker, self._waiter = -1, -1
        self._rest = b""
        self.uris: deque[str] = deque(maxlen=URIS_KEPT)  # that trainings have lent, oldest first, each once

    def __enter__(self) -> Bell:
        self._waiter, self._waker = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        with contextlib.suppress(OSError):
            with contextlib.suppress(FileExistsError):
                os.mkfifo(self._path, 0o600)
            # For both directions: with a writer of our own there is no end of file when the last training leaves.
            self._descriptor = _open_fifo(self._path, os.O_RDWR)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(OSError):  # journals are copied to sticks, and most of those hold no FIFOs
            # Only ours: in a folder that was removed and made anew, another courier has its own.
            if self._descriptor >= 0 and os.path.samestat(os.fstat(self._descriptor), self._path.lstat()):
                self._path.unlink()
        for descriptor in (self._waker, self._waiter, self._descriptor):
            if descriptor >= 0:
                os.close(descriptor)
        self._waker = self._waiter = self._descriptor = -1

    def stop(self) -> None:
        """End a wait, from a signal handler or another thread."""
        if self._waker >= 0:
            with contextlib.suppress(BlockingIOError):
                os.write(self._waker, b"\n")

    def wait(self, seconds: float, soon_seconds: float) -> None:
        """Return after `seconds`; after `soon_seconds` if somebody rings meanwhile; at once if he cannot wait."""
        poll = select.poll()  # not select: the courier may be a thread of a training with thousands of descriptors
        for descriptor in (self._waiter, self._descriptor):
            if descriptor >= 0:
                poll.register(descriptor, select.POLLIN)
        started = time.monotonic()
        until = started + seconds
        while (left := until - time.monotonic()) > 0:
            heard = self._hear([descriptor for descriptor, _ in poll.poll(left * 1000)])
            if NOW in heard:
                return
            if heard:
                until = min(until, started + soon_seconds)

    def _hear(self, ready: list[int]) -> set[bytes]:
        heard = set()
        if self._waiter in ready:
            os.read(self._waiter, MESSAGE_LIMIT_BYTES)
            heard.add(NOW)
        if self._descriptor in ready:
            with contextlib.suppress(BlockingIOError):
                *messages, self._rest = (self._rest + os.read(self._descriptor, 1 << 16)).split(b"\n")
                heard.update(messages)
                for text in messages:
                    uri = text[len(_URI) :].decode("utf-8", "replace")
                    if text.startswith(_URI) and uri not in self.uris:  # they ring every second while it is away
                        self.uris.append(uri)
        return heard


def ring(folder: Path, *, now: bool = False, uri: str | None = None) -> None:
    """Wake the courier of `folder`, if there is one; never waits and never raises.

    Args:
        now: somebody waits for the result.
        uri: what the database takes from us, for a courier whose own password is not valid any more. It goes through
            the memory of the kernel alone.
    """
    message = _URI + uri.encode("utf-8", "replace") + b"\n" if uri is not None and "\n" not in uri else b""
    message += (NOW if now else SOON) + b"\n"
    if len(message) > MESSAGE_LIMIT_BYTES:
        return
    try:
        descriptor = _open_fifo(folder / BELL_FILE, os.O_WRONLY)
    except OSError:  # no courier, or no FIFO
        return
    try:
        with contextlib.suppress(OSError):  # nobody has listened for a very long time
            os.write(descriptor, message)
    finally:
        os.close(descriptor)


def _open_fifo(path: Path, mode: int) -> int:
    descriptor = os.open(path, mode | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW)
    facts = os.fstat(descriptor)
    if not stat.S_ISFIFO(facts.st_mode) or facts.st_uid != os.geteuid():
        os.close(descriptor)
        raise OSError(22, "no FIFO of ours", str(path))
    return descriptor
