"""`make faults`: do every fault of the table to real trainings, and print what came of it."""

from __future__ import annotations

import contextlib
import random
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from .comparing import Outcome
from .places import NotHere, Workplace, a_workplace
from .servers import a_server
from .table import Row, choose

FILE_COLUMNS = 180
COLUMNS = ("times", "accepted", "stored", "lost", "doubled", "counted lost", "worst call ms", "exit as without", "s")


@click.command()
@click.argument("words", nargs=-1)
@click.option("--share", default=1.0, type=click.FloatRange(0, 1), help="0: the test suite's sizes; 1: the whole ones.")
@click.option("--seed", type=int, help="Of the random moments and places; another one each time when left out.")
@click.option("--list", "only_list", is_flag=True, help="Name the rows and do nothing.")
def main(words: tuple[str, ...], share: float, seed: int | None, only_list: bool) -> None:
    """Run the rows of the fault table whose name holds any of WORDS, or all."""
    rows = choose(list(words))
    if not rows:
        raise click.UsageError(f"No row's name holds {' or '.join(words)}. --list names them.")
    if only_list:
        click.echo("\n".join(f"{row.group:10} {row.name}" for row in rows))
        return
    # A batch system or `timeout` that ends us must leave no server behind.
    signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))
    console = Console()
    if not console.is_terminal:  # in a file nothing needs to be folded
        console.width = FILE_COLUMNS
    seed = random.SystemRandom().randrange(10**9) if seed is None else seed
    table = _empty_table(share, seed)
    with _workplace(seed) as work, _progress(console) as progress:
        results = [_run(row, work, share, progress, table) for row in rows]
    console.print(table)
    for row, outcome in zip(rows, results, strict=True):
        for complaint in dict.fromkeys(outcome.complaints if outcome else ()):
            console.print(f"[red]{row.name}[/]: ", end="")
            console.print(complaint, markup=False, highlight=False)
    sys.exit(any(outcome is not None and not outcome.holds for outcome in results))


@contextlib.contextmanager
def _workplace(seed: int) -> Iterator[Workplace]:
    with (
        tempfile.TemporaryDirectory(prefix="cloister-faults-") as name,
        a_server(Path(name) / "server") as server,
        a_workplace(Path(name), server.uri, chooser=random.Random(seed)) as work,
    ):
        yield work


def _progress(console: Console) -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, console=console, transient=True)


def _run(row: Row, work: Workplace, share: float, progress: Progress, table: Table) -> Outcome | None:
    """Run a row and add its line to the table; None where this machine does not allow it."""
    task = progress.add_task(row.name, total=None)
    work.on_round = lambda done, of: progress.update(task, completed=done, total=of)
    try:
        outcome = row.run(work, share)
    except NotHere as reason:
        table.add_row(row.name, *["-"] * len(COLUMNS), f"skipped: {reason}")
        return None
    finally:
        progress.remove_task(task)
    table.add_row(row.name, *_cells(outcome))
    verdict = "holds" if outcome.holds else "FAILS"
    progress.console.print(f"{row.name}: {verdict} ({outcome.seconds:.0f} s)", style="" if outcome.holds else "red")
    return outcome


def _empty_table(share: float, seed: int) -> Table:
    table = Table(title=f"Faults, at {share:.0%} of the whole sizes, seed {seed}", title_justify="left")
    table.add_column("what was done")
    for name in COLUMNS:
        table.add_column(name, justify="right")
    table.add_column("verdict")
    return table


def _cells(outcome: Outcome) -> tuple[str, ...]:
    counts = (outcome.times, outcome.accepted, outcome.stored, outcome.lost, outcome.doubled)
    verdict = "[green]holds[/]" if outcome.holds else "[bold red]FAILS[/]"
    return (
        *(f"{count:,}" for count in counts),
        f"{outcome.counted_bytes:,} B" if outcome.counted_bytes and not outcome.counted else f"{outcome.counted:,}",
        f"{outcome.worst_ms:.1f}",
        "yes" if outcome.exits_alike else "NO",
        f"{outcome.seconds:.0f}",
        "; ".join([verdict, *_shortest(outcome.remarks)]),
    )


def _shortest(remarks: list[str]) -> list[str]:
    """All remarks where they are few, else the first and the last by their text: the extremes of a figure."""
    known = sorted(set(remarks))
    return known if len(known) <= 2 else [known[0], "...", known[-1]]


main()
