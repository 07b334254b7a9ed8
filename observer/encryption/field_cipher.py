"""Single values of a run's document: encrypted by MongoDB's own library, as `ClientEncryption` does it.

PyMongo's class asks a database for each key; a training has its keys before the database answers. So this drives the
engine under that class, libmongocrypt, with the keys in memory. What it writes, any driver's ClientEncryption reads.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from .data_keys import DataKey
from .key_providers import EncryptionMissing
from .local_wrapping import MASTER_BYTES, wrap_key

if TYPE_CHECKING:
    from bson import Binary

ALGORITHM = "AEAD_AES_256_CBC_HMAC_SHA_512-Random"
SUBTYPE = 6
_KEY_BYTES = 16


class DamagedValue(ValueError):
    """An encrypted value is not what its key has written."""


class FieldCipher:
    """Encrypts and decrypts BSON values with the data keys that it was given. Thread-safe, and whole after a fork."""

    def __init__(self) -> None:
        self._keys: dict[bytes, DataKey] = {}
        self._engine: _Engine | None = None

    def add(self, key: DataKey) -> None:
        self._keys[key.id] = key

    def prepare(self) -> None:
        """Load the library now.

        Raises:
            EncryptionMissing: it is not installed.
        """
        for key_id in self._keys:
            self._ready(key_id)

    def encrypt(self, key_id: bytes, value: Any, run_uid: str = "") -> Binary:
        """`value`, anything that BSON holds, as a Binary of subtype 6 that shows of it no more than its length.

        Args:
            run_uid: of the run that it belongs to: it opens for that alone.
        """
        from bson import decode, encode

        # In a document of its own: MongoDB encrypts no null, and would leave the value's type readable.
        plain = encode({"v": {"v": value, "run": run_uid}})
        engine = self._ready(key_id)
        sealed: Binary = decode(engine.encrypter.encrypt(plain, ALGORITHM, key_id=key_id))["v"]
        return sealed

    def decrypt(self, sealed: bytes, run_uid: str = "") -> Any:
        """The value that was encrypted.

        Raises:
            KeyError: its key was not added.
            DamagedValue: it was changed, or is another run's.
        """
        from bson import Binary, CodecOptions, decode, encode
        from bson.codec_options import DatetimeConversion

        engine = self._ready(key_of(sealed))
        try:
            opened = engine.encrypter.decrypt(encode({"v": Binary(bytes(sealed), SUBTYPE)}))
        except engine.failure as error:
            raise DamagedValue(str(error)) from error
        options: CodecOptions[dict[str, Any]] = CodecOptions(
            tz_aware=True, datetime_conversion=DatetimeConversion.DATETIME_AUTO
        )
        found = decode(opened, options)["v"]
        if found.get("run") != run_uid:
            raise DamagedValue("it was taken from another run")
        return found["v"]

    def _ready(self, key_id: bytes) -> _Engine:
        # One for each process: a fork may have copied the library's locks while another thread held them.
        engine = self._engine
        if engine is None or engine.pid != os.getpid():
            engine = self._engine = _Engine()
        engine.know(self._keys[key_id])
        return engine


class _Engine:
    """libmongocrypt's explicit encryption. Its master key lives as long as it does, and wraps keys for it alone."""

    def __init__(self) -> None:
        try:
            from pymongocrypt.errors import MongoCryptError
            from pymongocrypt.mongocrypt import MongoCryptOptions
            from pymongocrypt.synchronous.explicit_encrypter import ExplicitEncrypter
        except ImportError as error:
            raise EncryptionMissing("pymongocrypt") from error
        self.pid = os.getpid()
        self.failure = MongoCryptError
        self._master_key = os.urandom(MASTER_BYTES)
        self._documents: dict[bytes, bytes] = {}
        options = MongoCryptOptions({"local": {"key": self._master_key}})
        self.encrypter = ExplicitEncrypter(_make_callbacks(self._fetch), options)

    def know(self, key: DataKey) -> None:
        if key.id in self._documents:
            return
        from bson import Binary, encode

        now = datetime.now(timezone.utc)
        document = {"_id": Binary(key.id, 4), "keyMaterial": wrap_key(key.secret, self._master_key)}
        dates = {"creationDate": now, "updateDate": now}
        self._documents[key.id] = encode({**document, **dates, "status": 0, "masterKey": {"provider": "local"}})

    def _fetch(self, wanted: bytes) -> Iterator[bytes]:
        from bson import decode

        conditions = decode(wanted).get("$or") or []
        ids = {bytes(each) for condition in conditions for each in (condition.get("_id") or {}).get("$in") or ()}
        yield from (document for key_id, document in list(self._documents.items()) if key_id in ids)


def key_of(sealed: bytes) -> bytes:
    """Which data key has encrypted a value."""
    return bytes(sealed[1 : 1 + _KEY_BYTES])


def is_sealed(value: object) -> bool:
    """Whether a stored value is an encrypted one."""
    return isinstance(value, bytes) and getattr(value, "subtype", None) == SUBTYPE and len(value) > 1 + _KEY_BYTES


def _make_callbacks(fetch: Callable[[bytes], Iterator[bytes]]) -> Any:
    """What libmongocrypt asks for: keys, from memory. It never gets to a database or the network."""
    from bson import encode
    from pymongocrypt.synchronous.state_machine import MongoCryptCallback

    class Callbacks(MongoCryptCallback):  # type: ignore[misc]  # the library has no types
        def fetch_keys(self, filter: Any) -> Iterator[bytes]:  # noqa: A002 - the library's name
            yield from fetch(bytes(filter))

        def insert_data_key(self, data_key: Any) -> Any:
            raise NotImplementedError("data keys are made by us")

        def bson_encode(self, doc: Any) -> bytes:
            return encode(doc)

        def kms_request(self, kms_context: Any) -> None:
            raise NotImplementedError("keys are wrapped by our providers, not over the network by the library")

        def collection_info(self, database: Any, filter: Any) -> Any:  # noqa: A002 - the library's name
            raise NotImplementedError("nothing is encrypted by schema")

        def mark_command(self, database: Any, cmd: Any) -> Any:
            raise NotImplementedError("nothing is encrypted by schema")

        def close(self) -> None:
            return None

    return Callbacks()
