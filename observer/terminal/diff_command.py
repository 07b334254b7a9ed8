"""`cloister diff`: what tells runs apart, in config, results, code, machine and packages."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import click
from rich.console import Group
from rich.table import Table
from rich.text import Text

from ..blobs import BlobNotFound
from ..run_comparison import (
    ABSENT,
    ComparedRow,
    compare_configs,
    compare_environments,
    compare_packages,
    compare_values,
)
from ..run_ids import format_run_id
from ..wording import MISSING, format_column, format_config_value, format_difference, format_duration
from .reading_place import place_options, reading, terminal, which_run
from .safe_text import CELL_LIMIT, status_text, words

if TYPE_CHECKING:
    from rich.console import RenderableType

    from ..run_record import RunRecord
    from ..runs import RunStore

MOST_RUNS = 10
SOURCE_LIMIT_BYTES = 1_000_000


@click.command()
@click.argument("runs", nargs=-1, required=True)
@click.option("--source", is_flag=True, help="The code too, line by line: the first run against each other one.")
@click.option("--all", "everything", is_flag=True, help="What is the same too.")
@place_options
def diff(runs: tuple[str, ...], source: bool, everything: bool, uri: str | None, collections: str) -> None:
    """Show what tells RUNS apart; differences are to the first one. Exit code 1 where config or code differ."""
    if not 2 <= len(runs) <= MOST_RUNS:
        raise click.UsageError(f"Name 2 to {MOST_RUNS} runs. These are {len(runs)}.")
    with reading(uri, collections) as store:
        records = [store.load_run(which_run(store, word)) for word in runs]
        console = terminal()
        console.print(_heads(records))
        for part in _parts(records, everything):
            console.print(part)
        files_differ = any(row.differs for row in _sources(records))
        if source:
            for line in _source_lines(store, records):
                console.print(line, soft_wrap=True)
    if files_differ or any(row.differs for row in compare_configs(records)):
        raise SystemExit(1)


def _heads(runs: Sequence[RunRecord]) -> Table:
    table = _table(runs)
    table.add_row("status", *(status_text(run) for run in runs))
    table.add_row("duration", *(format_duration(run.duration) for run in runs))
    return table


def _parts(runs: Sequence[RunRecord], everything: bool) -> Iterator[RenderableType]:
    groups = {
        "Config": compare_configs(runs),
        "Code": [*_commits(runs), *_sources(runs)],
        "Environment": compare_environments(runs),
        "Packages": compare_packages(runs),
    }
    yield from _section("Metrics", _metrics(runs))
    for title, rows in groups.items():
        chosen = [row for row in rows if everything or row.differs]
        table = _table(runs, heads=False)
        for row in chosen:
            table.add_row(Text(words(row.name)), *_cells(row))
        if chosen:
            yield from _section(title, table)
        elif rows:
            yield from _section(title, Text("the same", "bright_black"))


def _section(title: str, part: RenderableType) -> Iterator[RenderableType]:
    yield Group(Text(), Text(title, "bold"), part)


def _table(runs: Sequence[RunRecord], *, heads: bool = True) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), show_header=heads, header_style="bold")
    table.add_column("", style="bright_black", min_width=16, overflow="fold")
    for run in runs:
        table.add_column(Text(f"{format_run_id(run.id)} {words(run.name, 30)}"), overflow="fold")
    return table


def _cells(row: ComparedRow) -> list[Text]:
    """What differs from the first run is bold as well as coloured."""
    return [
        Text(_written(value), "bold yellow" if differs else "")
        for value, differs in zip(row.values, row.differing, strict=True)
    ]


def _written(value: Any) -> str:
    return MISSING if value is ABSENT else words(format_config_value(value), CELL_LIMIT)


def _metrics(runs: Sequence[RunRecord]) -> Table:
    table = _table(runs, heads=False)
    for name in dict.fromkeys(name for run in runs for name in run.summary):
        values = [run.summary[name].last if name in run.summary else None for run in runs]
        shown = format_column(values)
        first = values[0]
        cells = [Text(shown[0])]
        for text, value in zip(shown[1:], values[1:], strict=True):
            cell = Text(text)
            if value is not None and first is not None and value != first:
                cell.append(f"  {format_difference(value - first)}", "bright_black")
            cells.append(cell)
        table.add_row(Text(words(name)), *cells)
    return table


def _commits(runs: Sequence[RunRecord]) -> list[ComparedRow]:
    facts = ("commit", "branch", "dirty")
    return list(compare_values([{(name,): run.git[name] for name in facts if name in run.git} for run in runs]))


def _sources(runs: Sequence[RunRecord]) -> list[ComparedRow]:
    """Each file of the code by the first digits of its digest."""
    return list(
        compare_values([{(entry.path,): (entry.sha256 or MISSING)[:10] for entry in run.sources} for run in runs])
    )


def _source_lines(store: RunStore, runs: Sequence[RunRecord]) -> Iterator[Text]:
    first = runs[0]
    for other in runs[1:]:
        paths = [row.name for row in _sources([first, other]) if row.differs]
        for path in paths:
            before, after = (_lines(store, run, path) for run in (first, other))
            old, new = (f"{format_run_id(run.id)}/{words(path)}" for run in (first, other))
            for line in difflib.unified_diff(before, after, old, new, lineterm=""):
                style = {"+": "green", "-": "red", "@": "cyan"}.get(line[:1], "")
                yield Text(words(line) if line.startswith(("+++", "---")) else _code(line), style)


def _code(line: str) -> str:
    from ..console_text import plain_text

    return plain_text(line.rstrip("\n")).expandtabs(4)


def _lines(store: RunStore, run: RunRecord, path: str) -> list[str]:
    entry = next((each for each in run.sources if each.path == path), None)
    if entry is None:
        return []
    try:
        blob = store.open_blob(entry.file_id, run)
    except BlobNotFound:
        return ["(not stored)"]
    if blob.size > SOURCE_LIMIT_BYTES:
        return [f"(too large: {blob.size:,} bytes, {entry.sha256})"]
    return blob.read().decode("utf-8", "replace").splitlines()
