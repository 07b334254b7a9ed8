"""What speaks for the audit log outside of the database: the key that signs it, and how far this machine has seen it.

Who owns the database can rewrite a chain of hashes from end to end. He cannot sign it, and cannot make a machine forget
where the chain ended when it last looked.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import stat
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from ..errors import CloisterError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from pymongo import MongoClient
    from pymongo.database import Database

KEY_FILE = "signing-key.pem"
PUBLIC_FILE = "signing-key.pub"
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_servers: WeakKeyDictionary[MongoClient[Any], str] = WeakKeyDictionary()
_LIMIT_BYTES = 64 * 1024**2  # of any file that is read here; a seal is 400 bytes


class UnsafeEvidence(CloisterError, PermissionError):
    """The key or what stands beside it could have been read or changed by others."""

    def __init__(self, path: Path, reason: str, advice: str) -> None:
        super().__init__(f"{path} speaks for the audit log, but {reason}. {advice}")


class DamagedEvidence(CloisterError, ValueError):
    """A file beside the key is not what was written there."""

    def __init__(self, path: Path, reason: object) -> None:
        super().__init__(
            f"{path} cannot be read: {reason}. Take it from a backup; if there is none, move it away and keep it, "
            "since it may have been changed to hide something."
        )


@dataclass(frozen=True)
class Sighting:
    """The end of the chain as this machine has seen it.

    Attributes:
        first: the hash of entry 1, which tells this chain from one that took its place.
    """

    place: str
    first: str
    seq: int
    hash: str
    at: str


@dataclass(frozen=True)
class EvidenceFolder:
    """A folder of this account alone. Processes of one machine share it."""

    path: Path

    def signing_key(self) -> Ed25519PrivateKey:
        """The key, made when first asked for.

        Raises:
            UnsafeEvidence: others can read it.
        """
        from cryptography.hazmat.primitives.serialization import load_pem_private_key

        self._make()
        path = self.path / KEY_FILE
        if not path.exists():
            self._make_key(path)
        return load_pem_private_key(self._read(path), password=None)  # type: ignore[return-value]

    def public_keys(self) -> tuple[bytes, ...]:
        """The raw bytes of the keys that this machine trusts: its own, if it has one."""
        if not (self.path / KEY_FILE).exists():
            return ()
        return (self.signing_key().public_key().public_bytes_raw(),)

    def sighting(self, place: str) -> Sighting | None:
        """How far this machine has seen the log of `place`; None if it never has."""
        path = self._sighting_path(place)
        if not path.exists():
            return None
        try:
            return Sighting(**json.loads(self._read(path)))
        except (ValueError, TypeError) as error:
            raise DamagedEvidence(path, error) from error

    def remember(self, sighting: Sighting) -> None:
        """Note the end of the chain, unless another process has seen more of it."""
        self._make()
        with self._locked():
            known = self.sighting(sighting.place)
            if known is None or (known.first == sighting.first and known.seq < sighting.seq):
                self._replace(self._sighting_path(sighting.place), json.dumps(asdict(sighting)).encode())

    def seals(self, place: str) -> tuple[dict[str, Any], ...]:
        """The seals that were set on this machine."""
        path = self._seals_path(place)
        if not path.exists():
            return ()
        try:
            return tuple(json.loads(line) for line in self._read(path).splitlines())
        except ValueError as error:
            raise DamagedEvidence(path, error) from error

    def keep_seal(self, place: str, seal: dict[str, Any]) -> None:
        self._make()
        path = self._seals_path(place)
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        with self._locked(), os.fdopen(os.open(path, flags, 0o600), "wb") as file:
            file.write(json.dumps(seal, sort_keys=True).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())

    def sighting_path(self, place: str) -> Path:
        return self._sighting_path(place)

    def _sighting_path(self, place: str) -> Path:
        return self.path / f"{_short(place)}.seen.json"

    def _seals_path(self, place: str) -> Path:
        return self.path / f"{_short(place)}.seals.jsonl"

    def _make(self) -> None:
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = self.path.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & _OTHERS:
            reason = "it is not a folder of this account that is closed to others"
            raise UnsafeEvidence(self.path, reason, f"Run: chmod 700 {self.path}")

    def _make_key(self, path: Path) -> None:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
        from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

        key = Ed25519PrivateKey.generate()
        private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        with self._locked():
            if not path.exists():
                self._replace(self.path / PUBLIC_FILE, public)
                self._replace(path, private)

    def _read(self, path: Path) -> bytes:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        with os.fdopen(descriptor, "rb") as file:
            found = os.fstat(file.fileno())
            if not stat.S_ISREG(found.st_mode) or found.st_uid != os.getuid():
                raise UnsafeEvidence(path, "it is not a file of this account", "Take it from a backup.")
            if found.st_mode & _OTHERS:
                advice = f"Run: chmod 600 {path} - and make a new key if somebody may have used that."
                raise UnsafeEvidence(path, "others on this machine can open it", advice)
            return file.read(_LIMIT_BYTES)

    def _replace(self, path: Path, content: bytes) -> None:
        """The new content or the old one, never a part, whenever the power goes."""
        partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
        partial.unlink(missing_ok=True)
        with os.fdopen(os.open(partial, _NEW_FILE, 0o600), "wb") as file:
            file.write(content)
        partial.replace(path)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        descriptor = os.open(self.path / "lock", flags, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


def place_of(database: Database[dict[str, Any]]) -> str:
    """Which database, on which servers: what a machine knows a log by, since the log itself could be replaced."""
    client = database.client
    if client not in _servers:
        client.admin.command("ping")  # before its first answer a client knows only the servers that the URI names
        known = client.topology_description.server_descriptions()
        _servers[client] = ",".join(sorted(f"{host}:{port}" for host, port in known))
    return f"{_servers[client]}/{database.name}"


def key_name(public: bytes) -> str:
    """A short name for a public key: the start of its SHA-256."""
    return hashlib.sha256(public).hexdigest()[:16]


def _short(place: str) -> str:
    return hashlib.sha256(place.encode()).hexdigest()[:16]
