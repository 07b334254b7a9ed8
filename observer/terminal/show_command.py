"""`cloister show`: one run on one page of the terminal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import click
from rich.columns import Columns
from rich.console import Group
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from ..amounts import count_of
from ..metric_summary import SYSTEM_PREFIX
from ..run_comparison import flatten
from ..run_ids import format_run_id
from ..wording import (
    format_clock_time,
    format_config_value,
    format_duration,
    format_number,
    format_size,
)
from .curves import CHART_HEIGHT, CHART_WIDTH, metric_chart, spark
from .reading_place import place_options, reading, terminal, which_run
from .run_fields import PLAIN, as_json
from .safe_text import console_text, status_text, words

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from ..run_record import RunRecord
    from ..runs import RunStore

SPARK_WIDTH = 24
VALUE_LIMIT = 100
MOST_CHARTS = 12
CONFIG_SHOWN, METRICS_SHOWN, FILES_SHOWN = 40, 30, 10


@click.command()
@click.argument("run")
@click.option("-m", "--metric", "metrics", multiple=True, metavar="NAME", help="Draw this metric; may be repeated.")
@click.option("--charts", is_flag=True, help=f"Draw all metrics, {MOST_CHARTS} at most.")
@click.option("--all", "everything", is_flag=True, help="All config keys, metrics and files, however many there are.")
@click.option("--json", "for_programs", is_flag=True, help="The run as one JSON object.")
@place_options
def show(
    run: str,
    metrics: tuple[str, ...],
    charts: bool,
    everything: bool,
    for_programs: bool,
    uri: str | None,
    collections: str,
) -> None:
    """Show RUN: how it went, its config, metrics and files. `latest` is the run that began last."""
    with reading(uri, collections) as store:
        record = store.load_run(which_run(store, run))
        if for_programs:
            click.echo(as_json(_as_object(record)))
            return
        console = terminal()
        for part in _parts(store, record, everything):
            console.print(part)
        drawn = metrics or (tuple(record.summary)[:MOST_CHARTS] if charts else ())
        if drawn:
            console.print(_charts(store, record, drawn, console))


def _parts(store: RunStore, run: RunRecord, everything: bool) -> Iterator[RenderableType]:
    yield _header(run)
    if run.fail_trace:
        yield _section("Failed", [console_text(line) for line in "".join(run.fail_trace).splitlines()[-6:]])
    if run.notes:
        yield _section("Notes", [Text(words(line)) for line in run.notes.splitlines()[:10]])
    config = flatten(run.config)
    if config:
        rows = [(".".join(path), _value(value)) for path, value in config.items()]
        yield _section("Config", [_pairs(_cut(rows, CONFIG_SHOWN, everything, "key"))])
    if run.summary:
        names = list(run.summary)
        yield _section("Metrics", [_metrics_table(store, run, names if everything else names[:METRICS_SHOWN])])
        if len(names) > METRICS_SHOWN and not everything:
            yield Padding(Text(f"{len(names) - METRICS_SHOWN:,} more: --all", "bright_black"), (0, 0, 0, 2))
    if run.artifacts:
        files = [(entry.name, format_size(entry.size)) for entry in run.artifacts]
        yield _section("Artifacts", [_pairs(_cut(files, FILES_SHOWN, everything, "file"))])


def _header(run: RunRecord) -> RenderableType:
    title = Text.assemble((f"{words(format_run_id(run.id))} ", "bright_black"), (words(run.name), "bold"), "  ")
    rows = [
        ("Project", run.project),
        ("Started", f"{format_clock_time(run.start_time)}, {format_duration(run.duration)}"),
        ("By", " on ".join(filter(None, (run.owner, run.host)))),
        ("Tags", ", ".join(run.tags)),
        ("Command", " ".join(run.argv)),
        ("Git", _git(run)),
        ("Result", "" if run.result is None else format_config_value(run.result)),
        ("Lost", ", ".join(f"{count:,} {what}" for what, count in run.lost.items() if count)),
    ]
    return Group(title + status_text(run), _pairs([row for row in rows if row[1]]))


def _git(run: RunRecord) -> str:
    commit = str(run.git.get("commit") or "")[:10]
    changed = run.git.get("changed_count")
    said = [commit, str(run.git.get("branch") or ""), f"{count_of(changed, 'changed file')}" if changed else ""]
    return ", ".join(filter(None, said)) if commit else ""


def _value(value: Any) -> str:
    return words(format_config_value(value), VALUE_LIMIT)


def _cut(rows: Sequence[tuple[str, str]], most: int, everything: bool, noun: str) -> Iterable[tuple[str, str]]:
    if everything or len(rows) <= most:
        return rows
    return [*rows[:most], (f"{count_of(len(rows) - most, noun)} more", "--all")]


def _section(title: str, parts: Sequence[RenderableType]) -> RenderableType:
    return Group(Text(), Text(title, "bold"), Padding(Group(*parts), (0, 0, 0, 2)))


def _pairs(rows: Iterable[tuple[str, str]]) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(style="bright_black", overflow="fold")
    table.add_column(overflow="fold")
    for name, value in rows:
        table.add_row(Text(words(name)), Text(words(value)))
    return table


def _metrics_table(store: RunStore, run: RunRecord, names: Sequence[str]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bright_black")
    table.add_column("")
    for title in ("last", "min", "max", "points"):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("")
    for name in names:
        summary = run.summary[name]
        values = map(format_number, (summary.last, summary.min, summary.max))
        table.add_row(Text(words(name)), *values, f"{summary.count:,}", spark(store, run, name, SPARK_WIDTH))
    return table


def _charts(store: RunStore, run: RunRecord, names: Sequence[str], console: Console) -> RenderableType:
    width = min(console.width, max(CHART_WIDTH, console.width // max(1, console.width // CHART_WIDTH) - 2))
    drawn = [Text("\n").join(metric_chart(store, [run], name, width=width, height=CHART_HEIGHT)) for name in names]
    return Group(Text(), Columns([Padding(chart, (0, 0, 1, 0)) for chart in drawn], padding=(0, 2)))


def _as_object(run: RunRecord) -> dict[str, Any]:
    return {
        **{key: getattr(run, attribute) for key, attribute in PLAIN.items()},
        "config": run.config,
        "metrics": {name: summary.as_document() for name, summary in run.summary.items()}
        | {f"{SYSTEM_PREFIX}{name}": summary.as_document() for name, summary in run.system.items()},
        "result": run.result,
        "git": run.git,
        "environment": run.environment,
        "artifacts": [{"name": each.name, "size": each.size, "sha256": each.sha256} for each in run.artifacts],
    }
