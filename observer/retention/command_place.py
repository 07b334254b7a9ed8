"""What the commands of retention share: the database, who gives the command, ids of runs, how lists are printed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from ..account import host_name, login_name
from ..amounts import size_of
from ..audit import record_entry
from ..audit.entry import plain_text
from ..run_ids import format_run_id
from .purge import PurgeReport

if TYPE_CHECKING:
    from pymongo.database import Database

uri_option = click.option(
    "--uri", help="MongoDB URI; when left out the settings decide, else the embedded database is used."
)
collections_option = click.option(
    "--collections", default="", metavar="PREFIX", help="Runs in collections of other names: lab, or runs=mine."
)


def giver() -> str:
    """Who gives a command, as the audit log has it: whoever has the database's password, on this machine."""
    return f"{login_name()}@{host_name()}"


@contextmanager
def retention_database(uri: str | None, collections: str = "") -> Iterator[Database[dict[str, Any]]]:
    """The database that is meant, once it has answered."""
    from ..mongo import check  # these spare `--help` the driver
    from ..store_connection import open_database

    database = open_database(uri, collections, read_only=False)
    with database.client:
        check(database.client)
        yield database


def note(database: Database[dict[str, Any]], action: str, target: str, project: str = "", **details: Any) -> None:
    """Into the audit log, before it is done."""
    record_entry(database, actor=giver(), action=action, target=target, project=project, details=details)


def print_rows(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Columns as wide as what is in them; stored text can neither colour nor steer the terminal."""
    clean = [[plain_text(cell) for cell in row] for row in rows]
    widths = [max(len(row[column]) for row in (titles, *clean)) for column in range(len(titles))]
    for row in (titles, *clean):
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def day(time: datetime | None) -> str:
    return time.astimezone().strftime("%Y-%m-%d %H:%M") if time else "-"


def print_proof(report: PurgeReport) -> None:
    """What a purge deleted, and that it is gone."""
    what = "everything" if report.kind == "runs" else report.kind
    click.echo(f"Run {format_run_id(report.run_id)}: {what} purged, {size_of(report.freed_bytes)} of files.")
    for name, before in report.before.items():
        if before:
            click.echo(f"  {name}: {before:,} before, {report.after.get(name, 0):,} now")
    for file in report.gone:
        left = f"{file.chunks:,} chunks deleted, {file.left_chunks:,} left"
        again = "; stored again by another run since" if file.outcome == "stored again" else ""
        click.echo(f"  {file.sha256 or file.file_id}: {left}{again}")
    for file in report.shared:
        why = "another run names it" if file.outcome == "shared" else "another run is storing it"
        click.echo(f"  {file.sha256 or file.file_id}: kept, {why}")
    if not report.is_proven:
        click.echo("  Not everything is gone. Run it again; if this stays so, see what else writes into the database.")
