"""`cloister worker`: make queued runs on this machine."""

from __future__ import annotations

import contextlib
import platform
import signal
from collections.abc import Iterator, Mapping
from types import FrameType
from typing import Any

import click
from rich.console import Console
from rich.status import Status
from rich.table import Table

from ...observer.account import host_name, login_name
from ...observer.amounts import count_of
from ...observer.indexes import ensure_indexes
from ...observer.mongo import check, client_for, database_name, redact_uri, resolve_uri
from ...observer.queue_list import count_sacreds, read_listed
from ...observer.run_queue import LEASE_SECONDS
from ...observer.settings import Settings, load_settings
from .job_process import check_python, default_python
from .shown import shown
from .worker import Outcome, StopWish, Worker, WorkerPlan
from .workplace import sweep

COLOURS = {"COMPLETED": "green", "FAILED": "red", "given back": "yellow", "RUNNING": "red"}
DRIVER_MS = 5_000
SHOWN_OUTCOMES = 50


@click.command()
@click.option("--project", help="Only runs of this project.")
@click.option("--once", is_flag=True, help="End when the queue is empty.")
@click.option("--max-runs", type=click.IntRange(min=1), help="End after so many runs.")
@click.option("--any-owner", is_flag=True, help="Also runs that other accounts have queued: their code is executed.")
@click.option("--sacred", is_flag=True, help="Also runs that Sacred has queued (-q), whoever did: see the docs first.")
@click.option("--python", metavar="EXE", help="The interpreter that makes the runs; the worker's own when left out.")
@click.option("--keep", is_flag=True, help="Leave the folders in which the runs were made.")
@click.option("--lease", type=click.FloatRange(min=1.0), default=LEASE_SECONDS, show_default=True,
              help="Seconds after which a run whose worker has died is another's.")  # fmt: skip
@click.option("--uri", help="The MongoDB that holds the queue; the one of the settings when left out.")
def worker(
    project: str | None,
    once: bool,
    max_runs: int | None,
    any_owner: bool,
    sacred: bool,
    python: str | None,
    keep: bool,
    lease: float,
    uri: str | None,
) -> None:
    """Make queued runs, one after another, each in a process and a folder of its own.

    Runs with a higher priority come first, then the oldest. Several workers, on several machines, share one queue. By
    default only runs that this account has queued are made: a queue executes the code that lies in the database.

    Ctrl-C finishes the run that is being made, and takes no other; once more interrupts it, a third time kills it.
    SIGTERM interrupts it.
    """
    console = Console(highlight=False, soft_wrap=True)
    settings = load_settings(uri=uri)
    plan = WorkerPlan(
        owner=None if any_owner else login_name(),
        python=python or default_python(),
        project=project,
        once=once,
        most_runs=max_runs,
        keep=keep,
        sacreds=sacred,
        lease_seconds=lease,
    )
    version = check_python(plan.python) if python else platform.python_version()
    sweep(settings)
    _run(plan, settings, console, version)


def _run(plan: WorkerPlan, settings: Settings, console: Console, version: str) -> None:
    uri = resolve_uri(settings)
    stop = StopWish()
    outcomes: list[Outcome] = []
    taken = _Announcer(console, version)

    def told(outcome: Outcome) -> None:
        taken.rest()
        outcomes.append(outcome)
        _tell(console, outcome)

    with client_for(uri, timeout_ms=DRIVER_MS) as client, _signals(stop, console):
        check(client)
        database = client[database_name(uri, settings)]
        ensure_indexes(database)
        whose = "everybody" if plan.owner is None else plan.owner
        of = f" of project {shown(plan.project)}" if plan.project else ""
        console.print(
            f"Worker on {shown(host_name())} (Python {version}) takes runs{of} queued by {shown(whose)} "
            f"from {shown(redact_uri(uri))}. Ctrl-C ends it."
        )
        Worker(database, plan, settings, stop, taken, told).work()
        sacreds = 0 if plan.sacreds or outcomes or stop.level else count_sacreds(database)
    _summarize(console, outcomes)
    if sacreds:
        console.print(f"{count_of(sacreds, 'run')} queued by Sacred: --sacred makes them too, see the docs first.")
    if stop.level >= 2:
        raise SystemExit(128 + stop.number)


class _Announcer:
    """Says what is being made."""

    def __init__(self, console: Console, version: str) -> None:
        self._console = console
        self._minor = version.split(".")[:2]
        self._spinner: Status | None = None

    def __call__(self, document: Mapping[str, Any]) -> None:
        run = read_listed(document)
        name = f"{run.project} / {run.name}{'' if run.is_ours else ' of Sacred'}"
        self._console.print(f"[bold]{shown(run.id)}[/] {shown(name)}: taken")
        if run.python and run.python.split(".")[:2] != self._minor:
            here = ".".join(self._minor)
            self._console.print(f"  [yellow]It was queued with Python {shown(run.python)}; here it is {here}.[/]")
        for note in run.missing:
            self._console.print(f"  [yellow]{shown(note)}[/]")
        if self._console.is_terminal:
            self._spinner = self._console.status(f"{shown(name)} is being made")
            self._spinner.start()

    def rest(self) -> None:
        """The run is not being made any more."""
        if self._spinner is not None:
            self._spinner.stop()
            self._spinner = None


def _tell(console: Console, outcome: Outcome) -> None:
    colour = COLOURS.get(outcome.status, "yellow")
    note = f": {shown(outcome.note)}" if outcome.note else ""
    status = shown(outcome.status.lower())
    console.print(f"[bold]{shown(outcome.id)}[/] [{colour}]{status}[/] after {outcome.seconds:.1f} s{note}")


def _summarize(console: Console, outcomes: list[Outcome]) -> None:
    if not outcomes:
        console.print("Nothing was waiting.")
        return
    last = f", the last {SHOWN_OUTCOMES} of them" if len(outcomes) > SHOWN_OUTCOMES else ""
    table = Table(title=f"{count_of(len(outcomes), 'run')} taken{last}", title_justify="left")
    for column in ("Run", "Name", "Status", "Seconds"):
        table.add_column(column, justify="right" if column in ("Run", "Seconds") else "left")
    for outcome in outcomes[-SHOWN_OUTCOMES:]:
        colour = COLOURS.get(outcome.status, "yellow")
        status = f"[{colour}]{shown(outcome.status.lower())}[/]"
        table.add_row(shown(outcome.id), shown(outcome.name), status, f"{outcome.seconds:.1f}")
    console.print(table)


@contextlib.contextmanager
def _signals(stop: StopWish, console: Console) -> Iterator[None]:
    """Have Ctrl-C and SIGTERM raise the wish to end, step by step."""

    def on_interrupt(number: int, frame: FrameType | None) -> None:
        stop.rise(number=signal.SIGINT)
        words = (
            "No further run is taken. Where one is being made, Ctrl-C again interrupts it.",
            "The run is interrupted. Ctrl-C again kills it.",
            "The run is killed.",
        )
        console.print(f"[yellow]{words[stop.level - 1]}[/]")

    def on_terminate(number: int, frame: FrameType | None) -> None:
        stop.rise(to=2, number=signal.SIGTERM)

    previous = {
        signal.SIGINT: signal.signal(signal.SIGINT, on_interrupt),
        signal.SIGTERM: signal.signal(signal.SIGTERM, on_terminate),
    }
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
