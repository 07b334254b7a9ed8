"""The courier as a process of its own: one for each user, host and destination, gone a minute after its work."""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import FrameType

from .courier import Courier, run_folders
from .journal import is_held, segments_in
from .settings import Settings, load_settings

logger = logging.getLogger("cloister")

LOCK_FILE = "courier.lock"
STATE_FILE = "courier.json"
LOG_FILE = "courier.log"
LOOK_SECONDS = 0.05  # how soon the end of a run is noticed; a look is a handful of file-system calls
SHIP_SECONDS = 0.3  # how soon a point of a running run is in the database
IDLE_SECONDS = 60.0
BACKOFF_SECONDS = (0.5, 15.0)
LOG_LIMIT_BYTES = 1024 * 1024
# The same modules as here, wherever they were found; the child's own first entry would be its working directory.
_PROGRAM = """
import sys
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


def destination_folder(settings: Settings) -> Path:
    """Where the journals for the database of these settings lie."""
    from .mongo import destination

    return settings.data_folder / "journal" / destination(settings)


def read_state(folder: Path) -> CourierState | None:
    """What the courier of this folder last said, None if none has ever worked here."""
    try:
        return CourierState(**json.loads((folder / STATE_FILE).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


@contextlib.contextmanager
def held_lock(folder: Path) -> Iterator[bool]:
    """Be the courier of this folder; yields False if another one is."""
    descriptor = os.open(folder / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True
    finally:
        os.close(descriptor)


def ensure_courier(folder: Path, settings: Settings) -> subprocess.Popen[bytes] | None:
    """Start a courier for `folder` unless one is at work.

    Returns:
        The new process, which its starter should poll now and then so that it leaves no zombie; None if one was there.
    """
    with held_lock(folder) as is_free:
        if not is_free:
            return None
    return _start_process(folder, settings)


def _start_process(folder: Path, settings: Settings) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "CLOISTER_HOME": str(settings.data_folder), "CLOISTER_DATABASE": settings.database}
    if settings.uri is not None:
        environment["CLOISTER_URI"] = settings.uri  # readable by this user alone, and written nowhere
    search_path = "\n".join(str(Path(entry).absolute()) for entry in sys.path)
    with _open_log(folder) as log:
        return subprocess.Popen(  # noqa: S603 our own interpreter and program, no shell
            [sys.executable, "-c", _PROGRAM, search_path, str(folder)],
            env=environment,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def _open_log(folder: Path):  # type: ignore[no-untyped-def]
    path = folder / LOG_FILE
    with contextlib.suppress(FileNotFoundError):
        if path.stat().st_size > LOG_LIMIT_BYTES:
            path.unlink()
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600), "wb")


class CourierLoop:
    """Ships until there has been nothing to do for a minute, through every outage of the database."""

    def __init__(self, folder: Path, settings: Settings) -> None:
        self._folder = folder
        self._settings = settings
        self._stopped = threading.Event()
        self._state: CourierState | None = None

    def stop(self) -> None:
        self._stopped.set()

    def run(self, *, idle_seconds: float = IDLE_SECONDS) -> None:
        """Ship; returns when stopped, or when there was nothing left for `idle_seconds`."""
        failures = 0
        while not self._stopped.is_set():
            try:
                self._ship_while_it_works(idle_seconds)
            except Exception as error:
                # Wide on purpose: whatever the database or the network does, the record waits on disk and is tried
                # again; a courier that dies of an error would leave it there.
                failures += 1
                self._say(reachable=False, error=error)
                logger.warning("Shipping failed (attempt %d): %s", failures, error)
            else:
                return
            low, high = BACKOFF_SECONDS
            self._stopped.wait(min(high, low * 2 ** min(failures, 10)) * random.uniform(0.5, 1.0))  # noqa: S311

    def _ship_while_it_works(self, idle_seconds: float) -> None:
        from .mongo import check, connect, database_name, resolve_uri

        uri = resolve_uri(self._settings)
        with connect(replace(self._settings, uri=uri)) as client:
            check(client)
            self._say(reachable=True, error=None)
            courier = Courier(client[database_name(uri, self._settings)], self._folder)
            busy_at = shipped_at = time.monotonic()
            while not self._stopped.is_set():
                now = time.monotonic()
                due = now - shipped_at >= SHIP_SECONDS
                if due:
                    shipped_at = now
                if courier.ship(due=due):
                    busy_at = time.monotonic()
                elif time.monotonic() - busy_at >= idle_seconds:
                    return
                self._stopped.wait(LOOK_SECONDS)

    def _say(self, *, reachable: bool, error: Exception | None) -> None:
        from .mongo import redact_uri

        uri = redact_uri(self._settings.uri) if self._settings.uri else "the embedded database"
        if self._state is not None and self._state.reachable == reachable and self._state.error == str(error or ""):
            return
        self._state = CourierState(reachable, uri, str(error or ""), os.getpid(), time.time())
        fresh = self._folder / f"{STATE_FILE}.new"
        try:
            fresh.write_text(json.dumps(asdict(self._state)), encoding="utf-8")
            fresh.replace(self._folder / STATE_FILE)
        except OSError as problem:  # a full disk: the trainers then hear nothing, the shipping goes on
            logger.warning("Cannot write %s: %s", fresh, problem)


def start_courier_thread(folder: Path, settings: Settings) -> CourierLoop:
    """A courier inside this process, for sites that allow no helper process (`CLOISTER_COURIER=thread`)."""
    loop = CourierLoop(folder, settings)

    def work() -> None:
        while not loop._stopped.is_set():
            with held_lock(folder) as is_ours:
                if is_ours:
                    loop.run(idle_seconds=float("inf"))
            loop._stopped.wait(1.0)

    threading.Thread(target=work, name="cloister-courier", daemon=True).start()
    return loop


def has_work(folder: Path) -> bool:
    """Whether any journal lies in `folder`."""
    return bool(run_folders(folder))


def has_live_runs(folder: Path) -> bool:
    """Whether a process still writes one of the journals in `folder`."""
    return any(is_held(path) for run in run_folders(folder) for path in segments_in(run))


def main() -> None:
    """The courier's process: `python -c ... FOLDER`, started by `ensure_courier`."""
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s", level=logging.INFO)
    folder = Path(sys.argv[1])
    loop = CourierLoop(folder, load_settings(folder))

    def end(_number: int, _frame: FrameType | None) -> None:
        loop.stop()

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is meant for the training
    with held_lock(folder) as is_ours:
        if is_ours:
            loop.run()


if __name__ == "__main__":
    main()
