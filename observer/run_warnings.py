"""Python's warnings in what a run prints, for its timeline: found by whoever ships it, so that no training waits."""

from __future__ import annotations

import re
from collections.abc import Iterator

from .run_events import TEXT_LIMIT

# As `warnings` writes them: "train.py:12: UserWarning: text".
_WARNING = re.compile(r"^[^\n]{1,300}:\d{1,7}: (\w{0,60}Warning: [^\n]{1,500})", re.MULTILINE)
_SIGN = "Warning: "


def warnings_in(text: str) -> Iterator[str]:
    """The warnings that a piece of stderr holds, each as its class and its words."""
    if _SIGN in text:
        for found in _WARNING.finditer(text):
            yield found.group(1).strip()[:TEXT_LIMIT]
