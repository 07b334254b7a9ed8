"""What stands in a record where something was taken out: the rule that did it, and nothing of the value."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

MARK = re.compile(r"\[redacted:[a-z0-9-]{1,40}\]")
MARK_START = "[redacted:"


def mark(rule: str) -> str:
    """The text in the place of what `rule` has found. Without spaces, so that words and columns stay what they are."""
    return f"{MARK_START}{rule}]"


def marked_paths(value: Any, path: str = "") -> Iterator[str]:
    """The dotted names of the values in a document that something was taken out of."""
    if isinstance(value, Mapping):
        for name, child in value.items():
            yield from marked_paths(child, f"{path}.{name}" if path else str(name))
    elif isinstance(value, (list, tuple)):
        for child in value:
            yield from marked_paths(child, path)
    elif holds_mark(value):
        yield path


def without_marked(value: Any) -> Any:
    """A document without the values that something was taken out of: nobody can work with those."""
    if isinstance(value, Mapping):
        return {name: without_marked(child) for name, child in value.items() if not holds_mark(child)}
    return value


def holds_mark(value: object) -> bool:
    """Whether something has been taken out of this text."""
    return isinstance(value, str) and MARK_START in value and MARK.search(value) is not None
