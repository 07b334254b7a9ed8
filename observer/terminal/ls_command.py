"""`cloister ls`: runs as a table, of a project or of all, chosen by a query."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click
from rich.table import Table
from rich.text import Text

from ..amounts import count_of
from ..query.fields import metric_field
from ..run_ids import format_run_id
from ..wording import format_ago
from .reading_place import place_options, reading, terminal
from .run_fields import as_json, differing_config, field_column, read_field
from .safe_text import CELL_LIMIT, status_text, words

if TYPE_CHECKING:
    from rich.console import Console

    from ..run_record import RunRecord
    from ..runs import RunStore

DEFAULT_LIMIT = 20
METRIC_COLUMNS = CONFIG_COLUMNS = 2
_OF_JSON = ("id", "name", "project", "status", "started", "duration", "tags", "owner", "host")


@click.command()
@click.argument("query", required=False, default="")
@click.option("-p", "--project", help="Only the runs of this project.")
@click.option(
    "-s", "--sort", multiple=True, metavar="KEY", help="started, name, duration, config.lr, metrics.loss; -KEY."
)
@click.option("-c", "--column", "columns", multiple=True, metavar="KEY", help="Show this column; may be repeated.")
@click.option("-n", "--limit", type=click.IntRange(1, 100_000), default=DEFAULT_LIMIT, show_default=True)
@click.option("-d", "--differing", is_flag=True, help="Show the config keys in which these runs differ, all of them.")
@click.option("-a", "--archived", is_flag=True, help="Archived runs too.")
@click.option("--projects", is_flag=True, help="List the projects instead.")
@click.option("--ids", "form", flag_value="ids", help="Only ids, one a line: for xargs.")
@click.option("--json", "form", flag_value="json", help="One JSON object a line.")
@place_options
def ls(
    query: str,
    project: str | None,
    sort: tuple[str, ...],
    columns: tuple[str, ...],
    limit: int,
    differing: bool,
    archived: bool,
    projects: bool,
    form: str | None,
    uri: str | None,
    collections: str,
) -> None:
    """List runs, the newest first; QUERY chooses among them.

    cloister ls 'status = completed and config.lr < 1e-2' --sort -metrics.val/acc
    """
    from ..run_query import RunQuery  # spares `--help` the driver

    with reading(uri, collections, query) as store:
        if projects:
            _print_projects(store)
            return
        asked = RunQuery(
            project=project,
            where=query,
            sort=sort or "-started",
            archived="with" if archived else "without",
            page_size=min(limit, 500),
        )
        runs = store.find_runs(asked, limit)
        if form == "ids":
            click.echo("\n".join(words(format_run_id(run.id)) for run in runs), nl=bool(runs))
        elif form == "json":
            for run in runs:
                found = {key: read_field(run, key) for key in (*_OF_JSON, *columns)}
                click.echo(as_json(found))
        else:
            total = len(runs) if len(runs) < limit else store.list_runs(asked).total
            _print_runs(runs, _columns(runs, columns, differing), total, of_one_project=project is not None)


def _columns(runs: Sequence[RunRecord], chosen: tuple[str, ...], differing: bool) -> tuple[str, ...]:
    """What was asked for; else what most of the runs were judged by, and what tells them apart."""
    if chosen or not runs:
        return chosen
    differences = differing_config(runs)
    counts: dict[str, int] = {}
    for name in (name for run in runs for name in run.summary):
        counts[name] = counts.get(name, 0) + 1
    ranked = sorted(counts, key=lambda name: (not name.startswith(("val", "test", "eval")), -counts[name], name))
    metrics = tuple(metric_field(name).key for name in ranked[:METRIC_COLUMNS])
    return (*metrics, *(differences if differing else differences[:CONFIG_COLUMNS]))


def _print_runs(runs: Sequence[RunRecord], keys: tuple[str, ...], total: int, *, of_one_project: bool) -> None:
    console = terminal()
    if not runs:
        console.print("No run matches." if total == 0 else "No runs.")
        return
    console.print(_table(runs, keys, of_one_project), soft_wrap=not console.is_terminal)
    if total > len(runs):
        console.print(f"{len(runs):,} of {count_of(total, 'run')}; --limit shows more.", style="bright_black")


def _table(runs: Sequence[RunRecord], keys: tuple[str, ...], of_one_project: bool) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("Run", justify="right", no_wrap=True)
    table.add_column("Status", no_wrap=True)
    table.add_column("Name", min_width=12)
    if not of_one_project:
        table.add_column("Project")
    table.add_column("Started", no_wrap=True)
    table.add_column("Duration", justify="right", no_wrap=True)
    fixed = [field_column(runs, key) for key in ("id", "name", "project", "started", "duration")]
    shown = [field_column(runs, key) for key in keys]
    for column in shown:
        table.add_column(column.title, justify="right" if column.numeric else "left", overflow="ellipsis")
    for place, run in enumerate(runs):
        number, name, project, started, duration = (Text(column.cells[place]) for column in fixed)
        cells = (Text(column.cells[place]) for column in shown)
        middle = (name,) if of_one_project else (name, project)
        table.add_row(number, status_text(run), *middle, started, duration, *cells)
    return table


def _print_projects(store: RunStore) -> None:
    console: Console = terminal()
    projects = store.list_projects()
    if not projects:
        console.print("No projects yet. The first recorded run creates its project: cloister run train.py")
        return
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("Project")
    for title in ("Runs", "Running"):
        table.add_column(title, justify="right")
    table.add_column("Last started")
    for project in projects:
        running = Text(f"{project.running_count:,}", "blue" if project.running_count else "")
        name = Text(words(project.name, CELL_LIMIT))
        table.add_row(name, f"{project.run_count:,}", running, format_ago(project.last_started))
    console.print(table)
