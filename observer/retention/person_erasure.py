"""Erasing a person: from accounts, rights, runs, notes and the audit log; what remains says `person-1f3a9c20`.

The pseudonym is drawn by chance and nothing keeps whose it was. Cut off anywhere, the same command goes on with the
same pseudonym, which an open erasure holds until it is done. What is under legal hold stays as it is.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..errors import CloisterError
from ..mongo import stored_for_good
from ..run_record import RunId, read_run
from .errors import RunHeld
from .holds import held_projects
from .person_places import (
    IN_PLACES,
    OWN,
    PLACES,
    Person,
    Place,
    changed_fields,
    find_person,
    matching,
    own_runs,
    replacer,
)
from .purge import PurgeReport, purge_run
from .tombstones import TRASH, now
from .trash import is_running_here, move_to_trash

if TYPE_CHECKING:
    from pymongo.database import Database

    from ..audit.evidence_folder import EvidenceFolder

ERASURES = "erasures"  # {_id: name, pseudonym, at}: those that have begun and not ended
RUNS = ("runs", TRASH)
_LEFT_OUT = {"cloister.summary": 0, "cloister.system": 0, "cloister.journal": 0}


class StillRecording(CloisterError, RuntimeError):
    """A person is to be erased whose trainings go on, and write their name again."""

    def __init__(self, name: str, runs: list[RunId]) -> None:
        shown = ", ".join(map(str, runs[:10]))
        super().__init__(
            f"Trainings of {name!r} go on (run {shown}) and would record the name again. End them, or wait for their "
            "end, and erase the person then."
        )


class LastAdminStays(CloisterError, RuntimeError):
    """Nobody could manage the site any more, or everybody could."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"{name!r} is the only admin of this site. Make another one first: cloister user add NAME --admin."
        )


@dataclass
class Erasure:
    """What an erasure changed, or would change.

    Attributes:
        counts: documents by "collection.field", or what they are.
        purged: reports of runs that were deleted with the person.
        held: runs that a legal hold keeps as they are.
        unread_files: stored files of the person's runs; nobody has looked into them.
    """

    name: str
    pseudonym: str
    counts: dict[str, int] = field(default_factory=dict)
    purged: list[PurgeReport] = field(default_factory=list)
    held: list[RunId] = field(default_factory=list)
    unread_files: int = 0


def erase_person(
    database: Database[dict[str, Any]],
    name: str,
    *,
    by: str,
    folder: EvidenceFolder | None,
    also: tuple[str, ...] = (),
    delete_runs: bool = False,
    dry_run: bool = False,
) -> Erasure:
    """Take a person out of everything that is stored here.

    Args:
        folder: where this machine's key for the audit log lies; None leaves the log as it is.
        also: further names that stand for the person: login names, addresses.
        delete_runs: purge the person's runs instead of leaving them to the pseudonym.

    Raises:
        StillRecording: a training of theirs goes on.
        LastAdminStays: there would be no admin.
    """
    trusted = stored_for_good(database)
    person = find_person(trusted, name, also)
    _refuse_running(trusted, person)
    _refuse_last_admin(trusted, name)
    erasure = Erasure(name, "person-…" if dry_run else _pseudonym(trusted, person))
    erasure.held = _held_runs(trusted)
    if delete_runs:
        _delete_runs(trusted, person, erasure, by=by, dry_run=dry_run)
    replace = replacer(person, erasure.pseudonym)
    for collection in RUNS:
        _rewrite_runs(trusted, collection, person, replace, erasure, dry_run=dry_run)
    _rewrite_console(trusted, person, replace, erasure, dry_run=dry_run)
    for place in PLACES:
        _rewrite_place(trusted, place, person, erasure, dry_run=dry_run)
    _leave_projects(trusted, person, erasure, dry_run=dry_run)
    _rewrite_audit(trusted, person, folder, erasure, by=by, dry_run=dry_run)
    for collection, key in OWN:
        condition = {key: {"$eq": name}}
        _count(erasure, collection, trusted[collection].count_documents(condition))
        if not dry_run:
            trusted[collection].delete_many(condition)
    if not dry_run:
        trusted[ERASURES].delete_one({"_id": name})
    return erasure


def _pseudonym(database: Database[dict[str, Any]], person: Person) -> str:
    fresh = {"pseudonym": f"person-{secrets.token_hex(4)}", "at": now()}
    database[ERASURES].update_one({"_id": person.name}, {"$setOnInsert": fresh}, upsert=True)
    open_one = database[ERASURES].find_one({"_id": person.name}) or fresh
    return str(open_one["pseudonym"])


def _refuse_running(database: Database[dict[str, Any]], person: Person) -> None:
    moment = now()
    found = database["runs"].find({**own_runs(person), "status": "RUNNING"}, {"captured_out": 0})
    running = [run.id for run in map(read_run, found) if is_running_here(run, moment)]
    if running:
        raise StillRecording(person.name, running)


