"""`cloister queue`: what waits to be made, and changing it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.table import Table

from ...observer.account import host_name, login_name
from ...observer.mongo import check, client_for, database_name, resolve_uri
from ...observer.queue_list import ListedRun, cancel, list_queue, set_priority
from ...observer.run_ids import parse_run_id
from ...observer.settings import load_settings
from .shown import shown

if TYPE_CHECKING:
    from pymongo.database import Database

UNAUTHORIZED = 13  # MongoDB's code for an account that may not do this
STATES = {"waiting": "", "taken": "green", "recording": "yellow"}


@click.group()
def queue() -> None:
    """What waits for a worker."""


@queue.command()
@click.option("--project", help="Only runs of this project.")
@click.option("--uri", help="The MongoDB that holds the queue; the one of the settings when left out.")
def ls(project: str | None, uri: str | None) -> None:
    """List the queued runs, in the order in which they are taken."""
    console = Console(highlight=False)
    with _database(uri) as database:
        runs = list_queue(database, project)
    if not runs:
        console.print("Nothing is queued.")
        return
    table = Table()
    for column in ("Run", "Priority"):
        table.add_column(column, justify="right")
    for column in ("Project", "Name", "Queued", "By", "State"):
        table.add_column(column)
    for run in runs:
        table.add_row(*_cells(run))
    console.print(table)
    for run in runs:
        for note in run.missing:
            console.print(f"{shown(run.id)}: {shown(note)}", style="yellow", soft_wrap=True)


@queue.command(name="cancel")
@click.argument("runs", nargs=-1, required=True)
@click.option("--uri", help="The MongoDB that holds the queue; the one of the settings when left out.")
def cancel_runs(runs: tuple[str, ...], uri: str | None) -> None:
    """Take RUNS out of the queue. They stay, as cancelled runs."""
    with _database(uri) as database:
        for run in runs:
            run_id = parse_run_id(run)
            _note_stop(database, run)
            cancel(database, run_id)
            click.echo(f"Run {run} is cancelled.")


def _note_stop(database: Database[dict[str, Any]], run: str) -> None:
    """Into the audit log before it is done, where this account may write there: recorders may not."""
    from pymongo.errors import OperationFailure

    from ...observer.audit import record_entry

    try:
        record_entry(
            database,
            actor=f"{login_name()}@{host_name()}",
            action="run-stopped",
            target=f"run {run}",
            details={"what": "taken out of the queue"},
        )
    except OperationFailure as error:
        if error.code != UNAUTHORIZED:
            raise


@queue.command(context_settings={"ignore_unknown_options": True})
@click.argument("run")
@click.argument("number", type=float)
@click.option("--uri", help="The MongoDB that holds the queue; the one of the settings when left out.")
def priority(run: str, number: float, uri: str | None) -> None:
    """Have RUN made earlier or later: a higher NUMBER goes first, 0 is usual."""
    with _database(uri) as database:
        set_priority(database, parse_run_id(run), number)
    click.echo(f"Run {run} has priority {number:g}.")


@contextlib.contextmanager
def _database(uri: str | None) -> Iterator[Database[dict[str, Any]]]:
    settings = load_settings(uri=uri)
    resolved = resolve_uri(settings)
    with client_for(resolved) as client:
        check(client)
        yield client[database_name(resolved, settings)]


def _cells(run: ListedRun) -> list[str]:
    when = "" if run.queued_at is None else f"{_ago(run.queued_at)} on {shown(run.host)}"
    state = "Sacred's own" if not run.is_ours else f"{run.state} {run.taken_by}".strip()
    colour = STATES.get(run.state, "") if run.is_ours else "dim"
    coloured = f"[{colour}]{shown(state)}[/]" if colour else shown(state)
    cells = [run.id, f"{run.priority:g}", run.project, run.name]
    return [*map(shown, cells), when, shown(run.owner), coloured]


def _ago(moment: datetime) -> str:
    seconds = max(0, int((datetime.now(timezone.utc) - moment).total_seconds()))
    for size, name in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds // size} {name} ago"
    return f"{seconds} s ago"
