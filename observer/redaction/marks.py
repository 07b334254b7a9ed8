"""What stands in a record where something was taken out: the rule that did it, and nothing of the value."""

from __future__ import annotations

import re

MARK = re.compile(r"\[redacted:[a-z0-9-]{1,40}\]")
MARK_START = "[redacted:"


def mark(rule: str) -> str:
    """The text in the place of what `rule` has found. Without spaces, so that words and columns stay what they are."""
    return f"{MARK_START}{rule}]"


def holds_mark(value: object) -> bool:
    """Whether something has been taken out of this text."""
    return isinstance(value, str) and MARK_START in value and MARK.search(value) is not None