def _held_runs(database: Database[dict[str, Any]]) -> list[RunId]:
    """Runs under legal hold, by themselves or with their project."""
    projects = set(held_projects(database))
    held = []
    for collection in RUNS:
        shown = {"cloister.hold": 1, "cloister.project": 1, "experiment.name": 1, "cloister.owner": 1}
        for document in database[collection].find({}, shown):
            if (document.get("cloister") or {}).get("hold") or read_run(document).project in projects:
                held.append(document["_id"])
    return held


def _refuse_last_admin(database: Database[dict[str, Any]], name: str) -> None:
    """As long as there are accounts, one of them manages the site; without any, everybody sees everything."""
    account = database["users"].find_one({"_id": {"$eq": name}})
    if account is None:
        return
    others = {"_id": {"$ne": name}, "site": "admin", "disabled_at": None}
    if database["users"].find_one(others, {"_id": 1}) is None:
        raise LastAdminStays(name)


def _delete_runs(
    database: Database[dict[str, Any]], person: Person, erasure: Erasure, *, by: str, dry_run: bool
) -> None:
    for collection in RUNS:
        for document in list(database[collection].find(own_runs(person), {"_id": 1})):
            run_id = document["_id"]
            if run_id in erasure.held:
                continue
            _count(erasure, "runs purged", 1)
            if dry_run:
                continue
            try:
                if collection == "runs":
                    move_to_trash(database, run_id, by=by, trash_days=0, reason="erasure of a person")
                erasure.purged.append(purge_run(database, run_id, by=by))
            except RunHeld:  # in this moment
                erasure.held.append(run_id)


def _rewrite_runs(
    database: Database[dict[str, Any]],
    collection: str,
    person: Person,
    replace: Callable[[str], str],
    erasure: Erasure,
    *,
    dry_run: bool,
) -> None:
    """Texts of all runs, since notes of one name the author of another."""
    own = {each["_id"] for each in database[collection].find(own_runs(person), {"_id": 1})}
    for document in database[collection].find({}, _LEFT_OUT):
        is_own = document["_id"] in own
        if document["_id"] in erasure.held or (is_own and dry_run and "runs purged" in erasure.counts):
            continue
        changes = changed_fields(document, replace, but=IN_PLACES)
        if changes:
            _count(erasure, f"{collection} with texts", 1)
            if not dry_run:
                database[collection].update_one({"_id": document["_id"]}, {"$set": changes})
        if is_own:
            erasure.unread_files += len(read_run(document).artifacts) + len(read_run(document).sources)


def _rewrite_console(
    database: Database[dict[str, Any]],
    person: Person,
    replace: Callable[[str], str],
    erasure: Erasure,
    *,
    dry_run: bool,
) -> None:
    """What any run has printed; what is encrypted there can be read, and erased, with its key alone."""
    words = "|".join(map(re.escape, (person.name, *person.words)))
    condition = {"text": {"$regex": words, "$options": "i"}, "run_id": {"$nin": erasure.held}}
    for piece in database["console"].find(condition, {"text": 1}):
        fresh = replace(piece["text"])
        if fresh != piece["text"]:
            _count(erasure, "pieces of console", 1)
            if not dry_run:
                database["console"].update_one({"_id": piece["_id"]}, {"$set": {"text": fresh}})


def _rewrite_place(
    database: Database[dict[str, Any]], place: Place, person: Person, erasure: Erasure, *, dry_run: bool
) -> None:
    """A field that names the person and nothing else. Rights that they had go; what they did stays, under the
    pseudonym."""
    condition = {**matching(place, person), **({"_id": {"$nin": erasure.held}} if place.collection in RUNS else {})}
    _count(erasure, f"{place.collection}.{place.field}", database[place.collection].count_documents(condition))
    if dry_run:
        return
    if place.is_list:
        database[place.collection].update_many(condition, {"$pull": {place.field: {"$in": list(person.logins)}}})
    else:
        database[place.collection].update_many(condition, {"$set": {place.field: erasure.pseudonym}})


def _leave_projects(database: Database[dict[str, Any]], person: Person, erasure: Erasure, *, dry_run: bool) -> None:
    member = {"kind": "person", "name": {"$in": list(person.logins)}}
    condition = {"members": {"$elemMatch": member}}
    _count(erasure, "projects.members", database["projects"].count_documents(condition))
    if not dry_run:
        database["projects"].update_many(condition, {"$pull": {"members": member}})


def _rewrite_audit(
    database: Database[dict[str, Any]],
    person: Person,
    folder: EvidenceFolder | None,
    erasure: Erasure,
    *,
    by: str,
    dry_run: bool,
) -> None:
    """The log keeps what was done and when; who did it becomes the pseudonym, and the chain stays whole."""
    from ..audit.pseudonyms import find_entries_of, pseudonymise

    for word in (person.name, *person.words):
        if dry_run:
            _count(erasure, "audit entries", sum(1 for _ in find_entries_of(database, word)))
        elif folder is not None:
            _count(erasure, "audit entries", pseudonymise(database, folder, word, erasure.pseudonym, actor=by))


def _count(erasure: Erasure, what: str, amount: int) -> None:
    if amount:
        erasure.counts[what] = erasure.counts.get(what, 0) + amount
