"""`cloister tail`: what a run printed last, and with -f what it prints from now on."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

import click
from rich.text import Text

from ..console_text import ConsoleLine, join_pieces
from .reading_place import NEWEST, place_options, reading, terminal, which_run
from .safe_text import console_text, status_text

if TYPE_CHECKING:
    from rich.console import Console

    from ..console_store import ConsolePiece, Stream
    from ..run_record import RunId
    from ..runs import RunStore

POLL_SECONDS = 1.0
STATUS_SECONDS = 5.0
PIECES_AT_ONCE = 400


@click.command()
@click.argument("run", default=NEWEST)
@click.option("-f", "--follow", is_flag=True, help="Go on until the run ends, or Ctrl-C.")
@click.option("-n", "--lines", type=click.IntRange(0, 1_000_000), default=40, show_default=True, help="To begin with.")
@click.option("--stream", type=click.Choice(["stdout", "stderr"]), help="Only this one.")
@click.option("-t", "--times", is_flag=True, help="When each line was printed.")
@place_options
def tail(
    run: str, follow: bool, lines: int, stream: Stream | None, times: bool, uri: str | None, collections: str
) -> None:
    """Show the end of what RUN printed, in its colours; the run that began last when left out."""
    with reading(uri, collections) as store:
        run_id = which_run(store, run)
        store.load_run(run_id)  # that there is none is said at once
        printer = _Printer(terminal(), stream, times)
        cursor = printer.print_pieces(*last_pieces(store, run_id, lines, stream), last=lines)
        if not follow:
            printer.end()
            return
        try:
            _follow(store, run_id, cursor, printer)
        except KeyboardInterrupt:
            printer.end()


def last_pieces(
    store: RunStore, run_id: RunId, lines: int, stream: Stream | None
) -> tuple[Sequence[ConsolePiece], str]:
    """Pieces that hold at least the last `lines` lines, read from the end backwards, and where they end."""
    page = store.load_console(run_id, limit=PIECES_AT_ONCE)
    pieces, cursor = list(page.pieces), page.last
    while page.more and sum(piece.text.count("\n") for piece in _of(pieces, stream)) <= lines:
        page = store.load_console(run_id, before=page.first, limit=PIECES_AT_ONCE)
        pieces = [*page.pieces, *pieces]
    return pieces, cursor


def _of(pieces: Iterable[ConsolePiece], stream: Stream | None) -> Iterator[ConsolePiece]:
    return (piece for piece in pieces if stream in (None, piece.stream))


def _follow(store: RunStore, run_id: RunId, cursor: str, printer: _Printer) -> None:
    """Print what comes. A run that has ended is followed until everything that it printed is here."""
    looked = 0.0
    while True:
        page = store.load_console(run_id, after=cursor, limit=PIECES_AT_ONCE)
        if page.pieces:
            cursor = printer.print_pieces(page.pieces, page.last)
        if page.more:
            continue
        if time.monotonic() - looked >= STATUS_SECONDS:
            looked = time.monotonic()
            record = store.load_run(run_id)
            if record.ended and not store.load_console(run_id, after=cursor, limit=1).pieces:
                printer.end(status_text(record))
                return
        time.sleep(POLL_SECONDS)


class _Printer:
    """Prints lines as they end; of a line that goes on it keeps the beginning for each stream."""

    def __init__(self, console: Console, stream: Stream | None, times: bool) -> None:
        self._console, self._stream, self._times = console, stream, times
        self._open: dict[str, ConsoleLine] = {}

    def print_pieces(self, pieces: Sequence[ConsolePiece], cursor: str, last: int | None = None) -> str:
        begun = [_Begun(line.stream, line.time, line.text) for line in self._open.values()]
        lines = join_pieces([*begun, *_of(pieces, self._stream)])
        self._open = {line.stream: line for line in lines if not line.finished}
        ended = [line for line in lines if line.finished]
        for line in ended if last is None else ended[max(0, len(ended) - last) :]:
            self._print(line)
        return cursor

    def end(self, closing: Text | None = None) -> None:
        """Print what no newline has ended, such as the last state of a progress bar."""
        for line in self._open.values():
            self._print(line)
        self._open = {}
        if closing is not None:
            self._console.print(closing)

    def _print(self, line: ConsoleLine) -> None:
        text = console_text(line.text)
        if self._times:
            text = Text(f"{line.time.astimezone():%H:%M:%S} ", "bright_black") + text
        if self._console.is_terminal and line.stream == "stderr":
            text = Text("▎", "yellow") + text
        self._console.print(text, soft_wrap=True)


class _Begun:
    """The beginning of a line, as a piece again."""

    def __init__(self, stream: Stream, time: datetime, text: str) -> None:
        self.stream, self.time, self.text = stream, time, text
