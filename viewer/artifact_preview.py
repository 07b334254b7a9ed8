"""What a page shows of an artifact without downloading it: an image, a sound, text, a table, or the reason why not.

The first bytes decide, together with the name for text. What the uploader says about the type is not asked.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from .config_tree import Branch
from .image_head import HEAD_BYTES, ImageHead, read_image_head
from .json_tree import read_json_tree
from .media_head import MediaHead, read_media_head
from .notebook_source import Notebook, read_notebook
from .source_view import SourceView, looks_binary, view_source

TEXT_LIMIT_BYTES = 256 * 1024
TABLE_ROWS = 200
TABLE_COLUMNS = 50
CELL_LIMIT_CHARS = 200
IMAGE_LIMIT_PIXELS = 50_000_000  # 200 MB once decoded, in the reader's browser
IMAGE_LIMIT_BYTES = 32 * 1024 * 1024
PDF_LIMIT_BYTES = 32 * 1024 * 1024
NOTEBOOK_LIMIT_BYTES = 4 * 1024 * 1024  # outputs, which are not shown, are most of a notebook

# Documents that would be shown as source text by their look, but whose source tells nobody anything.
NOT_AS_TEXT = (".pdf", ".mht", ".mhtml", ".eps", ".ps")


class ReadableFile(Protocol):
    """The part of a stored blob that a preview needs."""

    size: int

    def read(self, size: int = -1) -> bytes: ...


@dataclass(frozen=True)
class ImagePreview:
    """An image that may be shown."""

    image: ImageHead
    kind: str = "image"


@dataclass(frozen=True)
class RefusedImage:
    """An image that is too large to be shown."""

    image: ImageHead
    reason: str
    kind: str = "refused-image"


@dataclass(frozen=True)
class TextPreview:
    source: SourceView
    kind: str = "text"


@dataclass(frozen=True)
class TablePreview:
    """The first rows of a table; `cut` says that there are more rows or columns than these."""

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numeric: tuple[bool, ...]
    cut: bool
    kind: str = "table"


@dataclass(frozen=True)
class NoPreview:
    """Nothing can be shown; `damaged` where something should be, `locked` where its key is missing."""

    reason: str
    damaged: bool = False
    locked: bool = False
    kind: str = "none"


@dataclass(frozen=True)
class MediaPreview:
    """A sound or a film that browsers play."""

    media: MediaHead
    kind: str = "media"


@dataclass(frozen=True)
class PdfPreview:
    """A PDF, drawn in a frame that can reach nothing."""

    kind: str = "pdf"


@dataclass(frozen=True)
class JsonPreview:
    """JSON as a tree and as its text."""

    tree: Branch
    source: SourceView
    kind: str = "json"


@dataclass(frozen=True)
class NotebookPreview:
    """A notebook's cells, as source."""

    notebook: Notebook
    kind: str = "notebook"


Preview = (
    ImagePreview
    | RefusedImage
    | TextPreview
    | TablePreview
    | MediaPreview
    | PdfPreview
    | JsonPreview
    | NotebookPreview
    | NoPreview
)


def preview_file(blob: ReadableFile, name: str) -> Preview:
    """What to show of a file called `name`. Reads at most its first 256 KiB, of a notebook 4 MiB."""
    is_notebook = name.lower().endswith(".ipynb")
    head = read_exactly(blob, NOTEBOOK_LIMIT_BYTES if is_notebook else max(TEXT_LIMIT_BYTES, HEAD_BYTES))
    for preview in _PREVIEWS:
        found = preview(head, name, blob.size)
        if found is not None:
            return found
    return NoPreview("Not an image, a sound, a film, a text or a table. Download it to open it.")


def read_exactly(blob: ReadableFile, size: int) -> bytes:
    """The next `size` bytes, fewer only at the end."""
    parts: list[bytes] = []
    while size > 0 and (part := blob.read(size)):
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def _preview_empty(head: bytes, name: str, size: int) -> Preview | None:
    return NoPreview("The file is empty.") if size == 0 else None


