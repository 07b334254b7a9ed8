"""Pseudonymising a person in the audit log: the chain stays whole, and says that it was done."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ..store_connection import lenient
from .entry import AuditEntry, NotAnEntry, commit, from_document, to_document
from .log import record_entry
from .pseudonym_records import PSEUDONYMISED, signed_listing

if TYPE_CHECKING:
    from pymongo.database import Database

    from .evidence_folder import EvidenceFolder

_AT_ONCE = 500  # entries that one listing names, which makes it 50 kB


def pseudonymise(
    database: Database[dict[str, Any]], folder: EvidenceFolder, name: str, pseudonym: str, *, actor: str
) -> int:
    """Put `pseudonym` in the place of a person's name wherever the log has it; how many entries were changed.

    Addresses of what they did themselves are removed. What stays is when which kind of act was done. An entry signed
    by this machine's key is appended first and lists what is changed, so that `verify` tells this from tampering. Cut
    short anywhere, it is completed by doing it again.
    """
    count = 0
    waiting: list[AuditEntry] = []
    for entry in _entries_with(database, name):
        waiting.append(_without(entry, name, pseudonym))
        if len(waiting) == _AT_ONCE:
            count += _store(database, folder, pseudonym, waiting, actor)
            waiting = []
    return count + _store(database, folder, pseudonym, waiting, actor)


def find_entries_of(database: Database[dict[str, Any]], name: str) -> Iterator[AuditEntry]:
    """Every entry that names this person: what is exported to them."""
    return _entries_with(database, name)


def _entries_with(database: Database[dict[str, Any]], name: str) -> Iterator[AuditEntry]:
    pattern = _pattern(name)
    for document in lenient(database)["audit"].find(sort=[("_id", 1)]):
        try:
            entry = from_document(document)
        except NotAnEntry:  # `verify` tells of it
            continue
        if entry.action != PSEUDONYMISED and any(pattern.search(text) for text in _texts(entry)):
            yield entry


def _without(entry: AuditEntry, name: str, pseudonym: str) -> AuditEntry:
    pattern = _pattern(name)

    def put(_found: re.Match[str]) -> str:
        return pseudonym  # a function, so that no backslash in it means anything

    is_own = pattern.search(entry.actor) is not None
    return replace(
        entry,
        actor=pattern.sub(put, entry.actor),
        target=pattern.sub(put, entry.target),
        details=_replaced(entry.details, lambda text: pattern.sub(put, text)),
        address="" if is_own else entry.address,
        salt="",
    )


def _store(
    database: Database[dict[str, Any]], folder: EvidenceFolder, pseudonym: str, entries: list[AuditEntry], actor: str
) -> int:
    if not entries:
        return 0
    listing = signed_listing(folder, pseudonym, {entry.seq: commit(entry) for entry in entries})
    record_entry(database, actor=actor, action=PSEUDONYMISED, target=pseudonym, details=listing)
    for entry in entries:
        database["audit"].replace_one({"_id": entry.seq}, to_document(entry))
    return len(entries)


def _pattern(name: str) -> re.Pattern[str]:
    """The name as a word of its own, however it is capitalised: "ana" is in "ana@host", not in "ana-lab"."""
    return re.compile(rf"(?<![\w.@-]){re.escape(name)}(?![\w-]|\.\w)", re.IGNORECASE)


def _texts(entry: AuditEntry) -> Iterator[str]:
    yield from (entry.actor, entry.target)
    yield from _leaves(entry.details)


def _leaves(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield str(key)
            yield from _leaves(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _leaves(inner)
    elif isinstance(value, str):
        yield value


def _replaced(value: Any, put: Callable[[str], str]) -> Any:
    if isinstance(value, Mapping):
        return {put(str(key)): _replaced(inner, put) for key, inner in value.items()}
    if isinstance(value, list):
        return [_replaced(inner, put) for inner in value]
    return put(value) if isinstance(value, str) else value
