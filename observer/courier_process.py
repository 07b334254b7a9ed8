"""The courier as a process of its own: one for each user, host and destination, gone a minute after its work."""

from __future__ import annotations

import contextlib
import logging
import os
import random
import signal
import stat
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from .courier_bell import Bell
from .courier_launch import LOCK_FILE, LOG_LIMIT_BYTES, SHIPPING_FILE, held_lock
from .courier_report import AnswerWatch, CourierReport
from .database_faults import in_words, is_refused_login
from .fork_guard import import_beside
from .journal_places import journal_places, run_folders
from .lent_client import LentClient
from .settings import Settings, load_settings
from .working_uris import WorkingUris

if TYPE_CHECKING:
    from pymongo.database import Database

    from .courier import Courier

logger = logging.getLogger("cloister")

SHIP_SECONDS = 0.7  # how soon a point of a running run is in the database
QUIET_SECONDS = 1.0  # and how soon after a while without any
REST_SECONDS = 5.0  # between looks while nothing waits; trainings ring the bell
LOOK_SECONDS = 0.05  # between looks for whether somebody else still ships
BACKOFF_SECONDS = (0.5, 15.0)
SWEEP_SECONDS = 3600.0
SILENCE_SECONDS = 3.0  # that one answer of the database may take before trainings are told not to wait for it
NICENESS = 5  # a training that uses all cores goes first; the courier still gets a quarter of one


_threads: dict[Path, threading.Thread] = {}
# Of our own: a training that seeds `random` must not get other numbers because we drew some.
_JITTER = random.Random()  # noqa: S311


class CourierLoop:
    """Ships until there has been nothing to do for a minute, through every outage of the database."""

    def __init__(
        self, folder: Path, settings: Settings, *, owns_process: bool = False, lent: LentClient | None = None
    ) -> None:
        """
        Args:
            owns_process: stderr is the courier's log. Otherwise it is the training's, and left alone.
            lent: a client of the training to ship through; the settings name its hosts, and no password.
        """
        self._lent = lent
        self._owns_process = owns_process
        self._folder = folder
        self._settings = settings
        self._places = tuple(dict.fromkeys((folder, *journal_places(settings))))
        self._stopped = threading.Event()
        self._bell = Bell(folder)
        self._report = CourierReport(folder, settings.uri)
        self._uris = WorkingUris(settings)
        self._lock = _identity(folder / LOCK_FILE)
        self._swept_at = -SWEEP_SECONDS
        self._has_worked = True  # since the last failure

    def stop(self) -> None:
        self._stopped.set()
        self._bell.stop()

    def run(self, *, idle_seconds: float) -> None:
        """Ship; returns when stopped, or when there was nothing left for `idle_seconds`."""
        self._report.forget()
        with self._bell:
            failures = 0
            hopeful_at = time.monotonic()
            while not self._stopped.is_set():
                try:
                    self._ship_while_it_works(idle_seconds)
                except Exception as error:
                    # Wide on purpose: whatever the database or the network does, the record waits on disk and is tried
                    # again; a courier that dies of an error would leave it there.
                    if self._has_worked:
                        failures, hopeful_at = 0, time.monotonic()  # a new outage
                    self._has_worked = False
                    failures += 1
                    self._note_failure(error, failures)
                else:
                    return
                if self._has_running_trainings():
                    hopeful_at = time.monotonic()
                elif time.monotonic() - hopeful_at > idle_seconds:
                    return  # nobody waits for it any more: the next run's courier or a sync ships what is left
                if self._is_replaced():
                    return
                self._rest_after(failures)

    def _note_failure(self, error: Exception, failures: int) -> None:
        if is_refused_login(error):
            self._uris.refused()
        words = in_words(error, self._settings.uri)
        if self._report.say(reachable=False, error=words) or failures & (failures - 1) == 0:
            level = logging.WARNING if self._owns_process else logging.DEBUG  # a training says it in its own words
            logger.log(level, "Shipping failed (attempt %d): %s", failures, words)
            if self._owns_process:
                _shorten_log()

    def _rest_after(self, failures: int) -> None:
        low, high = BACKOFF_SECONDS
        wait = min(high, low * 2 ** min(failures - 1, 10)) * _JITTER.uniform(0.5, 1.0)
        # A training that rings starts no storm: it is heard after the first pause.
        self._bell.wait(wait, wait if failures < 3 else min(wait, low))
        self._uris.lend(self._bell.uris)

    def _ship_while_it_works(self, idle_seconds: float) -> None:
        # With numpy and the driver: a courier that finds another at work has gone before it needs them.
        from .courier import Courier

        # Locked only while the database answers: somebody whose URI works better than ours may ship meanwhile.
        with self._open() as database, self._shipping_lock():
            self._ship_with(Courier(database, self._places, self._report.say_stored), database, idle_seconds)

    @contextlib.contextmanager
    def _open(self) -> Iterator[Database[dict[str, Any]]]:
        """The database, once it has answered and let us in."""
        from .mongo import check, connect, database_name, resolve_uri

        if self._lent is not None:
            with self._lent.open() as database:
                yield database
            return
        settings = replace(self._settings, uri=self._uris.best())
        uri = resolve_uri(settings)
        watch = AnswerWatch(SILENCE_SECONDS, self._report.say_silent)
        with watch, connect(replace(settings, uri=uri), listener=watch.listener) as client:
            check(client)
            yield client[database_name(uri, settings)]

    def _ship_with(self, courier: Courier, database: Database[dict[str, Any]], idle_seconds: float) -> None:
        busy_at = time.monotonic()
        pause = SHIP_SECONDS
        while not (self._stopped.is_set() or self._is_replaced()):
            has_more = courier.ship()
            self._has_worked = True
            self._report.say_stored()
            now = time.monotonic()
            if has_more:
                busy_at = now
            elif now - busy_at >= idle_seconds:
                return
            else:
                self._sweep_sometimes(database)
            if courier.is_busy:
                continue
            if not has_more:
                pause = min(REST_SECONDS, idle_seconds - (now - busy_at))
            elif courier.had_news:
                pause = SHIP_SECONDS
            else:
                pause = min(QUIET_SECONDS, pause * 1.2)
            self._bell.wait(pause, SHIP_SECONDS)

    def _sweep_sometimes(self, database: Database[dict[str, Any]]) -> None:
        """Delete the chunks of uploads that nobody goes on with; only while there is nothing to ship."""
        if time.monotonic() - self._swept_at >= SWEEP_SECONDS:
            from .blob_upload import sweep_uploads

            self._swept_at = time.monotonic()
            sweep_uploads(database)

    @contextlib.contextmanager
    def _shipping_lock(self) -> Iterator[None]:
        while True:
            with contextlib.ExitStack() as stack:
                try:
                    is_ours = stack.enter_context(held_lock(self._folder, SHIPPING_FILE))
                except OSError:  # a disk without room for an empty file; two who ship at once are slower, no more
                    is_ours = True
                if is_ours or self._stopped.is_set():
                    yield  # when stopped, the caller's loop does nothing
                    return
            self._stopped.wait(LOOK_SECONDS)

    def _has_running_trainings(self) -> bool:
        from .courier import is_running

        return any(is_running(folders) for folders in run_folders(self._places).values())

    def _is_replaced(self) -> bool:
        """Whether our lock is not the folder's any more: somebody removed the folder, and another courier has it."""
        return _identity(self._folder / LOCK_FILE) != self._lock


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        facts = path.stat()
    except OSError:
        return None
    return facts.st_dev, facts.st_ino


