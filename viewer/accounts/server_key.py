"""The viewer's own key: what the database holds of second factors is of no use to whoever has a copy of it."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import secrets
import stat
from contextlib import suppress
from pathlib import Path

from ...observer.errors import CloisterError

VARIABLE = "CLOISTER_SERVER_KEY_FILE"
NAME = "viewer.key"
KEY_BYTES = 32
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW


class BadServerKey(CloisterError, OSError):
    """The viewer's key cannot be used."""

    def __init__(self, path: Path, reason: object) -> None:
        super().__init__(
            f"The viewer's key {path} cannot be used: {reason}. Restore it, or delete it to have a new one made; "
            "people with a second factor then need 'cloister user reset-second-factor NAME'. Another place is set by "
            f"{VARIABLE}."
        )


class SealBroken(CloisterError, ValueError):
    """Something was sealed with another key than this viewer has."""

    def __init__(self) -> None:
        super().__init__(
            "This second factor was set up under another key than this viewer has. Start the viewer with the file "
            f"{NAME} of before ({VARIABLE} names it), or have an admin run 'cloister user reset-second-factor NAME'."
        )


def load_server_key() -> bytes:
    """The key of this machine's viewers, made at the first call. Viewers on several machines need the same file.

    Raises:
        BadServerKey: it cannot be read, holds something else, or others may read it.
    """
    path = key_path()
    try:
        with suppress(FileExistsError):
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            _write_new(path)
        return _read(path)
    except OSError as error:
        if isinstance(error, CloisterError):
            raise
        raise BadServerKey(path, error.strerror or error) from error


def key_path() -> Path:
    from ...observer.settings import load_settings

    named = os.environ.get(VARIABLE)
    return Path(named).expanduser() if named else load_settings().data_folder / NAME


def derived_key(purpose: str) -> bytes:
    """32 bytes for one purpose, from which the others cannot be told."""
    return hmac.new(load_server_key(), f"cloister {purpose}".encode(), hashlib.sha256).digest()


def seal(text: str, *, purpose: str) -> str:
    """`text` encrypted and bound to `purpose`, which has to be given again to open it."""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # only where there are second factors

    nonce = secrets.token_bytes(12)
    sealed = AESGCM(derived_key("seal")).encrypt(nonce, text.encode(), purpose.encode())
    return base64.b64encode(nonce + sealed).decode()


def unseal(sealed: str, *, purpose: str) -> str:
    """Raises `SealBroken` for what another key sealed, or for another purpose."""
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    data = base64.b64decode(sealed)
    try:
        return AESGCM(derived_key("seal")).decrypt(data[:12], data[12:], purpose.encode()).decode()
    except (InvalidTag, ValueError):
        raise SealBroken from None


def _write_new(path: Path) -> None:
    """The whole key at once, or none: another viewer that starts at the same moment never reads half of it."""
    partial = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(partial, _NEW_FILE, 0o600)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_hex(KEY_BYTES) + "\n")
            file.flush()
            os.fsync(file.fileno())
        os.link(partial, path)  # refuses to replace one that is there
    finally:
        partial.unlink()


def _read(path: Path) -> bytes:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    with os.fdopen(descriptor) as file:
        # A file that was named may be a container's secret, which lies as its host has it.
        if VARIABLE not in os.environ and stat.S_IMODE(os.fstat(file.fileno()).st_mode) & 0o077:
            raise BadServerKey(path, "other accounts of this machine may read it (chmod 600 it)")
        text = file.read(1000).strip()
    try:
        key = bytes.fromhex(text)
    except ValueError:
        key = b""
    if len(key) != KEY_BYTES:
        raise BadServerKey(path, f"it does not hold {KEY_BYTES} bytes as hex digits")
    return key
