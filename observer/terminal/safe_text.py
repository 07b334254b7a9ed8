"""Stored text for a terminal: colours are kept where they are meant, and nothing else that could steer it."""

from __future__ import annotations

from rich.text import Text

from ..console_text import ansi_to_spans, plain_text
from ..run_record import RunRecord

CELL_LIMIT = 60
# As on pages: a shape and a word, never colour alone.
GLYPHS: dict[str, tuple[str, str]] = {
    "completed": ("✓", "green"),
    "running": ("●", "blue"),
    "failed": ("✗", "red"),
    "interrupted": ("‖", "yellow"),
    "lost": ("?", "magenta"),
    "queued": ("○", "bright_black"),
}
_ANSI_STYLES = {"bold": "bold", "dim": "dim", "italic": "italic", "underline": "underline", "inverse": "reverse"}


def words(value: object, limit: int = 0) -> str:
    """One line of text without controls; with a `limit`, cut in the middle, so that an ending such as -seed3 stays."""
    text = " ".join(plain_text(str(value).replace("\t", " ").replace("\n", " ")).split())
    if not limit or len(text) <= limit:
        return text
    tail = min(limit // 3, 12)
    return f"{text[: limit - tail - 1]}…{text[len(text) - tail :]}"


def status_text(run: RunRecord, *, word: bool = True) -> Text:
    glyph, style = GLYPHS[run.status]
    said = words(run.custom_status or run.status, 20)
    return Text(f"{glyph} {said}" if word else glyph, style)


def console_text(line: str) -> Text:
    """A line that a run printed, in its colours. What moves the cursor, sets titles or asks the terminal goes."""
    text = Text(no_wrap=False)
    for piece, classes in ansi_to_spans(line):
        text.append(piece.expandtabs(8), style=_style(classes))
    return text


def _style(classes: str) -> str:
    names = []
    for name in (each.removeprefix("ansi-") for each in classes.split()):
        on, colour = ("on ", name.removeprefix("on-")) if name.startswith("on-") else ("", name)
        names.append(_ANSI_STYLES.get(name) or on + colour.replace("-", "_"))
    return " ".join(names)