def _preview_image(head: bytes, name: str, size: int) -> Preview | None:
    image = read_image_head(head)
    if image is None:
        return None
    if image.pixels > IMAGE_LIMIT_PIXELS:
        return RefusedImage(
            image,
            f"{image.width:,} by {image.height:,} pixels are {image.pixels / 1e6:,.0f} megapixels. Up to "
            f"{IMAGE_LIMIT_PIXELS // 1_000_000} are shown here. Download it to open it elsewhere.",
        )
    if size > IMAGE_LIMIT_BYTES:
        return RefusedImage(
            image, "The image is larger than the 32 MiB that are shown here. Download it to open it elsewhere."
        )
    return ImagePreview(image)


def _preview_media(head: bytes, name: str, size: int) -> Preview | None:
    media = read_media_head(head)
    return None if media is None else MediaPreview(media)


def _preview_pdf(head: bytes, name: str, size: int) -> Preview | None:
    if not head.startswith(b"%PDF-"):
        return None
    if size > PDF_LIMIT_BYTES:
        return NoPreview("The PDF is larger than the 32 MiB that are shown here. Download it to open it elsewhere.")
    return PdfPreview()


def _preview_notebook(head: bytes, name: str, size: int) -> Preview | None:
    if not name.lower().endswith(".ipynb"):
        return None
    if len(head) < size:
        return NoPreview(f"The notebook is larger than the {len(head) // 1024 // 1024} MiB that are read here.")
    notebook = read_notebook(head)
    return None if notebook is None else NotebookPreview(notebook)


def _preview_json(head: bytes, name: str, size: int) -> Preview | None:
    if not name.lower().endswith(".json") or len(head) < size or size > TEXT_LIMIT_BYTES:
        return None
    found = read_json_tree(head)
    return None if found is None else JsonPreview(*found)


def _preview_table(head: bytes, name: str, size: int) -> Preview | None:
    lowered = name.lower()
    if not lowered.endswith((".csv", ".tsv")) or looks_binary(head):
        return None
    text = head.decode("utf-8-sig", "replace")
    if len(head) < size:
        text = text[: text.rfind("\n") + 1] or text
    rows = _read_rows(text, "\t" if lowered.endswith(".tsv") else _delimiter(text))
    if len(rows) < 2 or len(rows[0]) < 2:
        return None  # a single column or a single line is read more easily as text
    columns = min(len(rows[0]), TABLE_COLUMNS)
    shown = [tuple(_cell(cell) for cell in row[:columns]) for row in rows[: TABLE_ROWS + 1]]
    shown = [row + ("",) * (columns - len(row)) for row in shown]
    numeric = tuple(all(_is_number(row[column]) for row in shown[1:]) for column in range(columns))
    cut = len(rows) > TABLE_ROWS + 1 or len(rows[0]) > columns or len(head) < size
    return TablePreview(shown[0], tuple(shown[1:]), numeric, cut)


def _read_rows(text: str, delimiter: str) -> list[list[str]]:
    rows: list[list[str]] = []
    try:
        for row in csv.reader(io.StringIO(text), delimiter=delimiter):
            if row:
                rows.append(row)
            if len(rows) > TABLE_ROWS + 1:
                break
    except csv.Error:  # a field beyond 128 KiB, a NUL: shown as text instead
        return rows if len(rows) > 1 else []
    return rows


def _delimiter(text: str) -> str:
    first = text.split("\n", 1)[0]
    return max(",;\t", key=first.count)


def _cell(cell: str) -> str:
    return cell if len(cell) <= CELL_LIMIT_CHARS else cell[:CELL_LIMIT_CHARS] + "…"


def _is_number(cell: str) -> bool:
    if cell == "":
        return True
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _preview_text(head: bytes, name: str, size: int) -> Preview | None:
    if name.lower().endswith(NOT_AS_TEXT) or head.startswith(b"%PDF-") or not _is_text(head):
        return None
    return TextPreview(view_source(head[:TEXT_LIMIT_BYTES], path=name, total_bytes=size))


def _is_text(head: bytes) -> bool:
    if looks_binary(head):
        return False
    text = head[:8192].decode("utf-8", "replace")
    strange = sum(char == "\ufffd" or (char < " " and char not in "\n\r\t\f\x1b") for char in text)
    return strange <= len(text) // 50


# Asked in this order; the first that knows the file decides.
_PREVIEWS: tuple[Callable[[bytes, str, int], Preview | None], ...] = (
    _preview_empty,
    _preview_image,
    _preview_media,
    _preview_pdf,
    _preview_notebook,
    _preview_json,
    _preview_table,
    _preview_text,
)
