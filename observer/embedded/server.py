"""The embedded database as one thing: start it on demand, once for all processes of a user, find it, stop it."""

from __future__ import annotations

import socket
from dataclasses import dataclass

from ..settings import Settings, load_settings
from .binary import Mongod, find_mongods
from .data_folder import DataFolder, ReadyMark
from .errors import DatabaseBusy, DataTooNew, MongodDidNotStart
from .process import (
    EXIT_CANNOT_LOCK,
    EXIT_OTHER_VERSION,
    EXIT_PORT_TAKEN,
    START_SECONDS,
    RunningMongod,
    choose_port,
    explain_exit,
    log_size,
    recognise,
    rotate_log,
    running_mongod,
    spawn,
    terminate,
)
from .replica_set import embedded_uri_for, set_up

LOCK_SECONDS = START_SECONDS + 60  # whoever holds the lock may be starting it
PORT_ATTEMPTS = 5


def ensure_running(settings: Settings | None = None) -> str:
    """The URI of the embedded database, which is started if it does not run. Safe from any number of processes at once.

    Raises:
        NoMongod, CorruptDatabase, DataFolderUnusable, ForeignDataFolder, DatabaseBusy, DataTooNew, MongodDidNotStart:
            it cannot be started; the message says what to do.
    """
    return EmbeddedServer(settings or load_settings()).ensure_running()


def embedded_uri(settings: Settings | None = None) -> str | None:
    """The URI of the embedded database if it runs, else None. Starts and changes nothing."""
    return EmbeddedServer(settings or load_settings()).uri()


@dataclass(frozen=True)
class EmbeddedServer:
    """The embedded database of one data folder."""

    settings: Settings

    @property
    def folder(self) -> DataFolder:
        return DataFolder.of(self.settings)

    def ensure_running(self) -> str:
        """See `ensure_running`."""
        uri = self.uri()
        if uri is not None:
            if self.folder.log_is_large():
                self._rotate_log()
            return uri
        self.folder.prepare()
        with self.folder.locked(LOCK_SECONDS):
            return self.uri() or self._start()

    def uri(self) -> str | None:
        """The URI if it runs and is ready for use, else None."""
        mark = self.folder.read_ready_mark()
        if mark is None or not self.folder.exists():
            return None
        running = recognise(self.folder, mark.pid)
        if running is None or running.port != mark.port:
            return None
        return embedded_uri_for(mark.port, self.folder.read_password())

    def running(self) -> RunningMongod | None:
        """The process, ready for use or not."""
        return running_mongod(self.folder) if self.folder.exists() else None

    def stop(self) -> bool:
        """Shut it down cleanly; whether it was running.

        Raises:
            MongodDidNotStop: it did not end.
        """
        if not self.folder.exists():
            return False
        with self.folder.locked(LOCK_SECONDS):
            running = running_mongod(self.folder)
            if running is not None:
                terminate(running.pid, self.folder)
        return running is not None

    def _start(self) -> str:
        """Start mongod, or take on one whose starter was killed, and make it usable. Under the lock only."""
        running = running_mongod(self.folder)
        rotate_log(self.folder, running)
        password = self.folder.read_password()
        self.folder.read_key()
        mongods = find_mongods(self.settings)
        version = mongods[0].version_text
        if running is None:
            running, version = self._spawn_first_fitting(mongods)
        set_up(self.folder, running.port)
        self.folder.write_ready_mark(ReadyMark(running.pid, running.port, version, socket.gethostname()))
        return embedded_uri_for(running.port, password)

    def _spawn_first_fitting(self, mongods: list[Mongod]) -> tuple[RunningMongod, str]:
        """The newest mongod that can read the data: after 6.0, MongoDB 8.0 refuses, and the older one goes on."""
        for mongod in mongods:
            running = self._spawn(mongod)
            if running is not None:
                return running, mongod.version_text
        raise DataTooNew(self.folder.path, [mongod.version_text for mongod in mongods])

    def _spawn(self, mongod: Mongod) -> RunningMongod | None:
        """A running mongod, or None if this version cannot read the data."""
        mark = self.folder.read_ready_mark()
        port = choose_port(mark.port if mark else None)
        for _ in range(PORT_ATTEMPTS):
            log_start = log_size(self.folder)
            code = spawn(mongod, self.folder, port, self.settings)
            if code == EXIT_OTHER_VERSION:
                return None
            if code == EXIT_PORT_TAKEN:
                port = choose_port(None)
                continue
            running = running_mongod(self.folder)
            if running is not None:  # ours, or one that a killed starter had on its way
                return running
            if code == EXIT_CANNOT_LOCK and self._is_held_elsewhere(log_start):
                raise DatabaseBusy(self.folder.path, f"a mongod on {mark.host if mark else 'another machine'}", 0)
            raise explain_exit(code, mongod, self.folder, log_start)
        raise MongodDidNotStart(mongod.path, f"{PORT_ATTEMPTS} ports in a row were taken", self.folder.log)

    def _is_held_elsewhere(self, log_start: int) -> bool:
        with self.folder.log.open("rb") as log:
            log.seek(log_start)
            return b"DBPathInUse" in log.read()

    def _rotate_log(self) -> None:
        with self.folder.locked(LOCK_SECONDS):
            rotate_log(self.folder, running_mongod(self.folder))
