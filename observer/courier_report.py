"""What the courier says of itself in courier.json, so that trainings know whether their record arrives."""

from __future__ import annotations

import json
import logging
import os
import threading
import time
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any

from .courier_launch import STATE_FILE, CourierState

logger = logging.getLogger("cloister")


class CourierReport:
    """Owns courier.json: written when something changes, not for each batch. Thread-safe."""

    def __init__(self, folder: Path, uri: str | None) -> None:
        self._folder = folder
        self._uri = uri
        self._state: CourierState | None = None
        self._lock = threading.Lock()

    def forget(self) -> None:
        """Remove what a courier before us said: it may have been long ago."""
        try:
            (self._folder / STATE_FILE).unlink(missing_ok=True)
        except OSError as problem:
            logger.debug("Cannot remove %s: %s", self._folder / STATE_FILE, problem)

    def say_stored(self) -> None:
        """The database has taken something, or nothing is left to be taken."""
        self.say(reachable=True, error="")

    def say_silent(self, seconds: float) -> None:
        """The database has been asked and is silent; the driver's time-outs have not decided yet."""
        from .mongo import DatabaseUnreachable

        self.say(reachable=False, error=str(DatabaseUnreachable(self._uri or "the embedded database", seconds)))

    def say(self, *, reachable: bool, error: str) -> bool:
        """Write it down, unless that is what stands there.

        Returns:
            Whether it is new.
        """
        from .mongo import redact_uri

        with self._lock:
            known = self._state
            if known is not None and (known.reachable, known.error) == (reachable, error):
                return False
            uri = redact_uri(self._uri) if self._uri else "the embedded database"
            since = known.since if known is not None and known.reachable == reachable else time.time()
            self._state = CourierState(reachable, uri, error, os.getpid(), since)
            self._write(self._state)
            return True

    def _write(self, state: CourierState) -> None:
        fresh = self._folder / f"{STATE_FILE}.new"
        try:
            fresh.write_text(json.dumps(asdict(state)), encoding="utf-8")
            fresh.replace(self._folder / STATE_FILE)
        except OSError as problem:  # a full disk: the trainers then hear nothing, the shipping goes on
            logger.debug("Cannot write %s: %s", fresh, problem)


class AnswerWatch:
    """Reports a database that does not answer, before the driver's time-outs do.

    A frozen server or a cut cable is only known by its silence. The driver has to be patient, because a large batch may
    take its time; a training that ends need not wait that long.
    """

    def __init__(self, seconds: float, on_silence: Any) -> None:
        """
        Args:
            seconds: how long an answer may take.
            on_silence: called once with the seconds for each longer silence, in a thread of the watch.
        """
        self._seconds = seconds
        self._on_silence = on_silence
        self._asked_at: float | None = None
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="cloister-watch", daemon=True)

    @property
    def listener(self) -> Any:
        """A command listener for the driver."""
        from pymongo.monitoring import CommandListener

        watch = self

        class Listener(CommandListener):
            def started(self, _event: Any) -> None:
                watch._asked_at = time.monotonic()

            def succeeded(self, _event: Any) -> None:
                watch._asked_at = None

            def failed(self, _event: Any) -> None:
                watch._asked_at = None

        return Listener()

    def __enter__(self) -> AnswerWatch:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join(1.0)

    def _watch(self) -> None:
        told: float | None = None
        while not self._over.wait(1.0):
            asked_at = self._asked_at
            if asked_at is not None and asked_at != told and time.monotonic() - asked_at >= self._seconds:
                told = asked_at
                self._on_silence(self._seconds)
