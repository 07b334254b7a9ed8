"""`cloister sync`: ship the journals that lie on this machine into the database, now."""

from __future__ import annotations

import time
from pathlib import Path

import click
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn

from .courier_launch import destination_folder, held_lock
from .errors import CloisterError
from .journal import is_held, segments_in
from .settings import load_settings


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
            task = progress.add_task(f"Shipping {_count(count)}")
            with held_lock(folder) as is_ours:
                if is_ours:
                    from .courier import Courier

                    Courier(client[database_name(resolved, settings)], folder).ship()
                else:  # a courier is at it already: the work is the same
                    _wait_for_courier(folder)
            progress.update(task, completed=True)
    left = _waiting(folder)
    ended = [run for run in left if not any(is_held(path) for path in segments_in(run))]
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


def _wait_for_courier(folder: Path) -> None:
    """Wait until no ended run is left, or the courier has gone."""
    while any(not any(is_held(path) for path in segments_in(run)) for run in _waiting(folder)):
        with held_lock(folder) as is_free:
            if is_free:
                return
        time.sleep(0.1)


def _count(number: int) -> str:
    return f"{number} run" if number == 1 else f"{number} runs"
