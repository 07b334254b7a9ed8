"""Redacting files of text: each by what kind of file its name says it is."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from functools import partial
from pathlib import PurePosixPath
from typing import Any

from .built_in_rules import Found
from .secret_values import TextKind
from .text_redaction import TextRules

FILE_LIMIT_BYTES = 4_000_000  # of a larger file the bytes are what they are
_CODE = frozenset({
    ".py", ".pyi", ".pyx", ".c", ".cc", ".cpp", ".h", ".hpp", ".cu", ".cuh", ".java", ".js", ".ts", ".rs", ".go",
    ".jl", ".r", ".m", ".lua", ".scala", ".kt", ".rb", ".cs", ".proto",
})  # fmt: skip
_SETTINGS = frozenset({
    ".yaml", ".yml", ".toml", ".ini", ".cfg", ".conf", ".env", ".json", ".jsonl", ".sh", ".bash", ".sbatch",
    ".slurm", ".properties", ".xml", ".sql", ".tf", ".gin", ".netrc", ".pypirc",
})  # fmt: skip
_TEXT = frozenset(
    {".txt", ".log", ".out", ".err", ".md", ".rst", ".html", ".htm", ".csv", ".tsv", ".tex", ".patch", ".diff"}
)
_PART_OF_DIFF = re.compile(r"^(?=diff --git )", re.MULTILINE)
_PATH_OF_DIFF = re.compile(r"diff --git .* b/(.*)")


def kind_of_file(name: str) -> TextKind | None:
    """What text a file of this name holds; None where its name does not say that it is text."""
    path = PurePosixPath(name.lower().replace("\\", "/"))
    suffix = path.suffix or (path.name if path.name.startswith(".") else "")
    if suffix in _CODE or suffix == ".ipynb":
        return "code"
    if suffix in _SETTINGS or path.name.startswith((".env", "dockerfile", "makefile")):
        return "settings"
    return "text" if suffix in _TEXT else None


def redact_file(rules: TextRules, name: str, content: bytes, found: Found, *, is_text: bool = False) -> bytes:
    """The bytes of a file without its secrets; the same object where it holds none, or is no text.

    Args:
        is_text: it is known to be text, whatever its name says.
    """
    kind = kind_of_file(name) or ("text" if is_text else None)
    if kind is None or len(content) > FILE_LIMIT_BYTES:
        return content
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        if not is_text and kind != "code":
            return content
        text = content.decode("latin-1")  # every byte is a character, and comes back as it was
        redacted = rules.redact(text, found, kind)
        return content if redacted is text else redacted.encode("latin-1", "replace")
    redacted = _redact_text(rules, name, text, kind, found)
    return content if redacted == text else redacted.encode("utf-8")


def _redact_text(rules: TextRules, name: str, text: str, kind: TextKind, found: Found) -> str:
    if name.lower().endswith(".ipynb"):
        return redact_notebook(rules, text, found)
    if name.lower().endswith((".patch", ".diff")):
        return redact_diff(rules, text, found)
    return rules.redact(text, found, kind)


def redact_diff(rules: TextRules, text: str, found: Found) -> str:
    """A diff of git, each file by its kind."""
    parts = []
    for part in _PART_OF_DIFF.split(text):
        named = _PATH_OF_DIFF.match(part)
        kind = (kind_of_file(named[1].strip('"')) if named is not None else None) or "text"
        parts.append(rules.redact(part, found, kind))
    return "".join(parts)


def redact_notebook(rules: TextRules, text: str, found: Found) -> str:
    """A notebook: its cells as programs, what they put out as text that was printed."""
    try:
        notebook = json.loads(text)
        cells = notebook["cells"]
    except (ValueError, TypeError, LookupError, RecursionError):
        return rules.redact(text, found, "code")
    try:
        return _redact_cells(rules, notebook, cells, text, found)
    except RecursionError:  # nested as no notebook is
        return rules.redact(text, found, "code")


def _redact_cells(rules: TextRules, notebook: dict[str, Any], cells: Any, text: str, found: Found) -> str:
    counted: list[str] = []
    for cell in cells if isinstance(cells, list) else ():
        if isinstance(cell, dict):
            kind: TextKind = "code" if cell.get("cell_type") == "code" else "text"
            _redact_inside(cell, partial(_redact_cell, rules, counted.append, kind))
    _redact_inside(notebook.get("metadata"), lambda piece, _key: rules.redact(piece, counted.append, "settings"))
    if not counted:
        return text
    for rule in counted:
        found(rule)
    return json.dumps(notebook, ensure_ascii=False, indent=1) + ("\n" if text.endswith("\n") else "")


def _redact_cell(rules: TextRules, found: Found, kind: TextKind, text: str, key: str) -> str:
    return rules.redact(text, found, kind if key == "source" else "text")


def _redact_inside(value: Any, redact: Callable[[str, str], str], key: str = "") -> Any:
    """Change all texts inside a document in place. A list of lines is one text."""
    if isinstance(value, str):
        return redact(value, key)
    if isinstance(value, list):
        if value and all(isinstance(one, str) for one in value):
            whole = "".join(value)
            redacted = redact(whole, key)
            return value if redacted == whole else redacted.splitlines(keepends=True)
        value[:] = [_redact_inside(one, redact, key) for one in value]
    elif isinstance(value, dict):
        for name, child in value.items():
            value[name] = child if name == "image/png" else _redact_inside(child, redact, str(name))
    return value
