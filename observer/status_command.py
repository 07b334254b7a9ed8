"""`cloister status`: what this machine records just now, whether it arrives, and what was lost. Starts nothing."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path

import click
from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table

from .amounts import count_of, size_of
from .courier_launch import LOCK_FILE, read_state
from .journal_places import journal_roots
from .journal_segments import is_held
from .journal_survey import JournaledRun, find_journals
from .settings import load_settings


@click.command()
def status() -> None:
    """Show what is being recorded on this machine, what waits for a database, and what was lost."""
    console = Console(highlight=False)
    destinations = _destinations(journal_roots(load_settings()))
    if not destinations:
        console.print("Nothing is being recorded on this machine, and nothing waits for a database.")
    for folder, runs in destinations:
        console.print(_courier(folder), soft_wrap=True)
        if runs:
            console.print(Padding(_table(runs), (0, 0, 1, 2)))


def _destinations(roots: tuple[Path, ...]) -> list[tuple[Path, list[JournaledRun]]]:
    """Folders in which a courier works or runs wait, with those runs."""
    folders = [folder for root in roots if root.is_dir() for folder in sorted(root.iterdir())]
    found = [(folder, find_journals((folder,))) for folder in folders if folder.is_dir() and not folder.is_symlink()]
    return [(folder, runs) for folder, runs in found if runs or is_held(folder / LOCK_FILE)]


def _courier(folder: Path) -> str:
    state = read_state(folder)
    works = "a courier is at work" if is_held(folder / LOCK_FILE) else "no courier is at work"
    if state is None:
        return f"[bold]{escape(folder.name)}[/]: {works}."
    if state.reachable:
        return f"[bold]{escape(state.uri)}[/]: answers, {works}."
    since = datetime.fromtimestamp(state.since, timezone.utc).astimezone()
    return f"[bold]{escape(state.uri)}[/]: [red]out of reach since {since:%Y-%m-%d %H:%M}[/], {works}."


def _table(runs: list[JournaledRun]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), show_edge=False)
    for column in ("Run", "Project", "State", "Waiting", "Lost"):
        table.add_column(column, justify="right" if column == "Waiting" else "left")
    for run in runs:
        state = "[green]recording[/]" if run.is_alive else "ended"
        name = escape(run.text("name") or run.uid)
        table.add_row(name, escape(run.text("project")), state, size_of(run.size_bytes), _in_words(run.lost()))
    return table


def _in_words(lost: dict[str, int]) -> str:
    if not any(lost.values()):
        return "0"
    counts = [count_of(lost[kind], kind[:-1]) for kind in ("points", "lines") if lost.get(kind)]
    counts += [size_of(lost["bytes"])] if lost.get("bytes") else []
    return f"[red]{', '.join(counts)}[/]"