def _shorten_log() -> None:
    """Begin the log anew when it has grown too long: an outage of months must not fill the disk."""
    with contextlib.suppress(OSError):
        facts = os.fstat(2)
        if stat.S_ISREG(facts.st_mode) and facts.st_size > LOG_LIMIT_BYTES:
            os.ftruncate(2, 0)


def ensure_courier_thread(folder: Path, settings: Settings, *, lent: LentClient | None = None) -> None:
    """Have a thread of this process be the courier, where no helper process may run (`CLOISTER_COURIER=thread`)."""
    thread = _threads.get(folder)
    if thread is None or not thread.is_alive():  # a forked child has the table and not the threads
        work = (folder, settings, lent)
        thread = threading.Thread(target=_work_in_thread, args=work, name="cloister-courier", daemon=True)
        _threads[folder] = thread
        thread.start()


def _work_in_thread(folder: Path, settings: Settings, lent: LentClient | None) -> None:
    try:
        with held_lock(folder) as is_ours:
            if is_ours:
                # What the loop imports, before it does: a fork in the middle of an import leaves its child half of it.
                import_beside("pymongo", "numpy", f"{__package__}.courier", f"{__package__}.mongo")
                CourierLoop(folder, settings, lent=lent).run(idle_seconds=settings.courier_idle)
    except OSError as error:  # no folder can be written: the training ships from its memory
        logger.debug("No courier works in %s: %s", folder, error)


def main() -> None:
    """The courier's process: `python -c ... FOLDER`, started by `ensure_courier`."""
    logging.raiseExceptions = False  # a log that cannot be written, on a full disk, is no reason to write more
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s", level=logging.INFO)
    with contextlib.suppress(OSError):
        os.nice(NICENESS)
    folder = Path(sys.argv[1])
    settings = load_settings(folder)
    loop = CourierLoop(folder, settings, owns_process=True)

    def end(_number: int, _frame: FrameType | None) -> None:
        loop.stop()

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is meant for the training
    with held_lock(folder) as is_ours:
        if is_ours:
            loop.run(idle_seconds=settings.courier_idle)


if __name__ == "__main__":
    main()
