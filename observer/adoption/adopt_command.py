"""`cloister adopt`: bring runs that Sacred recorded."""

from __future__ import annotations

import contextlib
import errno
import logging
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from ..run_ids import format_run_id
from .adopt_report import print_ended, print_failures, print_plan, print_result
from .adoption_errors import (
    AdoptionIncomplete,
    AdoptionStopped,
    NoRightToWrite,
    NoRoomForCopies,
    NoRunsThere,
    NotConfirmed,
    SameDatabase,
)

if TYPE_CHECKING:
    from .adoption import Survey, Target
    from .places import DatabasePlace
    from .run_source import RunSource

logger = logging.getLogger("cloister")

FOR_SECONDS = 10.0  # how long the driver tried when it gives up in the middle


@click.command()
@click.argument("place", metavar="URI/DATABASE|FOLDER")
@click.option("--collections", default="", help="Sacred's collection_prefix, or runs=NAME for its collection=NAME.")
@click.option("--into", metavar="URI/DATABASE", help="Copy into this database of ours; 'embedded' is the embedded one.")
@click.option("--project", help="The project of all these runs; that of their experiment's name when left out.")
@click.option("--run", "runs", multiple=True, metavar="ID", help="Only this run; may be repeated.")
@click.option("--dry-run", is_flag=True, help="Say what would be done and what is odd. Changes nothing.")
@click.option("--yes", is_flag=True, help="Upgrade a database in place without asking.")
def adopt(
    place: str, collections: str, into: str | None, project: str | None, runs: tuple[str, ...], dry_run: bool, yes: bool
) -> None:
    """Bring runs that Sacred recorded.

    A database of Sacred's is upgraded in place: metrics get charts that are fast, everything else its place in our
    pages; what Sacred and Omniboard read stays as it is. With --into the runs are copied, and their source is only
    read. A folder of Sacred's FileStorageObserver or TinyDbObserver is copied into the database of the settings, or
    --into another one; so are the pickles that its MongoObserver left in a failure_dir.

    It may be stopped at any moment and started again: it goes on with what is left.
    """
    console = Console(stderr=True, highlight=False)
    job = _Job(console, project=project, chosen=runs, dry_run=dry_run, yes=yes)
    from .places import is_address, is_failures, open_folder

    if is_address(place):
        job.adopt_database(place, collections, into)
    elif is_failures(place):
        job.adopt_failures(place, into)
    else:
        job.adopt_source(open_folder(place), into)


