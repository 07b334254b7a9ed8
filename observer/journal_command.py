"""`cloister journal`: look at what waits to be shipped, check it, throw it away."""

from __future__ import annotations

import json
import math
import shutil
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.markup import escape
from rich.progress import Progress
from rich.table import Table

from .amounts import count_of, size_of
from .errors import CloisterError
from .field_names import decode_field_names
from .journal_places import journal_roots
from .journal_records import JournalRecord
from .journal_segments import SUFFIX
from .journal_survey import (
    JournaledRun,
    NoJournal,
    SegmentReport,
    find_journal,
    find_journals,
    iter_records,
    verify_segment,
)
from .settings import load_settings

SHOWN_CHARACTERS = 200  # of one record on a terminal
SHORT_UID = 13  # characters that tell runs of different milliseconds apart


class StillRecording(CloisterError, RuntimeError):
    """A journal that a training writes was to be removed."""

    def __init__(self, run: JournaledRun) -> None:
        name = run.text("name") or run.uid
        super().__init__(f"Run {name} is still being recorded, so its journal is kept. End the training first.")


class JournalDamaged(CloisterError, RuntimeError):
    """Some of what was read is not as it was written."""

    def __init__(self, reports: list[SegmentReport]) -> None:
        damaged = sum(report.damaged_bytes for report in reports)
        missing = sum(report.missing_records for report in reports)
        super().__init__(
            f"{count_of(len(reports), 'segment')} not whole: {damaged:,} damaged bytes, {count_of(missing, 'record')} "
            "missing. 'cloister sync' ships every record that is whole, counts the others in the run, and keeps the "
            "damaged segments beside the journal under the ending .damaged."
        )


@click.group()
def journal() -> None:
    """Look at what runs have recorded on this machine and the database does not have yet."""


@journal.command("ls")
@click.argument("path", required=False, type=click.Path(path_type=Path))
def list_journals(path: Path | None) -> None:
    """List the runs whose journals wait, on this machine or under PATH."""
    console = Console()
    runs = _find(path)
    if not runs:
        console.print("No journal waits: the database has all that was recorded on this machine.")
        return
    table = Table(box=None, padding=(0, 2, 0, 0), show_edge=False)
    for column in ("Run", "Name", "Project", "Host", "Started", "Size", "State"):
        fixed = column not in ("Name", "Project", "Host")
        table.add_column(column, justify="right" if column == "Size" else "left", no_wrap=fixed)
    for run in runs:
        host = run.header.get("host")
        table.add_row(
            escape(run.uid[:SHORT_UID]),
            escape(run.text("name")),
            escape(run.text("project")),
            escape(str(host.get("hostname", "")) if isinstance(host, dict) else ""),
            _when(run.started),
            size_of(run.size_bytes),
            _state(run),
        )
    console.print(table)
    console.print("\n'cloister sync' ships them, 'cloister journal show RUN' shows what is in one.", style="dim")


@journal.command("show")
@click.argument("run")
@click.option("--kind", help="Only records of this kind: points, console, set, beat, artifact, source, attach, end.")
@click.option("--limit", default=100, show_default=True, help="How many records; 0 for all.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document a line, whole, for other programs.")
def show_journal(run: str, kind: str | None, limit: int, as_json: bool) -> None:
    """Print the records of RUN: a folder, or the beginning of a uid."""
    found = find_journal(run, journal_roots(load_settings()))
    console = Console(highlight=False)
    shown = 0
    for path in (*found.segments, *found.damaged):
        if not as_json:
            console.print(f"{path}", style="bold", markup=False, soft_wrap=True)
        for record in iter_records(path):
            if kind is not None and record.kind != kind:
                continue
            if limit and shown == limit:
                Console(stderr=True).print(f"... and more: --limit {10 * limit} shows them.", style="dim")
                return
            shown += 1
            if as_json:
                click.echo(_as_json(record))
            else:
                console.print(_as_line(record), markup=False, soft_wrap=True)


