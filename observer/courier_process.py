"""The courier as a process of its own: one for each user, host and destination, gone a minute after its work."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import random
import signal
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from .courier_launch import SHIPPING_FILE, STATE_FILE, CourierState, held_lock
from .journal_places import journal_places, run_folders
from .settings import Settings, load_settings

if TYPE_CHECKING:
    from .courier import Courier

logger = logging.getLogger("cloister")

LOOK_SECONDS = 0.05  # how soon the end of a run is noticed; a look is a handful of file-system calls
SHIP_SECONDS = 0.3  # how soon a point of a running run is in the database
BACKOFF_SECONDS = (0.5, 15.0)

_threads: dict[Path, threading.Thread] = {}


class CourierLoop:
    """Ships until there has been nothing to do for a minute, through every outage of the database."""

    def __init__(self, folder: Path, settings: Settings) -> None:
        self._folder = folder
        self._settings = settings
        self._places = tuple(dict.fromkeys((folder, *journal_places(settings))))
        self._stopped = threading.Event()
        self._state: CourierState | None = None

    def stop(self) -> None:
        self._stopped.set()

    def run(self, *, idle_seconds: float) -> None:
        """Ship; returns when stopped, or when there was nothing left for `idle_seconds`."""
        failures = 0
        hopeful_at = time.monotonic()
        while not self._stopped.is_set():
            try:
                self._ship_while_it_works(idle_seconds)
            except Exception as error:
                # Wide on purpose: whatever the database or the network does, the record waits on disk and is tried
                # again; a courier that dies of an error would leave it there.
                if self._state is None or self._state.reachable:
                    failures, hopeful_at = 0, time.monotonic()  # a new outage
                failures += 1
                self._say(reachable=False, error=self._in_words(error))
                logger.warning("Shipping failed (attempt %d): %s", failures, error)
            else:
                return
            if self._has_running_trainings():
                hopeful_at = time.monotonic()
            elif time.monotonic() - hopeful_at > idle_seconds:
                return  # nobody waits for it any more: the next run's courier or a sync ships what is left
            low, high = BACKOFF_SECONDS
            self._stopped.wait(min(high, low * 2 ** min(failures, 10)) * random.uniform(0.5, 1.0))  # noqa: S311

    def _ship_while_it_works(self, idle_seconds: float) -> None:
        # With numpy and the driver: a courier that finds another at work has gone before it needs them.
        from .courier import Courier
        from .mongo import check, connect, database_name, resolve_uri

        uri = resolve_uri(self._settings)
        # Locked only while the database answers: somebody whose URI works better than ours may ship meanwhile.
        with connect(replace(self._settings, uri=uri)) as client:
            check(client)
            with self._shipping_lock():
                self._say(reachable=True, error=None)
                self._ship_with(Courier(client[database_name(uri, self._settings)], self._places), idle_seconds)

    def _ship_with(self, courier: Courier, idle_seconds: float) -> None:
        busy_at = time.monotonic()
        while not self._stopped.is_set():
            if courier.ship():
                busy_at = time.monotonic()
            elif time.monotonic() - busy_at >= idle_seconds:
                return
            self._stopped.wait(0.0 if courier.is_busy else SHIP_SECONDS)

    @contextlib.contextmanager
    def _shipping_lock(self) -> Iterator[None]:
        while True:
            with held_lock(self._folder, SHIPPING_FILE) as is_ours:
                if is_ours or self._stopped.is_set():
                    yield  # when stopped, the caller's loop does nothing
                    return
            self._stopped.wait(LOOK_SECONDS)

    def _has_running_trainings(self) -> bool:
        from .courier import is_running

        return any(is_running(folders) for folders in run_folders(self._places).values())

    def _in_words(self, error: Exception) -> Exception:
        """The driver's words hold its options and topology; people are told which database was tried for how long."""
        from pymongo.errors import ConnectionFailure

        from .mongo import DatabaseUnreachable

        if isinstance(error, ConnectionFailure):
            return DatabaseUnreachable(self._settings.uri or "the embedded database", 2.0, error)
        return error

    def _say(self, *, reachable: bool, error: Exception | None) -> None:
        from .mongo import redact_uri

        uri = redact_uri(self._settings.uri) if self._settings.uri else "the embedded database"
        known = self._state
        if known is not None and (known.reachable, known.error) == (reachable, str(error or "")):
            return
        since = known.since if known is not None and known.reachable == reachable else time.time()
        self._state = CourierState(reachable, uri, str(error or ""), os.getpid(), since)
        fresh = self._folder / f"{STATE_FILE}.new"
        try:
            fresh.write_text(json.dumps(asdict(self._state)), encoding="utf-8")
            fresh.replace(self._folder / STATE_FILE)
        except OSError as problem:  # a full disk: the trainers then hear nothing, the shipping goes on
            logger.warning("Cannot write %s: %s", fresh, problem)


def ensure_courier_thread(folder: Path, settings: Settings) -> None:
    """Have a thread of this process be the courier, where no helper process may run (`CLOISTER_COURIER=thread`)."""
    thread = _threads.get(folder)
    if thread is None or not thread.is_alive():  # a forked child has the table and not the threads
        thread = threading.Thread(target=_work_in_thread, args=(folder, settings), name="cloister-courier", daemon=True)
        _threads[folder] = thread
        thread.start()


def _work_in_thread(folder: Path, settings: Settings) -> None:
    with held_lock(folder) as is_ours:
        if is_ours:
            CourierLoop(folder, settings).run(idle_seconds=settings.courier_idle)


def main() -> None:
    """The courier's process: `python -c ... FOLDER`, started by `ensure_courier`."""
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s", level=logging.INFO)
    folder = Path(sys.argv[1])
    settings = load_settings(folder)
    loop = CourierLoop(folder, settings)

    def end(_number: int, _frame: FrameType | None) -> None:
        loop.stop()

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is meant for the training
    with held_lock(folder) as is_ours:
        if is_ours:
            loop.run(idle_seconds=settings.courier_idle)


if __name__ == "__main__":
    main()
