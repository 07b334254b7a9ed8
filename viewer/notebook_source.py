"""A Jupyter notebook as the source of its cells. What they put out is left out: it may be anything, scripts too."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .source_view import SourceView, view_text

CELLS_LIMIT = 500
CELL_LINES = 2_000


@dataclass(frozen=True)
class NotebookCell:
    """Attributes: `count` is its number in the order of execution; `outputs` how many were left out."""

    kind: str
    count: int | None
    source: SourceView
    outputs: int


@dataclass(frozen=True)
class Notebook:
    language: str
    cells: tuple[NotebookCell, ...]
    hidden_cells: int


def read_notebook(head: bytes) -> Notebook | None:
    """The notebook in `head`, which is the whole file; None where it is none."""
    try:
        document = json.loads(head)
    except (ValueError, RecursionError):  # no JSON, no UTF-8, or nested a thousand deep
        return None
    cells = document.get("cells") if isinstance(document, dict) else None
    if not isinstance(cells, list):
        return None
    language = _language(document.get("metadata"))
    shown = [_cell(cell, language) for cell in cells[:CELLS_LIMIT] if isinstance(cell, dict)]
    return Notebook(language, tuple(shown), max(0, len(cells) - CELLS_LIMIT))


def _cell(cell: Mapping[str, Any], language: str) -> NotebookCell:
    kind = str(cell.get("cell_type") or "raw")
    count = cell.get("execution_count")
    outputs = cell.get("outputs")
    spoken = {"code": language, "markdown": "markdown"}.get(kind, "")
    return NotebookCell(
        kind if kind in ("code", "markdown") else "raw",
        count if isinstance(count, int) and not isinstance(count, bool) else None,
        view_text(_joined(cell.get("source")), language=spoken, lines_limit=CELL_LINES),
        len(outputs) if isinstance(outputs, list) else 0,
    )


def _joined(source: Any) -> str:
    """Notebooks hold a cell's text as one string or as its lines."""
    if isinstance(source, str):
        return source
    return "".join(line for line in source if isinstance(line, str)) if isinstance(source, Sequence) else ""


def _language(metadata: Any) -> str:
    known: Any = metadata if isinstance(metadata, dict) else {}
    for place in ("language_info", "kernelspec"):
        part = known.get(place)
        name = (
            (part.get("name") if place == "language_info" else part.get("language")) if isinstance(part, dict) else None
        )
        if isinstance(name, str):
            return {"ir": "r", "ipython": "python"}.get(name.lower(), name.lower())
    return "python"
