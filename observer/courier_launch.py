"""Starting a courier and hearing from it: the training's side. Imports nothing that a training does not need."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from .courier_bell import ring
from .settings import Settings

LOCK_FILE = "courier.lock"  # held by the courier while it lives
SHIPPING_FILE = "shipping.lock"  # held by whoever ships: the courier while the database works, or `cloister sync`
STATE_FILE = "courier.json"
LOG_FILE = "courier.log"
LOG_LIMIT_BYTES = 1024 * 1024
START_SECONDS = 30.0
# The courier is the grandchild: it is nobody's zombie, and the hardware sampler does not take it for a part of the
# training. It sees the modules that we see; its own first search path would be its working directory.
_PROGRAM = """
import os, sys
if os.fork():
    os._exit(0)
sys.path[:] = sys.argv.pop(1).split(chr(10))
from cloister.observer.courier_process import main
main()
"""


@dataclass(frozen=True)
class CourierState:
    """What the courier last said of itself; trainers read it to know whether their record arrives."""

    reachable: bool
    uri: str  # without user and password
    error: str
    pid: int
    since: float


def read_state(folder: Path) -> CourierState | None:
    """What the courier of this folder last said, None if none has ever worked here."""
    try:
        return CourierState(**json.loads((folder / STATE_FILE).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


@contextlib.contextmanager
def held_lock(folder: Path, name: str = LOCK_FILE) -> Iterator[bool]:
    """Hold one of the folder's locks; yields False if another process, or another part of this one, holds it."""
    descriptor = os.open(folder / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True
    finally:
        os.close(descriptor)


def ensure_courier(folder: Path, settings: Settings) -> None:
    """Start a courier for `folder` unless one is at work. Takes about 20 ms where it starts one.

    Raises:
        OSError, subprocess.SubprocessError: no process can be started.
    """
    with held_lock(folder) as is_free:
        if not is_free:
            wake_courier(folder, settings)
            return
    search_path = "\n".join(str(Path(entry).absolute()) for entry in sys.path)
    with _open_log(folder) as log:
        subprocess.run(  # noqa: S603 our own interpreter and program, no shell
            [sys.executable, "-c", _PROGRAM, search_path, str(folder)],
            env=_environment(settings),
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            check=False,
            timeout=START_SECONDS,
        )


def wake_courier(folder: Path, settings: Settings, *, now: bool = False) -> None:
    """Tell the courier that there is something to ship; lend it our URI if its own does not get it anywhere.

    Args:
        now: somebody waits for it.
    """
    state = read_state(folder)
    ring(folder, now=now, uri=settings.uri if state is not None and not state.reachable else None)


def _environment(settings: Settings) -> dict[str, str]:
    environment = {
        **os.environ,
        "CLOISTER_HOME": str(settings.data_folder),
        "CLOISTER_DATABASE": settings.database,
        "CLOISTER_COURIER_IDLE": str(settings.courier_idle),
        "OPENBLAS_NUM_THREADS": "1",  # numpy makes a thread for each core else: a fifth of a courier's start
    }
    environment.pop("CLOISTER_URI_FILE", None)
    if settings.uri is not None:
        environment["CLOISTER_URI"] = settings.uri  # readable by this user alone, and written nowhere
        if settings.uri_file is not None:  # read again when the password in it has changed
            environment["CLOISTER_URI_FILE"] = str(settings.uri_file.absolute())
    return environment


def _open_log(folder: Path) -> IO[bytes]:
    path = folder / LOG_FILE
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        with contextlib.suppress(FileNotFoundError):
            if path.stat().st_size > LOG_LIMIT_BYTES:
                path.unlink()
        return os.fdopen(os.open(path, flags, 0o600), "wb")
    except OSError:  # a disk without room even for that
        return Path(os.devnull).open("wb")
