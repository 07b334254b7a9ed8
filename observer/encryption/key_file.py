"""Wrapping keys in a file of this account: the provider that needs nothing but a place to keep the file."""

from __future__ import annotations

import base64
import contextlib
import fcntl
import json
import os
import re
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from .data_keys import project_digest
from .key_providers import KeyProviderFailed, KeyState, KeyUnavailable, WrappedSecret
from .local_wrapping import MASTER_BYTES, NotWrappedByThis, unwrap_key, wrap_key

FORMAT = 1
SIZE_LIMIT_BYTES = 16 * 1024 * 1024
_READ = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
_MASTER = re.compile(r"local:cloister_[0-9a-f]{20}_v([0-9]{1,9})")


@dataclass(frozen=True)
class _Version:
    version: int
    key: bytes
    made_at: datetime

    def as_json(self) -> dict[str, Any]:
        key = base64.b64encode(self.key).decode()
        return {"version": self.version, "key": key, "made_at": self.made_at.isoformat()}


_Keys = dict[str, tuple[_Version, ...]]


class KeyFile:
    """A JSON file, 0600, of this account: for each project the versions of its wrapping key, 96 random bytes each."""

    kind = "file"

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self.where = str(self.path)
        self._read: tuple[tuple[int, int, int, int], _Keys] | None = None

    # ---- as every provider

    def find(self, project: str) -> KeyState | None:
        versions = self._load().get(project)
        return None if not versions else _state(project, versions)

    def projects(self) -> tuple[str, ...]:
        """The projects of which there is a key here."""
        return tuple(sorted(self._load()))

    def make(self, project: str) -> KeyState:
        with self._changing() as keys:
            if not keys.get(project):
                keys[project] = (_new_version(1),)
            return _state(project, keys[project])

    def rotate(self, project: str) -> KeyState:
        with self._changing() as keys:
            versions = keys.get(project)
            if not versions:
                raise self._missing(project)
            keys[project] = (*versions, _new_version(versions[-1].version + 1))
            return _state(project, keys[project])

    def drop_old(self, project: str) -> KeyState:
        with self._changing() as keys:
            versions = keys.get(project)
            if not versions:
                raise self._missing(project)
            keys[project] = versions[-1:]
            return _state(project, keys[project])

    def forget(self, project: str) -> None:
        with self._changing() as keys:
            keys.pop(project, None)

    def wrap(self, project: str, secret: bytes) -> WrappedSecret:
        versions = self._load().get(project)
        if not versions:
            raise self._missing(project)
        newest = versions[-1]
        name = f"local:cloister_{project_digest(project)}_v{newest.version}"
        return WrappedSecret(wrap_key(secret, newest.key), name, newest.version)

    def unwrap(self, project: str, material: bytes, master: str, version: int) -> bytes:
        if _MASTER.fullmatch(master) is None:
            raise KeyUnavailable(
                project, f"it is wrapped by {master.partition(':')[0] or 'nothing'!r}", "Set CLOISTER_KEYS to that."
            )
        versions = self._load().get(project)
        if not versions:
            raise self._missing(project)
        found = next((each for each in versions if each.version == version), None)
        if found is None:
            raise KeyUnavailable(
                project,
                f"{self.where} has not its version {version}",
                "Have somebody who has it export it: 'cloister keys export'.",
            )
        try:
            return unwrap_key(material, found.key)
        except NotWrappedByThis as error:
            raise KeyUnavailable(
                project,
                f"the key in {self.where} is another one",
                "Have somebody who can read the project export theirs: 'cloister keys export'.",
            ) from error

    # ---- only here: keys go from machine to machine as files

    def export(self, project: str, path: Path) -> None:
        """Write a key file that holds this project's key alone.

        Raises:
            KeyUnavailable: there is no key.
            FileExistsError: something is at `path`.
        """
        versions = self._load().get(project)
        if not versions:
            raise self._missing(project)
        _write_new(path, _as_text({project: versions}))

    def take_in(self, other: KeyFile) -> tuple[str, ...]:
        """Add the keys of another file, version by version; the projects of which something was added.

        Raises:
            KeyProviderFailed: of one version the two files have different keys.
        """
        taken = []
        with self._changing() as keys:
            for project, versions in other._load().items():
                known = {each.version: each for each in keys.get(project, ())}
                for each in versions:
                    if known.setdefault(each.version, each).key != each.key:
                        reason = f"its version {each.version} of project {project!r} is not the one of {self.where}"
                        raise KeyProviderFailed(other.where, reason, "One of the two was made apart. Keep both files.")
                if len(known) > len(keys.get(project, ())):
                    taken.append(project)
                keys[project] = tuple(known[version] for version in sorted(known))
        return tuple(taken)

    # ---- the file

    def _load(self) -> _Keys:
        try:
            descriptor = os.open(self.path, _READ)
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise KeyProviderFailed(self.where, error.strerror or str(error), "Let this account read it.") from error
        with os.fdopen(descriptor, "rb") as file:
            facts = os.fstat(descriptor)
            self._refuse_shared(facts)
            signature = (facts.st_dev, facts.st_ino, facts.st_mtime_ns, facts.st_size)
            if self._read is None or self._read[0] != signature:
                self._read = signature, _parse(file.read(SIZE_LIMIT_BYTES), self.where)
            return dict(self._read[1])

    def _refuse_shared(self, facts: os.stat_result) -> None:
        if not stat.S_ISREG(facts.st_mode):
            raise KeyProviderFailed(self.where, "it is no file", "Set CLOISTER_KEYS to the path of a key file.")
        if facts.st_uid not in (os.getuid(), 0):
            raise KeyProviderFailed(self.where, "it belongs to another account", "Keys of others are not used.")
        if facts.st_mode & 0o077 and facts.st_uid == os.getuid():
            raise KeyProviderFailed(self.where, "other accounts may read it", f"Run: chmod 600 {self.where}")
        if facts.st_mode & 0o027:  # root may let a group read it: a service's
            raise KeyProviderFailed(self.where, "others may read or change it", f"Run: chmod 640 {self.where}")

    @contextlib.contextmanager
    def _changing(self) -> Iterator[_Keys]:
        """The keys to be changed; written when the block has ended without an error."""
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = os.open(self.path.with_name(f"{self.path.name}.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise KeyProviderFailed(self.where, error.strerror or str(error), "Let this account write it.") from error
        with contextlib.closing(os.fdopen(lock, "rb+")):
            fcntl.flock(lock, fcntl.LOCK_EX)
            keys = self._load()
            before = dict(keys)
            yield keys
            if keys != before:
                self._replace(keys)

    def _replace(self, keys: _Keys) -> None:
        new = self.path.with_name(f"{self.path.name}.{os.urandom(6).hex()}.new")
        try:
            _write_new(new, _as_text(keys))
            overwritten = self._open_overwritten()
            new.replace(self.path)
            folder = os.open(self.path.parent, os.O_RDONLY | os.O_CLOEXEC)
            os.fsync(folder)
            os.close(folder)
        except OSError as error:
            new.unlink(missing_ok=True)
            raise KeyProviderFailed(self.where, error.strerror or str(error), "Nothing was changed.") from error
        if overwritten is not None:
            _overwrite(overwritten)

    def _open_overwritten(self) -> int | None:
        """The file that is replaced, to be overwritten once it has no name: keys that are dropped are in it."""
        try:
            return os.open(self.path, os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except FileNotFoundError:
            return None

    def _missing(self, project: str) -> KeyUnavailable:
        return KeyUnavailable(
            project,
            f"{self.where} has none",
            f"Import it ('cloister keys import'), or make one if the project has none: 'cloister keys add {project}'.",
        )


def _state(project: str, versions: tuple[_Version, ...]) -> KeyState:
    return KeyState(project, tuple(each.version for each in versions), versions[0].made_at)


def _new_version(number: int) -> _Version:
    return _Version(number, os.urandom(MASTER_BYTES), datetime.now(timezone.utc))


def _as_text(keys: Mapping[str, tuple[_Version, ...]]) -> bytes:
    projects = {project: [each.as_json() for each in versions] for project, versions in sorted(keys.items())}
    return json.dumps({"format": FORMAT, "projects": projects}, indent=1).encode()


def _parse(data: bytes, where: str) -> _Keys:
    try:
        stored = json.loads(data)
        if stored["format"] != FORMAT:
            raise KeyProviderFailed(where, f"its format is {stored['format']!r}", "Update Cloister to read it.")
        return {
            str(project): tuple(sorted((_parse_version(each) for each in versions), key=lambda each: each.version))
            for project, versions in stored["projects"].items()
        }
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise KeyProviderFailed(where, "it is no key file, or damaged", "Restore it from your copy of it.") from error


def _parse_version(stored: Mapping[str, Any]) -> _Version:
    key = base64.b64decode(stored["key"], validate=True)
    if len(key) != MASTER_BYTES or type(stored["version"]) is not int:
        raise ValueError("no key")
    return _Version(stored["version"], key, datetime.fromisoformat(stored["made_at"]))


def _write_new(path: Path, data: bytes) -> None:
    with os.fdopen(os.open(path, _NEW, 0o600), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _overwrite(descriptor: int) -> None:
    """Zeros over a file's bytes. A flash disk or a file system with snapshots may keep the old ones all the same."""
    with contextlib.suppress(OSError), os.fdopen(descriptor, "wb") as file:
        size = os.fstat(descriptor).st_size
        file.write(bytes(size))
        file.flush()
        os.fsync(descriptor)
