"""`cloister stop`: asking runs to stop, wherever they run, and waiting until they have."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from .retention.command_place import collections_option, giver, note, retention_database, uri_option
from .run_ids import format_run_id, parse_run_id
from .stop_requests import GRACE_SECONDS, Level, request_stop

if TYPE_CHECKING:
    from .run_record import RunRecord
    from .runs import RunStore

LOOK_SECONDS = 0.5


@click.command()
@click.argument("runs", nargs=-1, required=True)
@click.option("--force", is_flag=True, help=f"End the process of one that goes on for {GRACE_SECONDS:g} s.")
@click.option("--wait", "patience", type=float, default=0.0, metavar="SECONDS", help="Wait until they have ended.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@uri_option
@collections_option
def stop(runs: tuple[str, ...], force: bool, patience: float, yes: bool, uri: str | None, collections: str) -> None:
    """Interrupt RUNS as Ctrl-C would, on whichever host they run; what waits in the queue is cancelled.

    A run hears of it with its next sign of life, within 5 s as a rule.
    """
    from .runs import RunStore  # spares `--help` the driver

    level: Level = "kill" if force else "interrupt"
    with retention_database(uri, collections) as database:
        store = RunStore(database)
        found = [store.load_run(parse_run_id(word)) for word in runs]
        if not yes:
            click.confirm(f"{'End' if force else 'Stop'} {_names(found)}?", abort=True)
        for run in found:
            word = format_run_id(run.id)
            note(database, "run-stopped", f"run {word}", run.project, level=level)
            request_stop(store, run.id, by=giver(), level=level)
            done = "is cancelled" if run.status == "queued" else "is asked to stop"
            click.echo(f"Run {word} ({run.name}) {done}.")
        if patience > 0 and not _wait(store, found, patience):
            raise click.exceptions.Exit(1)


def _names(runs: list[RunRecord]) -> str:
    named = ", ".join(f"{run.name} ({format_run_id(run.id)})" for run in runs[:5])
    return named if len(runs) <= 5 else f"{named} and {len(runs) - 5} more"


def _wait(store: RunStore, runs: list[RunRecord], seconds: float) -> bool:
    """Until all have ended; says of each how, or that it has not."""
    deadline = time.monotonic() + seconds
    left = list(runs)
    while left:
        for run in [store.load_run(run.id) for run in left]:
            if run.ended and run.status != "lost":
                left = [other for other in left if other.id != run.id]
                click.echo(f"Run {format_run_id(run.id)} has ended: {run.status}.")
        if left and time.monotonic() >= deadline:
            click.echo(f"Still running after {seconds:g} s: {_names(left)}. 'cloister stop --force' ends the process.")
            return False
        if left:
            time.sleep(LOOK_SECONDS)
    return True
