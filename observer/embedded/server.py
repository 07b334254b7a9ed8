"""The embedded database as one thing: start it on demand, once for all processes of a user, find it, stop it."""

from __future__ import annotations

import socket
import time
from dataclasses import dataclass

from ..settings import Settings, load_settings
from .binary import Mongod, find_mongods
from .data_folder import DataFolder, ReadyMark
from .errors import BeingRepaired, CorruptDatabase, DatabaseBusy, DataTooNew, MongodDidNotStart
from .exit_reason import explain_exit
from .process import (
    EXIT_CANNOT_LOCK,
    EXIT_OTHER_VERSION,
    EXIT_PORT_TAKEN,
    START_SECONDS,
    RunningMongod,
    choose_port,
    log_size,
    recognise,
    rotate_log,
    running_mongod,
    server_options,
    spawn,
    standalone_options,
    terminate,
    was_killed,
)
from .replica_set import WrongAddress, embedded_uri_for, set_stored_address, set_up, system_client

LOCK_SECONDS = START_SECONDS + 60  # whoever holds the lock may be starting it
PORT_ATTEMPTS = 5
RELEASE_SECONDS = 5.0  # a killed mongod holds its files until the kernel has taken it apart


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


class PortTaken(Exception):
    """Somebody got the port between our look and mongod's. For this module, which takes another."""


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
        password = self.folder.stored_password()
        if running is None or running.role != "member" or running.port != mark.port or password is None:
            return None
        return embedded_uri_for(mark.port, password)

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
        from pymongo.errors import PyMongoError  # never loaded by importing

        running = running_mongod(self.folder)
        if running is not None and running.role == "repairing":
            raise BeingRepaired(self.folder.path, running.pid)
        if running is not None:
            try:
                if running.role == "member":
                    return self._make_usable(running, log_start=0)
            except (PyMongoError, WrongAddress):
                pass  # it is ending, its key file was replaced, or its starter was killed between two steps
            terminate(running.pid, self.folder)
        self._refuse_damage_met_before()
        rotate_log(self.folder, None)
        return self._start_afresh()

    def _start_afresh(self) -> str:
        from pymongo.errors import PyMongoError

        mark = self.folder.read_ready_mark()
        known_port = mark.port if mark else None
        for _ in range(2):
            log_start = log_size(self.folder)
            running, mongod = self._spawn_first_fitting(known_port)
            try:
                return self._make_usable(running, log_start)
            except WrongAddress:  # the files are from a backup: the address in them is older than our mark
                terminate(running.pid, self.folder)
                known_port = None
            except PyMongoError as error:
                if recognise(self.folder, running.pid) is None:  # it met damaged files only when it was asked for them
                    raise explain_exit(self.folder, mongod.path, log_start, 0) from error
                reason = f"it could not be set up: {error}"
                raise MongodDidNotStart(mongod.path, reason, self.folder.log) from error
        raise MongodDidNotStart(mongod.path, "its address in the replica set cannot be set", self.folder.log)

    def _make_usable(self, running: RunningMongod, log_start: int) -> str:
        set_up(self.folder, running.port)
        self.folder.write_ready_mark(ReadyMark(running.pid, running.port, socket.gethostname(), log_start))
        return embedded_uri_for(running.port, self.folder.read_password())

    def _refuse_damage_met_before(self) -> None:
        """Raise what killed the last mongod, if that was damage.

        mongod opens a collection when it is first read, and dies if its file is damaged. Without this it would be
        started to die again, and nobody would hear of the repair. A clean end, a repair's too, empties mongod.lock.
        """
        mark = self.folder.read_ready_mark()
        if mark is not None and was_killed(self.folder):
            error = explain_exit(self.folder, find_mongods(self.settings)[0].path, mark.log_start, 0)
            if isinstance(error, CorruptDatabase):
                raise error

    def _spawn_first_fitting(self, known_port: int | None) -> tuple[RunningMongod, Mongod]:
        """The newest mongod that can read the data: after 6.0, MongoDB 8.0 refuses, and the older one goes on."""
        self.folder.read_key()
        mongods = find_mongods(self.settings)
        for mongod in mongods:
            running = self._spawn_member(mongod, known_port)
            if running is not None:
                return running, mongod
        raise DataTooNew(self.folder.path, [mongod.version_text for mongod in mongods])

    def _spawn_member(self, mongod: Mongod, known_port: int | None) -> RunningMongod | None:
        """A running member of the set, or None if this version cannot read the data."""
        port = choose_port(known_port)
        for _ in range(PORT_ATTEMPTS):
            try:
                if port != known_port and self.folder.has_data() and not self._move_to(port, mongod):
                    return None
                known_port = port
                return self._spawn(mongod, server_options(self.folder, port, self.settings))
            except PortTaken:
                port = choose_port(None)
        raise MongodDidNotStart(mongod.path, f"{PORT_ATTEMPTS} ports in a row were taken", self.folder.log)

    def _move_to(self, port: int, mongod: Mongod) -> bool:
        """Tell the set its member's new port, outside of the set; False if this version cannot read the data.

        Inside, mongod would look for itself at the old port first: for 30 s, if whoever has it now does not answer.
        """
        running = self._spawn(mongod, standalone_options(self.folder, port, self.settings))
        if running is None:
            return False
        try:
            with system_client(self.folder, running.port) as client:
                set_stored_address(client, f"127.0.0.1:{port}")
        finally:
            terminate(running.pid, self.folder)
        return True

    def _spawn(self, mongod: Mongod, options: list[str]) -> RunningMongod | None:
        """A running mongod, or None if this version cannot read the data.

        Raises:
            PortTaken: somebody was faster.
        """
        deadline = time.monotonic() + RELEASE_SECONDS
        while True:
            log_start = log_size(self.folder)
            code = spawn(mongod, self.folder, options)
            running = running_mongod(self.folder)
            if running is not None:  # ours, or one that a killed starter had on its way
                return running
            if code == EXIT_OTHER_VERSION:
                return None
            if code == EXIT_PORT_TAKEN:
                raise PortTaken
            if not (code == EXIT_CANNOT_LOCK and self._is_held_elsewhere(log_start)):
                raise explain_exit(self.folder, mongod.path, log_start, code)
            if time.monotonic() > deadline:
                mark = self.folder.read_ready_mark()
                holder = f"a mongod on {mark.host if mark else 'another machine'}"
                raise DatabaseBusy(self.folder.path, holder, RELEASE_SECONDS)

    def _is_held_elsewhere(self, log_start: int) -> bool:
        with self.folder.log.open("rb") as log:
            log.seek(log_start)
            return b"DBPathInUse" in log.read()

    def _rotate_log(self) -> None:
        with self.folder.locked(LOCK_SECONDS):
            rotate_log(self.folder, running_mongod(self.folder))
