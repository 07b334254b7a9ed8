"""`cloister sync`: ship the journals that lie on this machine into the database, now."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn

from .courier_launch import SHIPPING_FILE, destination_folder, held_lock
from .errors import CloisterError
from .journal_segments import is_running, segments_in
from .settings import load_settings

if TYPE_CHECKING:
    from pymongo.database import Database


class SyncIncomplete(CloisterError, RuntimeError):
    """Some journals could not be shipped although the database works."""

    def __init__(self, folders: list[Path]) -> None:
        names = ", ".join(str(folder) for folder in folders[:5])
        super().__init__(
            f"{len(folders)} of the journals cannot be shipped and are kept: {names}. The reason stands above; what is "
            "damaged is left as it is."
        )


@click.command()
@click.option("--uri", help="The MongoDB to ship to; the one of the settings when left out.")
def sync(uri: str | None) -> None:
    """Ship what trainings on this machine have recorded and the database does not have yet."""
    from .mongo import check, connect, database_name, resolve_uri  # the driver, once the options are right

    settings = load_settings(uri=uri)
    folder = destination_folder(settings)
    console = Console(stderr=True)
    if not _waiting(folder):
        console.print("Nothing to ship: the database has all that was recorded on this machine.")
        return
    resolved = resolve_uri(settings)
    with connect(settings) as client:
        check(client)
        started = time.monotonic()
        count = len(_waiting(folder))
        with Progress(SpinnerColumn(), TextColumn("{task.description}"), console=console, transient=True) as progress:
            progress.add_task(f"Shipping {_count(count)}")
            while not _ship(client[database_name(resolved, settings)], folder) and _ended(folder):
                time.sleep(0.1)  # a courier is at it already: the work is the same
    left = _waiting(folder)
    ended = _ended(folder)
    console.print(f"Shipped {_count(count - len(ended))} in {time.monotonic() - started:.1f} s.")
    if len(left) > len(ended):
        console.print(f"{_count(len(left) - len(ended))} still going on; shipped up to now.")
    if ended:
        raise SyncIncomplete(ended)


def _waiting(folder: Path) -> list[Path]:
    """Folders of runs with journals to ship."""
    if not folder.is_dir():
        return []
    return [run for run in sorted(folder.iterdir()) if run.is_dir() and segments_in(run)]


def _ended(folder: Path) -> list[Path]:
    """Those of them that no process writes any more."""
    return [run for run in _waiting(folder) if not is_running(run)]


def _ship(database: Database[dict[str, Any]], folder: Path) -> bool:
    """Ship all there is, unless somebody else does."""
    from .courier import Courier

    with held_lock(folder, SHIPPING_FILE) as is_ours:
        if is_ours:
            courier = Courier(database, (folder,))
            courier.ship()
            while courier.is_busy:  # large files go in slices
                courier.ship()
        return is_ours


def _count(number: int) -> str:
    return f"{number} run" if number == 1 else f"{number} runs"