class _Job:
    """One call of the command."""

    def __init__(
        self, console: Console, *, project: str | None, chosen: Sequence[str], dry_run: bool, yes: bool
    ) -> None:
        self._console = console
        self._project = project
        self._chosen = chosen
        self._dry_run = dry_run
        self._yes = yes

    def adopt_database(self, given: str, collections: str, into: str | None) -> None:
        from ..run_collections import Collections
        from .adopt_copy import CopyInto
        from .adopt_in_place import InPlace
        from .mongo_source import MongoSource
        from .places import is_same, open_database, open_destination, other_collections

        chosen = Collections.parse(collections)
        place = open_database(given, chosen)
        with contextlib.closing(place), _said(place):
            if place.database["runs"].find_one({}, {"_id": 1}) is None:
                raise NoRunsThere(place.database.name, place.database["runs"].name, other_collections(place.database))
            source = MongoSource(place.database, place.label)
            progress = _Bars(self._console)
            if into is None:
                self._run(
                    source, InPlace(source, place.database, progress.read_bytes), progress, place.label, in_place=True
                )
                return
            destination = open_destination(into)
            with contextlib.closing(destination), _said(destination):
                if is_same(place, destination):
                    raise SameDatabase(place.label)
                target = CopyInto(source, destination.database, progress.read_bytes, place.database)
                self._run(source, target, progress, destination.label, in_place=False)

    def adopt_source(self, source: RunSource, into: str | None) -> None:
        from .adopt_copy import CopyInto
        from .places import is_to_be_made, open_destination

        if self._dry_run and is_to_be_made(into):  # who only looks makes no database for it
            self._run(source, None, _Bars(self._console), "the embedded database", in_place=False)
            return
        destination = open_destination(into)
        with contextlib.closing(destination), _said(destination):
            progress = _Bars(self._console)
            target = CopyInto(source, destination.database, progress.read_bytes)
            self._run(source, target, progress, destination.label, in_place=False)

    def adopt_failures(self, given: str, into: str | None) -> None:
        """Runs that the database has without their end get it there; those that it does not have are copied."""
        from .adopt_copy import CopyInto
        from .adopt_in_place import InPlace
        from .failure_pickles import PickledRuns, complete_run, find_known, read_failures
        from .mongo_source import MongoSource
        from .places import open_destination

        failures = read_failures(Path(given))
        destination = open_destination(into)
        with contextlib.closing(destination), _said(destination):
            find_known(failures, destination.database)
            print_failures(self._console, failures, destination.label, dry_run=self._dry_run)
            ending = [run for run in failures.runs if run.is_known and not run.is_stored and not run.is_other]
            if ending and not self._dry_run:
                for run in ending:
                    print_ended(self._console, run, complete_run(destination.database, run))
                there = MongoSource(destination.database, destination.label)
                progress = _Bars(self._console)
                target: Target = InPlace(there, destination.database, progress.read_bytes)
                chosen = [format_run_id(run.known_as) for run in ending]
                self._run(there, target, progress, destination.label, in_place=True, chosen=chosen, agreed=True)
            new = PickledRuns(failures, destination.database)
            if new.heads():
                progress = _Bars(self._console)
                target = CopyInto(new, destination.database, progress.read_bytes)
                self._run(new, target, progress, destination.label, in_place=False, chosen=())
        if failures.refused:
            raise AdoptionIncomplete(list(failures.refused))

    def _run(
        self,
        source: RunSource,
        target: Target | None,
        progress: _Bars,
        into: str,
        *,
        in_place: bool,
        chosen: Sequence[str] | None = None,
        agreed: bool = False,
    ) -> None:
        from .adoption import adopt_all, rehearse, survey

        started = time.monotonic()
        with self._console.status(escape(f"Looking at the runs of {source.label}")):
            found = survey(source, target, self._chosen if chosen is None else chosen)
        if self._dry_run:
            with progress:
                tally = rehearse(source, found, progress, project=self._project)
            print_plan(self._console, source.label, into, found, tally, in_place=in_place)
            return
        assert target is not None, "only a dry run has nowhere to go"
        if found.todo and in_place and not agreed:
            self._confirm(source.label, found)
        with progress:
            tally = adopt_all(source, target, found, progress, project=self._project)
        print_result(self._console, source.label, into, found, tally, time.monotonic() - started, in_place=in_place)
        if tally.failed:
            raise AdoptionIncomplete(list(tally.failed))

    def _confirm(self, label: str, found: Survey) -> None:
        if self._yes:
            return
        if not sys.stdin.isatty():
            raise NotConfirmed(label)
        click.confirm(
            f"Upgrade {len(found.todo):,} runs of {label} in place? What Sacred and Omniboard read stays as it is.",
            abort=True,
            err=True,
        )


class _Bars:
    """Shows how far it is."""

    def __init__(self, console: Console) -> None:
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[more]}"),
        )
        hidden = not console.is_terminal
        self._progress = Progress(*columns, TimeRemainingColumn(), console=console, transient=True, disable=hidden)
        self._task = self._progress.add_task("Runs", total=None, more="")
        self._points = self._bytes = 0

    def __enter__(self) -> _Bars:
        self._progress.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._progress.stop()

    def found(self, runs: int, points: int) -> None:
        self._progress.update(self._task, total=runs)

    def adopted(self, runs: int, points: int) -> None:
        self._points += points
        self._progress.advance(self._task, runs)
        self._show()

    def read_bytes(self, count: int) -> None:
        self._bytes += count
        self._show()

    def _show(self) -> None:
        from ..amounts import count_of, size_of

        self._progress.update(self._task, more=f"{count_of(self._points, 'point')}, {size_of(self._bytes)} of files")


@contextlib.contextmanager
def _said(place: DatabasePlace) -> Iterator[None]:
    """Failures of a database in words."""
    from pymongo.errors import ConnectionFailure, OperationFailure

    from ..database_faults import in_words, is_refused_login
    from ..mongo import DatabaseUnreachable, address_of, first_sentence

    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise NoRoomForCopies(tempfile.gettempdir()) from error
        raise
    except ConnectionFailure as error:
        raise DatabaseUnreachable(address_of(place.client), FOR_SECONDS, error) from error
    except OperationFailure as error:
        if is_refused_login(error):
            reason = (error.details or {}).get("errmsg", "")
            raise NoRightToWrite(
                place.database.name, first_sentence(str(reason).partition(" to execute")[0])
            ) from error
        raise AdoptionStopped(in_words(error, place.label)) from error


__all__ = ["adopt"]
