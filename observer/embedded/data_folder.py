"""The folder of the embedded database: where each file lies, whose it is, its secrets and its lock."""

from __future__ import annotations

import json
import os
import re
import secrets
import stat
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from ..settings import Settings
from .errors import DatabaseBusy, DataFolderUnusable, ForeignDataFolder, NoMongod

USER = "cloister"
LOCK_POLL_SECONDS = 0.01
LOG_LIMIT_BYTES = 8 * 1024 * 1024
KEY = re.compile(r"[0-9a-f]{96}")


@dataclass(frozen=True)
class ReadyMark:
    """What the process that started mongod leaves for the others once the database can be used."""

    pid: int
    port: int
    host: str
    log_start: int  # what this mongod logged begins here


@dataclass(frozen=True)
class DataFolder:
    """`<data folder>/mongodb`: 0700, owned by this user."""

    path: Path

    @classmethod
    def of(cls, settings: Settings) -> DataFolder:
        # Without symbolic links: a mongod that was started by one of two names of a folder is known by the other too.
        return cls(Path(os.path.realpath(settings.data_folder)) / "mongodb")

    @property
    def data(self) -> Path:
        """mongod's own files."""
        return self.path / "data"

    @property
    def log(self) -> Path:
        return self.path / "mongod.log"

    @property
    def keyfile(self) -> Path:
        return self.path / "keyfile"

    @property
    def credentials(self) -> Path:
        return self.path / "credentials.json"

    @property
    def ready_mark(self) -> Path:
        return self.path / "ready.json"

    def exists(self) -> bool:
        """Whether there is a database here, running or not.

        Raises:
            ForeignDataFolder: it belongs to another user.
        """
        try:
            _refuse_foreign(self.path)
            return any(self.data.iterdir())
        except FileNotFoundError:
            return False
        except ForeignDataFolder:
            raise
        except OSError as error:
            raise DataFolderUnusable(self.path, error.strerror or error) from error

    def has_data(self) -> bool:
        """Whether a mongod has run on it before."""
        return (self.data / "WiredTiger").exists()

    def prepare(self) -> None:
        """Create what is missing, each file for this user alone. Safe to repeat after any interruption.

        Raises:
            ForeignDataFolder: it belongs to another user.
            DataFolderUnusable: it cannot be created or written.
        """
        try:
            for folder in (self.path, self.data):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                _refuse_foreign(folder)
                if stat.S_IMODE(folder.stat().st_mode) != 0o700:
                    folder.chmod(0o700)
        except ForeignDataFolder:
            raise
        except OSError as error:
            raise DataFolderUnusable(self.path, error.strerror or error) from error

    def read_key(self) -> str:
        """The secret that mongod knows its own kind by; also the password of its user `__system`. Made when missing."""
        with self._translated_errors():
            key = "".join(_read(self.keyfile).split())
            if not KEY.fullmatch(key):
                key = secrets.token_hex(48)
                _replace(self.keyfile, key + "\n")
            return key

    def stored_password(self) -> str | None:
        """The password of the user `cloister`, or None if the file is not there or damaged."""
        with self._translated_errors():
            try:
                return str(json.loads(_read(self.credentials))["password"])
            except (ValueError, LookupError, TypeError):
                return None

    def read_password(self) -> str:
        """The password of the user `cloister`. Made when missing, and then not yet known to mongod."""
        password = self.stored_password()
        if password is None:
            password = secrets.token_urlsafe(32)
            with self._translated_errors():
                _replace(self.credentials, json.dumps({"user": USER, "password": password}) + "\n")
        return password

    def read_ready_mark(self) -> ReadyMark | None:
        """The mark left by the last start, or None; mongod may have ended since."""
        try:
            return ReadyMark(**json.loads(self.ready_mark.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return None

    def write_ready_mark(self, mark: ReadyMark) -> None:
        with self._translated_errors():
            _replace(self.ready_mark, json.dumps(asdict(mark)))

    def log_is_large(self) -> bool:
        try:
            return self.log.stat().st_size > LOG_LIMIT_BYTES
        except OSError:
            return False

    @contextmanager
    def locked(self, timeout_seconds: float) -> Iterator[None]:
        """Hold the folder against every other thread and process of this user; the kernel frees it if we die.

        Raises:
            DatabaseBusy: another process held it for `timeout_seconds`.
        """
        if sys.platform == "win32":
            raise NoMongod(["It is made for Linux and macOS"])
        import fcntl  # not on Windows, where this module must still import

        try:
            descriptor = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise DataFolderUnusable(self.path, error.strerror or error) from error
        try:
            deadline = time.monotonic() + timeout_seconds
            while True:
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() > deadline:
                        raise DatabaseBusy(self.path, "another process that starts it", timeout_seconds) from None
                    time.sleep(LOCK_POLL_SECONDS)
            yield
        finally:
            os.close(descriptor)

    @contextmanager
    def _translated_errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise DataFolderUnusable(self.path, error.strerror or error) from error


def _read(path: Path) -> str:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return ""
    with os.fdopen(descriptor, encoding="utf-8") as file:
        if stat.S_IMODE(os.fstat(file.fileno()).st_mode) & 0o077:
            os.fchmod(file.fileno(), 0o600)  # mongod refuses a key that others may read, and so it should
        return file.read()


def _replace(path: Path, text: str) -> None:
    """Write a file for this user alone, whole or not at all: no reader, and no kill at any moment, sees half of it."""
    partial = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


def _refuse_foreign(folder: Path) -> None:
    owner = folder.stat().st_uid
    if owner != os.geteuid():
        raise ForeignDataFolder(folder, _user_name(owner), _user_name(os.geteuid()))


def _user_name(uid: int) -> str:
    import pwd

    try:
        return f"the user {pwd.getpwuid(uid).pw_name}"
    except KeyError:  # a container without /etc/passwd entries
        return f"the user number {uid}"
