"""JSON as a tree that folds, and as text that is indented; what is too large or too deep for a tree is no tree."""

from __future__ import annotations

import json
from typing import Any

from .config_tree import Branch, build_tree
from .source_view import SourceView, view_text

VALUES_LIMIT = 3_000  # more of them are read as text
DEEPEST = 40


def read_json_tree(content: bytes) -> tuple[Branch, SourceView] | None:
    """The tree and the text of a whole file; None where it holds no object and no list, or too much."""
    try:
        values = json.loads(content)
    except (ValueError, RecursionError):  # no JSON, a number of thousands of digits, or nested a thousand deep
        return None
    if not isinstance(values, (dict, list)) or not values or not _is_small(values):
        return None
    text = content.decode("utf-8-sig", "replace")
    if text.count("\n") < 2:
        text = json.dumps(values, indent=2, ensure_ascii=False)
    return build_tree(_as_mapping(values), {}), view_text(text, language="json")


def _is_small(values: Any) -> bool:
    """Whether there are not too many values, nor any too deep: what follows goes into them by recursion."""
    count, waiting = 0, [(values, 1)]
    while waiting:
        value, depth = waiting.pop()
        children = list(value.values()) if isinstance(value, dict) else value
        count += len(children)
        if count > VALUES_LIMIT or depth > DEEPEST:
            return False
        waiting += [(child, depth + 1) for child in children if isinstance(child, (dict, list))]
    return True


def _as_mapping(values: Any, inner: bool = False) -> Any:
    """Lists of lists and of objects by their places, so that the tree can fold them."""
    if isinstance(values, dict):
        return {str(key): _as_mapping(value, True) for key, value in values.items()}
    if not isinstance(values, list) or (inner and not any(isinstance(value, (dict, list)) for value in values)):
        return values
    return {str(place): _as_mapping(value, True) for place, value in enumerate(values)}
