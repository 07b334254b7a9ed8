"""Stored records whose encrypted parts are opened where this process has the key, and marked where it has not."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from .data_keys import id_bytes
from .field_cipher import DamagedValue, is_sealed

if TYPE_CHECKING:
    from pymongo.database import Database

    from .keyring import Keyring

OURS = "cloister"
_OUR_FILES = ("lost_artifacts", "sources", "resources")
# Values that are stored as a list whose one entry is encrypted: the whole list, or text.
_WRAPPED_LISTS = (("fail_trace",), (OURS, "argv"), (OURS, "queue", "entry", "words"))


class LockedText(str):
    """What stands where something is encrypted and cannot be opened here. `reason` says why, in a sentence."""

    reason: str

    __slots__ = ("reason",)

    def __new__(cls, reason: str) -> LockedText:
        text = super().__new__(cls, "encrypted")
        text.reason = reason
        return text

    def __getnewargs__(self) -> tuple[str]:
        return (self.reason,)


def has_sealed_parts(document: Mapping[str, Any]) -> bool:
    """Whether a run's document says that parts of it are encrypted."""
    ours = document.get(OURS)
    return isinstance(ours, Mapping) and isinstance(ours.get("encryption"), Mapping)


def opened_document(
    database: Database[dict[str, Any]], document: dict[str, Any], *, keeps_locked: bool = False
) -> dict[str, Any]:
    """A run's document with what it has encrypted in the clear; the same one where it has nothing.

    What cannot be opened becomes `LockedText`, and `cloister.encryption.locked` says why.

    Args:
        keeps_locked: leave what cannot be opened as it is stored, for whoever stores the document again.
    """
    if not has_sealed_parts(document):
        return document
    from .keyring import keyring_of

    opener = _Opener(keyring_of(database), str(document[OURS].get("uid") or ""), keeps_locked)
    opened: dict[str, Any] = opener.open(document)
    opener.check(opened[OURS]["encryption"].get("key"))
    for path in _WRAPPED_LISTS:
        _unwrap_list(opened, path)
    digests: dict[Any, Any] = {}
    for listed in (opened.get("artifacts"), *(opened[OURS].get(name) for name in _OUR_FILES)):
        for entry in listed if isinstance(listed, list) else ():
            if isinstance(entry, dict):
                stored_md5 = entry.get("md5")
                _tell_of_file(entry)
                digests[stored_md5] = entry.get("md5")
    _tell_of_pairs(opened.get("resources"), digests)
    if opener.problem:
        opened[OURS]["encryption"]["locked"] = opener.problem
    return opened


def why_document_locked(document: Mapping[str, Any]) -> str:
    """Why parts of an opened document are locked; "" where none is."""
    return str(document[OURS]["encryption"].get("locked") or "") if has_sealed_parts(document) else ""


def is_withheld(document: Mapping[str, Any]) -> bool:
    """Whether what should be encrypted of a run was not recorded, for want of a key."""
    return has_sealed_parts(document) and document[OURS]["encryption"].get("withheld") is True


class _Opener:
    """Walks through a document. Attribute `problem`: why something is locked; the first reason that was met."""

    def __init__(self, keyring: Keyring, run_uid: str, keeps_locked: bool) -> None:
        self._keyring, self._run_uid, self._keeps_locked = keyring, run_uid, keeps_locked
        self.problem = ""

    def open(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {key: self.open(child) for key, child in value.items()}
        if isinstance(value, list):
            return [self.open(child) for child in value]
        return self._opened(value) if is_sealed(value) else value

    def check(self, key_id: Any) -> None:
        """Note whether a key can be had, of a run of which only console or files are encrypted."""
        from .keyring import LOCKS, why_locked

        if isinstance(key_id, (bytes, uuid.UUID)):
            try:
                self._keyring.find(id_bytes(key_id))
            except LOCKS as error:
                self.problem = self.problem or why_locked(error)

    def _opened(self, sealed: bytes) -> Any:
        from .keyring import LOCKS, why_locked

        try:
            return self._keyring.open_value(sealed, self._run_uid)
        except (*LOCKS, DamagedValue) as error:
            damaged = isinstance(error, DamagedValue)
            reason = "It is not what its key has written: somebody has changed it." if damaged else why_locked(error)
            self.problem = self.problem or reason
            return sealed if self._keeps_locked else LockedText(reason)


def _unwrap_list(document: dict[str, Any], path: tuple[str, ...]) -> None:
    """`[[...]]` as `[...]`."""
    place: Any = document
    for name in path[:-1]:
        place = place.get(name) if isinstance(place, dict) else None
    value = place.get(path[-1]) if isinstance(place, dict) else None
    if isinstance(value, list) and len(value) == 1 and not isinstance(value[0], bytes):
        inner = value[0]
        place[path[-1]] = inner if isinstance(inner, list) else [inner]


def _tell_of_file(entry: dict[str, Any]) -> None:
    """A file's entry tells of the file; without the key only of the stored bytes, whose digest is not the file's."""
    from .run_sealing import SEALED

    known = entry.pop(SEALED, None)
    if isinstance(known, dict):
        entry.update(known)
    elif known is not None:
        entry.update(sha256=None, md5=None)
        entry["size"] = _plain_size(entry.get("size"))
    metadata = entry.get("metadata")
    if isinstance(metadata, dict) and set(metadata) == {SEALED} and isinstance(metadata[SEALED], dict):
        entry["metadata"] = metadata[SEALED]


def _tell_of_pairs(pairs: Any, digests: Mapping[Any, Any]) -> None:
    """Sacred's list of resources has the digests of the stored bytes."""
    for pair in pairs if isinstance(pairs, list) else ():
        if isinstance(pair, list) and len(pair) == 2 and isinstance(pair[1], str):
            pair[1] = digests.get(pair[1], pair[1]) or ""


def _plain_size(size: Any) -> int | None:
    from .sealed_files import plain_size

    try:
        return plain_size(int(size))
    except (TypeError, ValueError):
        return None


def open_piece(database: Database[dict[str, Any]], document: Mapping[str, Any]) -> Mapping[str, Any]:
    """A console piece with its text; where it cannot be opened, with a line that says so and `locked`."""
    from .keyring import LOCKS, keyring_of, why_locked
    from .run_sealing import SEALED

    keyring = keyring_of(database)
    try:
        key, uid = document["key"], bytes(document["_id"])[:16]
        stream, parts = str(document.get("stream")), document[SEALED]
        return {**document, "text": "".join(keyring.open_text(id_bytes(key), uid, stream, part) for part in parts)}
    except (*LOCKS, DamagedValue, TypeError, KeyError) as error:
        lines = document.get("lines")
        amount = f"{lines:,} lines" if isinstance(lines, int) and lines != 1 else "1 line"
        return {**document, "text": f"<{amount}, encrypted>\n", "locked": why_locked(error)}
