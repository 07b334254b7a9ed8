"""`cloister sync`: ship journals into the database now, those of this machine or those of a folder."""

from __future__ import annotations

import contextlib
import logging
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from .amounts import count_of, size_of
from .courier_launch import SHIPPING_FILE, held_lock
from .errors import CloisterError
from .journal_places import journal_places, journal_roots
from .journal_survey import JournaledRun, NoJournal, find_journals
from .settings import Settings, load_settings
from .shippable_segment import SegmentFile

if TYPE_CHECKING:
    from pymongo.database import Database

logger = logging.getLogger("cloister")

WATCH_SECONDS = 2.0
FOR_SECONDS = 10.0  # how long the driver tried when it gives up in the middle
TURN_SECONDS = 0.1  # between looks at whether the courier that ships already has done it


class SyncIncomplete(CloisterError, RuntimeError):
    """Some journals could not be shipped although the database works."""

    def __init__(self, folders: list[Path]) -> None:
        names = ", ".join(str(folder) for folder in folders[:5])
        super().__init__(
            f"{count_of(len(folders), 'journal')} cannot be shipped and {'is' if len(folders) == 1 else 'are'} kept: "
            f"{names}. The reason stands above; 'cloister journal verify' shows what is damaged."
        )


@dataclass
class _Tally:
    """What one round of shipping has done."""

    shipped: int = 0
    running: int = 0
    size_bytes: int = 0
    failed: tuple[Path, ...] = ()


@click.command()
@click.argument("paths", nargs=-1, type=click.Path(path_type=Path))
@click.option("--uri", help="The MongoDB to ship to; the one of the settings when left out.")
@click.option("--watch", is_flag=True, help="Go on shipping what comes, until Ctrl-C.")
def sync(paths: tuple[Path, ...], uri: str | None, watch: bool) -> None:
    """Ship what trainings have recorded and the database does not have yet.

    Without PATHS, what waits on this machine for the database of the settings. PATHS are folders with journals, such as
    a copy from a machine that cannot reach the database; whichever database they were recorded for, they are shipped
    to the one of the settings.
    """
    settings = load_settings(uri=uri)
    for path in paths:
        if not path.is_dir():
            raise NoJournal(path)
    console = Console(stderr=True, highlight=False)
    if watch:
        _watch(paths, settings, console)
        return
    runs = _waiting(paths, settings)
    if not runs:
        where = " or ".join(map(str, paths))
        console.print(f"Nothing to ship in {where}." if paths else _nothing_to_ship(settings), soft_wrap=True)
        return
    tally = _sync_once(paths, settings, console)
    if tally.failed:
        raise SyncIncomplete(list(tally.failed))


def _nothing_to_ship(settings: Settings) -> str:
    """Says also what waits for other databases: whoever mended a URI looks for runs that were recorded for the old."""
    here = journal_places(settings)
    elsewhere = [
        folder.parent
        for run in find_journals(journal_roots(settings))
        if run.segments
        for folder in run.folders
        if folder.parent not in here
    ]
    if not elsewhere:
        return "Nothing to ship: the database has all that was recorded on this machine."
    folders = " ".join(dict.fromkeys(map(str, elsewhere)))
    return (
        "Nothing to ship: the database has all that was recorded for it on this machine. "
        f"{count_of(len(elsewhere), 'journal')} for other databases {'waits' if len(elsewhere) == 1 else 'wait'}; "
        f"'cloister sync {folders}' brings them to this one."
    )


def _watch(paths: tuple[Path, ...], settings: Settings, console: Console) -> None:
    """Ship again and again; says when something was shipped, and once when the database goes away."""
    from .mongo import DatabaseUnreachable

    where = ", ".join(map(str, paths)) or "what is recorded on this machine"
    console.print(f"Watching {where}; Ctrl-C ends it.")
    is_away = False
    with contextlib.suppress(KeyboardInterrupt):
        while True:
            try:
                if _waiting(paths, settings):
                    _sync_once(paths, settings, console, quiet=True)
                is_away = False
            except DatabaseUnreachable as error:
                if not is_away:
                    console.print(f"{error} Trying again until it answers.")
                is_away = True
            time.sleep(WATCH_SECONDS)