@journal.command("verify")
@click.argument("path", required=False, type=click.Path(path_type=Path))
def verify_journals(path: Path | None) -> None:
    """Read every byte of the journals here, or under PATH. Exit code 1 when something is damaged."""
    console = Console()
    runs = _find(path)
    if not runs:
        console.print("No journal to verify.")
        return
    reports = []
    with Progress(console=Console(stderr=True), transient=True) as progress:
        segments = [(run, segment) for run in runs for segment in (*run.segments, *run.damaged)]
        task = progress.add_task("Reading journals", total=len(segments))
        for run, segment in segments:
            try:
                reports.append((run, verify_segment(segment)))
            except FileNotFoundError:  # shipped and removed meanwhile
                continue
            progress.advance(task)
    table = Table(box=None, padding=(0, 2, 0, 0), show_edge=False)
    for column in ("Run", "Segment", "Records", "Size", "Damaged", "Missing", "Ended"):
        table.add_column(column, justify="left" if column in ("Run", "Segment", "Ended") else "right", no_wrap=True)
    for run, report in reports:
        table.add_row(
            escape(run.uid[:SHORT_UID]),
            report.path.name.removesuffix(SUFFIX),
            f"{report.records.total():,}",
            size_of(report.size_bytes),
            f"[red]{report.damaged_bytes:,} bytes[/]" if report.damaged_bytes else "0",
            f"[red]{report.missing_records:,}[/]" if report.missing_records else "0",
            "yes" if report.has_end else "no",
        )
    console.print(table)
    bad = [report for run, report in reports if not report.is_whole and not run.is_alive]
    if bad:
        raise JournalDamaged(bad)
    console.print(f"{count_of(len(reports), 'segment')} read, all whole.")


@journal.command("rm")
@click.argument("run")
@click.option("--yes", is_flag=True, help="Do not ask.")
def remove_journal(run: str, yes: bool) -> None:
    """Throw away what the journal of RUN holds and the database does not have yet."""
    found = find_journal(run, journal_roots(load_settings()))
    if found.is_alive:
        raise StillRecording(found)
    name = found.text("name") or found.uid
    what = f"{size_of(found.size_bytes)} of run {name} in {', '.join(map(str, found.folders))}"
    if not yes:
        click.confirm(f"Remove {what}? What the database does not have of it is lost for good", abort=True)
    for folder in found.folders:
        shutil.rmtree(folder, ignore_errors=True)  # a courier may just be shipping it, and clearing it
        if folder.exists():
            shutil.rmtree(folder)
    click.echo(f"Removed {what}.")


def _find(path: Path | None) -> list[JournaledRun]:
    if path is None:
        return find_journals(journal_roots(load_settings()))
    found = find_journals((path,))
    if not found and not path.is_dir():
        raise NoJournal(path)
    return found


def _state(run: JournaledRun) -> str:
    if run.is_alive:
        return "[green]recording[/]"
    if run.is_foreign:
        return "[yellow]another account's[/]"
    if not run.header:
        return "[red]no readable header[/]"
    if not run.segments:
        return "[red]damaged, shipped as far as it is readable[/]"
    return "waiting"


def _as_line(record: JournalRecord) -> str:
    when = datetime.fromtimestamp(record.time, timezone.utc).strftime("%H:%M:%S.%f")[:-3]
    text = json.dumps(_plain(record.fields), ensure_ascii=False, default=str)
    text = "".join(character if character.isprintable() else "?" for character in text)
    if len(text) > SHOWN_CHARACTERS:
        text = f"{text[:SHOWN_CHARACTERS]}... ({len(text):,} characters)"
    return f"{record.sequence:>8}  {when}  {record.kind:<8}  {text}"


def _as_json(record: JournalRecord) -> str:
    document = {"kind": record.kind, "sequence": record.sequence, "time": record.time, **_plain(record.fields)}
    return json.dumps(_without_bare_nan(document), default=str)


def _without_bare_nan(value: Any) -> Any:
    """JSON knows neither NaN nor infinities: they become the texts that float() reads."""
    if isinstance(value, dict):
        return {key: _without_bare_nan(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_without_bare_nan(inner) for inner in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _plain(fields: dict[str, Any]) -> dict[str, Any]:
    """A record's fields with metric names as the script wrote them."""
    if isinstance(fields.get("v"), dict):
        return {"step": fields.get("s"), "values": decode_field_names(fields["v"])}
    return fields


def _when(time: datetime | None) -> str:
    return time.astimezone().strftime("%Y-%m-%d %H:%M") if time is not None else ""
