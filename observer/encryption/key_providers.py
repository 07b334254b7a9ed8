"""Who holds a project's wrapping key: one interface, and the providers that there are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from ..errors import CloisterError

if TYPE_CHECKING:
    from ..settings import Settings

VAULT_PREFIX = "vault:"


class KeyUnavailable(CloisterError, LookupError):
    """A project's key cannot be had by this process."""

    def __init__(self, project: str, reason: str, advice: str) -> None:
        self.project, self.reason = project, reason
        super().__init__(f"The key of project {project!r} cannot be used: {reason}. {advice}")


class KeyProviderFailed(CloisterError, OSError):
    """Whoever holds the keys does not answer as it should."""

    def __init__(self, where: str, reason: str, advice: str) -> None:
        super().__init__(f"The keys in {where} cannot be used: {reason}. {advice}")


class EncryptionMissing(CloisterError, ImportError):
    """The libraries that encrypt are not installed."""

    def __init__(self, name: str) -> None:
        super().__init__(f"Encryption needs {name}, which is not installed here: pip install 'cloister[encryption]'")


@dataclass(frozen=True)
class WrappedSecret:
    """A secret under a project's wrapping key.

    Attributes:
        master: how the key that wraps it is named in the stored document.
        version: of that key.
    """

    material: bytes
    master: str
    version: int


@dataclass(frozen=True)
class KeyState:
    """What a provider says of a project's wrapping key. `versions` are those that still unwrap, oldest first."""

    project: str
    versions: tuple[int, ...]
    made_at: datetime | None

    @property
    def newest(self) -> int:
        return self.versions[-1]


class KeyProvider(Protocol):
    """Holds a wrapping key for each project. Thread-safe. All methods raise `KeyProviderFailed` where it fails.

    Attributes:
        kind: its row in `PROVIDERS`.
        where: which file, which server, for people.
    """

    kind: str
    where: str

    def find(self, project: str) -> KeyState | None:
        """What there is of a project's key; None where there is none for this process."""

    def make(self, project: str) -> KeyState:
        """Make a key for the project, if it has none."""

    def rotate(self, project: str) -> KeyState:
        """Make a new version, by which secrets are wrapped from now on; raises KeyUnavailable without a key."""

    def drop_old(self, project: str) -> KeyState:
        """Destroy all versions but the newest."""

    def forget(self, project: str) -> None:
        """Destroy the key and all its versions for good. Nothing happens where there is none."""

    def wrap(self, project: str, secret: bytes) -> WrappedSecret:
        """Wrap a secret by the newest version; raises KeyUnavailable without one."""

    def unwrap(self, project: str, material: bytes, master: str, version: int) -> bytes:
        """What was wrapped; raises KeyUnavailable where the version is gone or the material is not from it."""


def _open_file(where: str) -> KeyProvider:
    from .key_file import KeyFile

    return KeyFile(Path(where).expanduser())


def _open_vault(where: str) -> KeyProvider:
    from .vault_transit import VaultTransit

    return VaultTransit.at(where)


def _open_kmip(where: str) -> KeyProvider:
    from .kmip_server import KmipServer

    return KmipServer.at(where)


PROVIDERS: dict[str, Callable[[str], KeyProvider]] = {"file": _open_file, "vault": _open_vault, "kmip": _open_kmip}


def open_provider(settings: Settings) -> KeyProvider:
    """The provider of the setting `keys`: a key file's path, "vault:https://vault.lan:8200/transit", "kmip:kmip.lan".

    Nothing is read and nobody is asked yet.

    Raises:
        KeyProviderFailed: the setting names none.
    """
    given = settings.keys or str(default_key_file())
    kind, colon, where = given.partition(":")
    if colon and kind in PROVIDERS:
        return PROVIDERS[kind](where)
    return _open_file(given)


def default_key_file() -> Path:
    """Not in the data folder: whoever copies that, with an embedded database in it, must not copy the keys beside."""
    from platformdirs import user_config_path

    return user_config_path("cloister", appauthor=False) / "keys.json"