def _sync_once(paths: tuple[Path, ...], settings: Settings, console: Console, *, quiet: bool = False) -> _Tally:
    """Ship all that waits now.

    Raises:
        DatabaseUnreachable, LoginRefused: the database does not take part.
    """
    from .mongo import check, connect, database_name, resolve_uri  # the driver, once the options are right

    uri = resolve_uri(settings)
    started = time.monotonic()
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with connect(settings) as client:
        check(client)
        with Progress(*columns, console=console, transient=True) as progress, _turn(paths, settings):
            tally = _ship(client[database_name(uri, settings)], _waiting(paths, settings), progress)
    if not quiet or tally.shipped or tally.failed:
        took = f"{size_of(tally.size_bytes)} in {time.monotonic() - started:.1f} s"
        console.print(f"Shipped {count_of(tally.shipped, 'run')}, {took}.")
    if tally.running and not quiet:
        console.print(f"{count_of(tally.running, 'run')} still going on; shipped up to now.")
    return tally


def _waiting(paths: tuple[Path, ...], settings: Settings) -> list[JournaledRun]:
    return [run for run in find_journals(paths or journal_places(settings)) if run.segments]


@contextlib.contextmanager
def _turn(paths: tuple[Path, ...], settings: Settings) -> Iterator[None]:
    """Wait until no courier of this machine ships the same journals, as long as any have ended.

    Two may ship one run at once, but then both do most of the work. Foreign folders have no courier here.
    """
    folder = journal_places(settings)[0]
    if paths or not folder.is_dir():
        yield
        return
    while True:
        with contextlib.ExitStack() as stack:
            try:
                is_ours = stack.enter_context(held_lock(folder, SHIPPING_FILE))
            except OSError:  # a read-only disk, on which no courier holds it either
                is_ours = True
            if is_ours or all(run.is_alive for run in _waiting(paths, settings)):
                yield
                return
        time.sleep(TURN_SECONDS)


def _ship(database: Database[dict[str, Any]], runs: list[JournaledRun], progress: Progress) -> _Tally:
    """Ship `runs`; one that cannot be shipped is said and left, the others follow."""
    from pymongo.errors import ConnectionFailure

    from .indexes import ensure_indexes
    from .mongo import DatabaseUnreachable, address_of

    ensure_indexes(database)
    tally = _Tally()
    task = progress.add_task(f"Shipping {count_of(len(runs), 'run')}", total=sum(run.size_bytes for run in runs))
    for run in runs:
        is_alive = run.is_alive
        tally.size_bytes += run.size_bytes

        def show_left(left_bytes: int, behind: int = tally.size_bytes) -> None:
            progress.update(task, completed=behind - left_bytes)

        try:
            complete = _ship_run(database, run, show_left)
        except ConnectionFailure as error:
            raise DatabaseUnreachable(address_of(database.client), FOR_SECONDS, error) from error
        except Exception as error:
            # Wide on purpose: whatever is wrong with one journal, the others are shipped.
            logger.error("The journal in %s cannot be shipped and is kept: %s", run.folders[0], error)
            complete = False
        tally.running += is_alive
        tally.shipped += complete and not is_alive
        if not complete and not is_alive:
            tally.failed += run.folders[:1]
    return tally


def _ship_run(database: Database[dict[str, Any]], run: JournaledRun, show_left: Callable[[int], None]) -> bool:
    """Ship one run to its present end; says whether all of it could be read and stored."""
    from .courier import remove_folders
    from .run_shipper import RunShipper

    segments = [_segment(path) for path in run.segments]
    shipper = RunShipper(database, run.folders, lambda: show_left(shipper.left_bytes(segments)))
    while not shipper.ship(segments):  # large files go in slices
        continue
    if not any(segment.path.exists() for segment in segments):
        remove_folders(run.folders)
    return shipper.left_bytes(segments) == 0


def _segment(path: Path) -> SegmentFile:
    return SegmentFile(path) if os.access(path.parent, os.W_OK) else _KeptSegment(path)


class _KeptSegment(SegmentFile):
    """A segment on a stick that cannot be written: what was shipped stays, and shipping it again changes nothing."""

    def remove(self) -> None:
        """It cannot be removed."""

    def set_aside(self) -> None:
        """It cannot be renamed."""
