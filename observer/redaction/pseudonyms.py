"""Names of people and hosts as keyed hashes: the same each time, and told back only by who has the key."""

from __future__ import annotations

import base64
import hashlib
import hmac
import logging
import os
import re
from pathlib import Path

from ..errors import CloisterError

logger = logging.getLogger("cloister")

KEY_FILE = "pseudonym.key"
KEY_BYTES = 32
SHORTEST_KEY_BYTES = 16
_SHAPE = re.compile(r"(?:person|host)-[a-z2-7]{8}")


class UnusablePseudonymKey(CloisterError, OSError):
    """The policy names a file with the key of pseudonyms that cannot be used."""

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(
            f"{path} should hold the key of pseudonyms and cannot be used: {reason}. Make it with 'head -c 32 "
            "/dev/urandom' and let those read it who record."
        )


def is_pseudonym(name: str) -> bool:
    """Whether a name has the shape of what this module gives."""
    return _SHAPE.fullmatch(name) is not None


class Pseudonyms:
    """Gives a name its pseudonym: "person-k3x9w2pq", "host-7m2..."."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def of(self, kind: str, name: str) -> str:
        """The pseudonym of a "person" or a "host"; one that is a pseudonym already stays."""
        if is_pseudonym(name):
            return name
        digest = hmac.new(self._key, f"{kind}\0{name}".encode("utf-8", "surrogatepass"), hashlib.sha256).digest()
        return f"{kind}-{base64.b32encode(digest[:5]).decode().lower()}"


def load_pseudonyms(named: str, data_folder: Path) -> Pseudonyms:
    """With the key that the policy names, else with one of this account, which is made when first needed.

    Raises:
        UnusablePseudonymKey: the named file holds none.
        OSError: no key can be kept in the data folder.
    """
    if named:
        path = Path(named).expanduser()
        try:
            key = path.read_bytes()
        except OSError as error:
            raise UnusablePseudonymKey(path, error.strerror or str(error)) from error
        if len(key.strip()) < SHORTEST_KEY_BYTES:
            raise UnusablePseudonymKey(path, f"it has fewer than {SHORTEST_KEY_BYTES} bytes")
        return Pseudonyms(key)
    return Pseudonyms(_own_key(data_folder / KEY_FILE))


def _own_key(path: Path) -> bytes:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    unfinished = path.with_name(f"{path.name}.{os.urandom(4).hex()}")
    try:
        if not path.exists():
            descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(os.urandom(KEY_BYTES))
            try:
                os.link(unfinished, path)  # of two processes that make one, the first wins, and both use it
            except FileExistsError:
                pass
            finally:
                unfinished.unlink()
        return path.read_bytes()
    finally:
        unfinished.unlink(missing_ok=True)


def momentary_pseudonyms() -> Pseudonyms:
    """With a key that nobody keeps: where none can be read, names are not recorded for that."""
    return Pseudonyms(os.urandom(KEY_BYTES))
