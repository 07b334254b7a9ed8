"""What `cloister adopt` says at its end."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice

from rich.console import Console
from rich.markup import escape

from ..amounts import count_of, size_of
from ..run_ids import format_run_id
from .adoption import Survey, Tally
from .failure_pickles import FailedRun, Failures
from .run_source import RunHead

RUNS_SHOWN = 200  # of one line
ODDITIES_SHOWN = 1_000


def print_plan(console: Console, source: str, into: str, found: Survey, tally: Tally, *, in_place: bool) -> None:
    """What a dry run has found."""
    where = "in place" if in_place else f"into {into}"
    todo = len(found.todo)
    if not todo:
        _print(console, _nothing(source, found))
    else:
        _print(console, f"Would adopt {count_of(todo, 'run')} of {source} {where}:")
        _print(
            console, f"  {count_of(tally.metrics, 'metric')} with {count_of(tally.points, 'point')} to packed chunks"
        )
        _print(console, f"  {size_of(tally.console_bytes)} of output to pieces of the console")
        what = "to be read for their SHA-256" if in_place else "to be copied, each once however often it is stored"
        _print(console, f"  {count_of(tally.files, 'file')}, {size_of(tally.file_bytes)}, {what}")
        _print(console, f"  projects: {_projects(tally)}")
        if found.to_update:
            _print(console, f"  {count_of(len(found.to_update), 'run')} of these go on from an earlier adoption")
    _print_rest(console, found, tally)
    _print(console, "Nothing was changed.")


def print_result(
    console: Console, source: str, into: str, found: Survey, tally: Tally, seconds: float, *, in_place: bool
) -> None:
    done = tally.adopted + tally.updated
    if not done and not tally.failed:
        _print(console, _nothing(source, found))
    else:
        where = "in place" if in_place else f"into {into}"
        _print(
            console,
            f"Adopted {count_of(done, 'run')} of {source} {where}, {count_of(tally.points, 'point')} of "
            f"{count_of(tally.metrics, 'metric')}, in {seconds:.1f} s. Projects: {_projects(tally)}.",
        )
        if tally.updated:
            _print(console, f"{count_of(tally.updated, 'run')} of these had been adopted before and had gone on since.")
    for old, new in tally.numbers:
        _print(console, f"Run {format_run_id(old)} is run {format_run_id(new)} here: its own id was taken.")
    _print_rest(console, found, tally)


def print_failures(console: Console, failures: Failures, into: str, *, dry_run: bool) -> None:
    """What pickles of a failure_dir hold, and what of it the database lacks."""
    _print(console, f"{count_of(len(failures.runs), 'run')} in {failures.label}.")
    for run in failures.runs:
        shown = f"Run {format_run_id(run.document['_id'])} ({run.file})"
        if run.is_stored:
            _print(console, f"{shown}: {into} has its end already.")
        elif run.is_other:
            _print(console, f"{shown}: {into} has another end of it, which stays.")
        elif run.is_known and dry_run:
            _print(console, f"{shown}: {into} has it as run {format_run_id(run.known_as)} and would get its end.")
    for name, reason in failures.refused.items():
        _print(console, f"{name}: {reason}")


def print_ended(console: Console, run: FailedRun, oddities: Sequence[str]) -> None:
    status = str(run.document.get("status")).lower()
    _print(console, f"Run {format_run_id(run.known_as)} has got its end from {run.file}: {status}.")
    for oddity in oddities:
        _print(console, f"  {oddity}")


def _nothing(source: str, found: Survey) -> str:
    if found.unchanged or found.elsewhere:
        count = len(found.unchanged) + len(found.elsewhere)
        return f"Nothing to do: {count_of(count, 'run')} of {source} {'was' if count == 1 else 'were'} adopted before."
    return f"Nothing to do: {source} has no run that can be adopted."


def _print_rest(console: Console, found: Survey, tally: Tally) -> None:
    if found.unchanged and found.todo:
        _print(console, f"{count_of(len(found.unchanged), 'run')} adopted before, and unchanged since.")
    if found.elsewhere:
        _print(console, f"Adopted before, from another place: run {_runs(found.elsewhere)}.")
    if found.going_on:
        _print(
            console,
            f"Left alone, as they are being recorded: {_runs(found.going_on)}. Adopt again once they have ended.",
        )
    if found.ours:
        _print(console, f"{count_of(len(found.ours), 'run')} recorded by Cloister: no adoption is needed.")
    if tally.oddities:
        _print(console, "What is odd:")
    for oddity, runs in islice(tally.oddities.items(), ODDITIES_SHOWN):
        _print(console, f"  {f'run {_words(runs)}: ' if runs else ''}{oddity}")
    if len(tally.oddities) > ODDITIES_SHOWN:
        _print(console, f"  and {len(tally.oddities) - ODDITIES_SHOWN:,} more; each run keeps its own notes.")
    for run, reason in tally.failed.items():
        _print(console, f"Run {run} could not be adopted: {reason}")


def _projects(tally: Tally) -> str:
    return ", ".join(f"{name} ({count_of(count, 'run')})" for name, count in sorted(tally.projects.items())) or "none"


def _runs(heads: Iterable[RunHead]) -> str:
    return _words([format_run_id(head.id) for head in heads])


def _words(words: Sequence[str]) -> str:
    """Runs by id, neighbours as a range: `1-17, 20, id:old`."""
    numbers = sorted({int(word) for word in words if word.isdigit()})
    parts: list[str] = []
    start = 0
    for place, number in enumerate(numbers):
        if place + 1 == len(numbers) or numbers[place + 1] != number + 1:
            first = numbers[start]
            parts.append(str(first) if first == number else f"{first}-{number}")
            start = place + 1
    parts += list(dict.fromkeys(word for word in words if not word.isdigit()))
    shown = ", ".join(parts[:RUNS_SHOWN])
    return f"{shown} and {len(parts) - RUNS_SHOWN} more" if len(parts) > RUNS_SHOWN else shown


def _print(console: Console, text: str) -> None:
    console.print(escape(text), soft_wrap=True)
