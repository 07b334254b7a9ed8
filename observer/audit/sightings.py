"""Watching the end of the chain while appending: on this machine, in a file that the database's owner cannot reach."""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING, Any

from pymongo.errors import PyMongoError

from ..errors import CloisterError
from .evidence_folder import EvidenceFolder, Sighting, place_of
from .seals import seal_if_due

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pymongo.database import Database

    from .entry import AuditEntry

logger = logging.getLogger("cloister")

_LOOK_SECONDS = 60  # between two looks whether a day's seal is due
_folder: EvidenceFolder | None = None  # one for a process: whoever serves or commands says where
_next_look = 0.0
_told: set[str] = set()
_sealing = threading.Lock()


def keep_evidence_in(path: Path | None) -> EvidenceFolder | None:
    """From now on this process notes, beside each entry, how far the log goes, and seals it daily; None: no longer."""
    global _folder, _next_look
    _folder = None if path is None else EvidenceFolder(path)
    _next_look = 0.0
    return _folder


def evidence_folder() -> EvidenceFolder | None:
    return _folder


def begin(database: Database[dict[str, Any]]) -> Sighting | None:
    """What this machine has seen of the log, read before the log's end is."""
    seal_daily(database)
    if _folder is None:
        return None
    try:
        return _folder.sighting(place_of(database))
    except (OSError, CloisterError) as error:
        _tell_once(f"The audit log is not watched from this machine: {error}")
        return None


def end(database: Database[dict[str, Any]], known: Sighting | None, entry: AuditEntry) -> None:
    """Note that the log goes as far as `entry`, if it is still the log that was seen before."""
    if _folder is None:
        return
    entries = database["audit"]
    if known is None:
        first = entry if entry.seq == 1 else None
        first_hash = first.hash if first else (entries.find_one({"_id": 1}, {"hash": 1}) or {}).get("hash", "")
    else:
        first_hash = known.first
        if not _is_continued(database, known, entry):
            _tell_once(
                f"The audit log in {database.name} no longer has entry {known.seq} as this machine saw it at "
                f"{known.at}: it was cut or rewritten. 'cloister audit verify' says where."
            )
            return
    at = entry.at.isoformat(timespec="seconds")
    try:
        _folder.remember(Sighting(place_of(database), first_hash, entry.seq, entry.hash, at))
    except (OSError, CloisterError) as error:
        _tell_once(f"The audit log is not watched from this machine: {error}")


def _is_continued(database: Database[dict[str, Any]], known: Sighting, entry: AuditEntry) -> bool:
    """Whether the chain that `entry` ends has what was seen."""
    if known.seq == entry.seq - 1:
        return known.hash == entry.previous
    if known.seq >= entry.seq:
        return False  # it was read before we appended, so the new entry stands where an older one was
    found = database["audit"].find_one({"_id": known.seq}, {"hash": 1})
    return found is not None and found.get("hash") == known.hash


def seal_daily(database: Database[dict[str, Any]]) -> None:
    """Sign the end of the chain if today's seal is due; asked often, it looks once a minute. Never raises."""
    global _next_look
    if _folder is None or time.monotonic() < _next_look or not _sealing.acquire(blocking=False):
        return
    try:
        _next_look = time.monotonic() + _LOOK_SECONDS
        seal_if_due(database, _folder)
    except (OSError, CloisterError, PyMongoError) as error:
        _tell_once(f"The audit log could not be signed: {error}")
    except ModuleNotFoundError:
        _tell_once("The audit log is not signed: the package 'cryptography' is missing (cloister[viewer] brings it).")
    finally:
        _sealing.release()


def seal_every_day(find_database: Callable[[], Database[dict[str, Any]]]) -> None:
    """Look now and then, as long as this process lives, whether the day's seal is due, also while nobody asks."""

    def look() -> None:
        while True:
            try:
                seal_daily(find_database())
            except (CloisterError, PyMongoError) as error:  # no database just now
                logger.debug("The audit log is sealed later: %s", error)
            time.sleep(_LOOK_SECONDS)

    threading.Thread(target=look, name="cloister-audit-seals", daemon=True).start()


def _tell_once(text: str) -> None:
    if text not in _told:
        _told.add(text)
        logger.error("%s", text)
