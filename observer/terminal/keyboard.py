"""Single keys from a terminal, without Enter and without an echo, for as long as a block lasts."""

from __future__ import annotations

import os
import re
import select
import sys
from collections.abc import Iterator
from contextlib import contextmanager

# What terminals send for the keys that are no character.
_SEQUENCES = {b"\x1b[A": "up", b"\x1bOA": "up", b"\x1b[B": "down", b"\x1bOB": "down", b"\x1b": "escape"}
_SEQUENCES |= {b"\r": "enter", b"\n": "enter", b"\t": "tab"}
_LONGEST = 256  # bytes at once; what a paste brings beyond is read next time


class Keyboard:
    """Keys as they are pressed. Where standard input is no terminal none ever is."""

    def __init__(self, descriptor: int | None) -> None:
        self._descriptor = descriptor
        self._pressed: list[str] = []  # several may come at once, over a slow line

    def wait_for_key(self, seconds: float) -> str | None:
        """The next key within so many seconds: a character, or up, down, enter, tab, escape."""
        waited_for = [] if self._descriptor is None else [self._descriptor]
        if not self._pressed and select.select(waited_for, [], [], seconds)[0]:
            self._pressed = split_keys(os.read(waited_for[0], _LONGEST)) or ["q"]  # nothing: the terminal has gone
        return self._pressed.pop(0) if self._pressed else None


def split_keys(pressed: bytes) -> list[str]:
    """The keys in what a terminal has sent; sequences of keys that mean nothing here are left out."""
    known = [
        _SEQUENCES.get(each) or (each.decode("utf-8", "replace") if len(each) == 1 else "")
        for each in re.findall(rb"\x1b[\[O][0-?]*[ -/]*[@-~]|\x1b|[^\x1b]", pressed, re.DOTALL)
    ]
    return [key for key in known if key]


@contextmanager
def single_keys() -> Iterator[Keyboard]:
    """The keyboard of this terminal, which is as it was afterwards, however the block ends."""
    if not sys.stdin.isatty():
        yield Keyboard(None)
        return
    import termios  # not there on Windows, where nothing of Cloister runs, and not needed by a pipe
    import tty

    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)
    try:
        tty.setcbreak(descriptor)
        yield Keyboard(descriptor)
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)
