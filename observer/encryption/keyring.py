"""The data keys of a database that this process can open, and whatever they encrypted, opened."""

from __future__ import annotations

import logging
import os
import threading
import time
import weakref
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..errors import CloisterError
from ..settings import load_settings
from .data_keys import COLLECTION, DataKey, KeyForgotten, id_bytes, is_key_document, read_facts, unwrapped
from .field_cipher import DamagedValue, FieldCipher, key_of
from .key_providers import EncryptionMissing, KeyProvider, KeyProviderFailed, KeyUnavailable, open_provider
from .sealed_text import TextCipher

if TYPE_CHECKING:
    from pymongo import MongoClient
    from pymongo.database import Database

logger = logging.getLogger("cloister")

FRESH_SECONDS = 2.0  # how long a key is used without asking whether it was forgotten
RETRY_SECONDS = 15.0  # how long a provider that failed is left alone: each request would wait for it
MOST_TEXTS = 64
MOST_VALUES, KEPT_VALUE_BYTES = 10_000, 1024
KEYS_VARIABLE = "CLOISTER_KEYS"
_ALL = b"all keys"
# Why a key cannot be had; any of these locks what it encrypted, and nothing else.
LOCKS = (KeyUnavailable, KeyForgotten, KeyProviderFailed, EncryptionMissing)


class Keyring:
    """Opens the data keys of one database, each once. Thread-safe.

    A key that was forgotten stops opening anything within `FRESH_SECONDS`, also one that is open already.
    """

    def __init__(self, database: Database[dict[str, Any]], provider: KeyProvider) -> None:
        # Weakly: keyrings are found by their connection, and must not keep it.
        self._client, self._name = weakref.ref(database.client), database.name
        self._provider = provider
        self._lock = threading.Lock()
        self._documents: dict[bytes, dict[str, Any]] = {}
        self._read_at = float("-inf")
        self._keys: dict[bytes, DataKey] = {}
        self._refused: dict[bytes, tuple[float, CloisterError]] = {}
        self._fields = FieldCipher()
        self._values: dict[tuple[bytes, str], Any] = {}  # a list shows the same ones again and again
        self._texts: dict[tuple[bytes, bytes], TextCipher] = {}

    @property
    def where(self) -> str:
        """Where its keys come from."""
        return self._provider.where

    def find(self, key_id: bytes) -> DataKey:
        """The data key of this id.

        Raises:
            KeyUnavailable, KeyForgotten, KeyProviderFailed, EncryptionMissing: it cannot be had.
        """
        with self._lock:
            document = self._document(key_id)
            facts = read_facts(document)
            if facts.is_forgotten:
                self._keys.pop(key_id, None)
                self._values.clear()
                raise KeyForgotten(facts.project, facts.forgotten_at)
            key = self._keys.get(key_id)
            if key is not None:
                return key
            for place in (key_id, _ALL):
                when, refusal = self._refused.get(place, (float("-inf"), None))
                if refusal is not None and time.monotonic() - when < RETRY_SECONDS:
                    raise refusal
            return self._unwrap(document)

    def open_value(self, sealed: bytes, run_uid: str) -> Any:
        """An encrypted value of a run's document.

        Raises:
            KeyUnavailable, KeyForgotten, KeyProviderFailed, EncryptionMissing: its key cannot be had.
            DamagedValue: it was changed.
        """
        self._fields.add(self.find(key_of(sealed)))  # first: what was forgotten opens no more, kept or not
        place = bytes(sealed), run_uid
        if place in self._values:
            return deepcopy(self._values[place])
        value = self._fields.decrypt(sealed, run_uid)
        if len(sealed) <= KEPT_VALUE_BYTES:
            if len(self._values) >= MOST_VALUES:
                self._values.clear()
            self._values[place] = value
            return deepcopy(value)
        return value

    def open_text(self, key_id: bytes, run_uid: bytes, stream: str, sealed: bytes) -> str:
        """A piece of a run's console; raises as `open_value`."""
        key = self.find(key_id)
        place = key_id, run_uid
        cipher = self._texts.get(place)
        if cipher is None:
            if len(self._texts) >= MOST_TEXTS:
                self._texts.clear()
            cipher = self._texts[place] = TextCipher(key, run_uid)
        return cipher.decrypt(stream, sealed)

    def _document(self, key_id: bytes) -> Mapping[str, Any]:
        if time.monotonic() - self._read_at > FRESH_SECONDS or key_id not in self._documents:
            self._documents = {id_bytes(each["_id"]): each for each in self._stored()}
            self._read_at = time.monotonic()
        document = self._documents.get(key_id)
        if document is None:
            raise KeyUnavailable("", "the database does not know it", "Restore its collection encryption_keys.")
        return document

    def _stored(self) -> list[dict[str, Any]]:
        client = self._client()
        assert client is not None, "whoever asks has read an encrypted record by this connection"
        found = client[self._name][COLLECTION].find({})
        return [document for document in found if is_key_document(document)]

    def _unwrap(self, document: Mapping[str, Any]) -> DataKey:
        key_id = id_bytes(document["_id"])
        try:
            key = self._keys[key_id] = unwrapped(document, self._provider)
        except LOCKS as error:
            # A provider that does not answer is not asked for the other keys either: each would wait for it.
            self._refused[_ALL if isinstance(error, KeyProviderFailed) else key_id] = time.monotonic(), error
            logger.info("A key of %s is not open here: %s", self._name, error)
            raise
        return key


def why_locked(error: Exception) -> str:
    """One of `LOCKS` in words for whoever may read the run; paths and addresses of keys are for who runs the viewer."""
    if isinstance(error, KeyUnavailable) and not error.project:
        return "Its key is not among those of the database."
    if isinstance(error, KeyUnavailable):
        return f"The key of project {error.project!r} is not here. 'cloister doctor' says more."
    if isinstance(error, KeyProviderFailed):
        return "Its key cannot be asked for at the moment. 'cloister doctor' says more."
    return str(error)


@dataclass
class _Known:
    """The keyring that was found last for a database, and when the settings were asked for it."""

    keyring: Keyring
    named: str | None  # by the environment
    asked_at: float


_known: weakref.WeakKeyDictionary[MongoClient[Any], dict[str, _Known]] = weakref.WeakKeyDictionary()
_lock = threading.Lock()


def keyring_of(database: Database[dict[str, Any]]) -> Keyring:
    """The keyring of a database and of the keys that the settings name: one for each connection."""
    with _lock:
        of_client = _known.setdefault(database.client, {})
        known, named = of_client.get(database.name), os.environ.get(KEYS_VARIABLE)
        # A list asks for each of its runs, and the settings take longer to read than a value to open.
        if known is not None and known.named == named and time.monotonic() - known.asked_at < FRESH_SECONDS:
            return known.keyring
        provider = open_provider(load_settings())
        if known is None or known.keyring.where != provider.where:
            known = _Known(Keyring(database, provider), named, 0.0)
        known.named, known.asked_at = named, time.monotonic()
        of_client[database.name] = known
        return known.keyring


__all__ = ["LOCKS", "DamagedValue", "Keyring", "keyring_of", "why_locked"]
