"""The root of every error that Cloister raises on purpose."""

from __future__ import annotations


class CloisterError(Exception):
    """Something that the message explains: what was wrong, with the value, and what to do about it.

    Every error of ours derives from this and from the builtin that people would catch. The command line prints the
    message alone, without a traceback.
    """
