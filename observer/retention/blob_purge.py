"""Deleting stored files that no run names any more, while others may be storing the same bytes.

A file is marked in `fs.files` first, then all runs and claims are looked through, then it is deleted if the mark is
still there. Whoever wants to name a stored file notes that before it looks for the file (a run's `cloister.uploads`, or
a claim), and takes the mark back when it finds one. So whichever of the two comes first, the other one sees it: either
the search finds the claim, or the claimant finds the mark, or the file is gone and is stored once more.

The chunks are deleted by their own ids, listed before the file's document goes: whoever stores the same bytes again
uses the same file id, and new chunks. It waits for us behind the mark in `uploads`, or finishes our work itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from ..blob_upload import UPLOADS
from ..mongo import stored_for_good
from .file_claims import PURGE_MARK, claimed_digests
from .named_files import NamedFiles, digests_of, still_named
from .purge_progress import Tell, tell_nobody
from .tombstones import now

if TYPE_CHECKING:
    from bson import ObjectId
    from pymongo.database import Database

# "gone": document and chunks are deleted, and none was found afterwards. "shared": another run names it. "in use":
# somebody is about to name it. "stored again": it was gone, and another run has stored the same bytes since.
Outcome = Literal["gone", "shared", "in use", "stored again"]
CHUNKS_AT_ONCE = 1_000
FILES_AT_ONCE = 200


@dataclass(frozen=True)
class PurgedFile:
    """What became of one file. `chunks` is how many it had, `left_chunks` how many were found afterwards."""

    file_id: Any
    sha256: str
    size: int
    chunks: int
    outcome: Outcome
    left_chunks: int

    def as_document(self) -> dict[str, Any]:
        return {
            "file_id": self.file_id,
            "sha256": self.sha256,
            "size": self.size,
            "chunks": self.chunks,
            "outcome": self.outcome,
            "left_chunks": self.left_chunks,
        }


def stored_files(database: Database[dict[str, Any]], named: NamedFiles) -> list[dict[str, Any]]:
    """The documents of those files that are stored; of one of which nothing but chunks is left, what is known of it."""
    found: dict[Any, dict[str, Any]] = {}
    for part in _parts(list(named.ids)):
        found.update((file["_id"], file) for file in database["fs.files"].find({"_id": {"$in": part}}))
    for part in _parts(list(named.digests)):
        found.update((file["_id"], file) for file in database["fs.files"].find({"cloister.sha256": {"$in": part}}))
    # A purge that was cut off after the document went, or an upload that never ended.
    left = {file_id: named.known.get(file_id) for file_id in named.ids if file_id not in found}
    left.update((_file_id(digest), digest) for digest in named.digests if _file_id(digest) not in found)
    for part in _parts(list(left)):
        for file_id in database["fs.chunks"].distinct("files_id", {"files_id": {"$in": part}}):
            digest = left.get(file_id)
            found[file_id] = {"_id": file_id, **({"cloister": {"sha256": digest}} if digest else {})}
    return list(found.values())


def purge_files(
    database: Database[dict[str, Any]],
    files: Sequence[dict[str, Any]],
    *,
    but: Sequence[tuple[str, Any]] = (),
    ignored_claims: Sequence[str] = (),
    tell: Tell = tell_nobody,
) -> list[PurgedFile]:
    """Delete those of `files` that no run names and nobody is about to name.

    Args:
        files: their documents of `fs.files`, as `stored_files` gives them.
        but: collections and ids of documents whose names do not count.
        ignored_claims: uids of runs whose claims do not count, since they are deleted.
        tell: told how many of the files are decided.
    """
    from bson import ObjectId

    trusted = stored_for_good(database)
    token = ObjectId()
    _mark(trusted, files, token)
    claims = claimed_digests(database, ignored_claims)
    claimed = {file["_id"] for file in files if claims is None or claims.intersection(digests_of(file))}
    shared = still_named(database, files, but=but)
    _unmark(trusted, [file for file in files if file["_id"] in claimed | shared], token)
    kept = [file for file in files if file["_id"] in claimed | shared]
    chunks = count_chunks(database, [file["_id"] for file in kept])
    results = [
        _result(file, chunks.get(file["_id"], 0), "shared" if file["_id"] in shared else "in use", left=None)
        for file in kept
    ]
    free = [file for file in files if file["_id"] not in claimed | shared]
    for start in range(0, len(free), FILES_AT_ONCE):
        tell(len(results), len(files))
        results += _delete(trusted, free[start : start + FILES_AT_ONCE], token)
    tell(len(results), len(files))
    return results


def count_chunks(database: Database[dict[str, Any]], file_ids: Sequence[Any]) -> dict[Any, int]:
    """How many chunks each of these files has; from the index alone."""
    found: dict[Any, int] = {}
    for part in _parts(list(file_ids)):
        stages: list[dict[str, Any]] = [
            {"$match": {"files_id": {"$in": part}}},
            {"$group": {"_id": "$files_id", "count": {"$sum": 1}}},
        ]
        found.update((each["_id"], int(each["count"])) for each in database["fs.chunks"].aggregate(stages))
    return found


def is_whole(file: Mapping[str, Any]) -> bool:
    """Whether there is a document in `fs.files`, and not only chunks."""
    return "uploadDate" in file or "length" in file


def _mark(database: Database[dict[str, Any]], files: Sequence[Mapping[str, Any]], token: ObjectId) -> None:
    """Mark what is to go: a file in its document; chunks without one where uploads look, which wait then."""
    for part in _parts([file["_id"] for file in files if is_whole(file)]):
        database["fs.files"].update_many({"_id": {"$in": part}}, {"$set": {PURGE_MARK: {"token": token, "at": now()}}})
    orphans = [file["_id"] for file in files if not is_whole(file)]
    if orphans:
        _begin_sweep(database, orphans)


def _unmark(database: Database[dict[str, Any]], files: Sequence[Mapping[str, Any]], token: ObjectId) -> None:
    for part in _parts([file["_id"] for file in files if is_whole(file)]):
        marked = {"_id": {"$in": part}, f"{PURGE_MARK}.token": token}
        database["fs.files"].update_many(marked, {"$unset": {PURGE_MARK: ""}})
    for part in _parts([file["_id"] for file in files if not is_whole(file)]):
        database[UPLOADS].update_many({"_id": {"$in": part}, "sweeping": True}, {"$unset": {"sweeping": ""}})


def _begin_sweep(database: Database[dict[str, Any]], file_ids: Sequence[Any]) -> None:
    """Have uploads of the same bytes finish this deletion before they store any."""
    from pymongo import UpdateOne

    # An upload's mark that is there already is a leftover: of one that goes on, its run's claim is found.
    sweep = {"$set": {"sweeping": True, "at": now()}}
    database[UPLOADS].bulk_write([UpdateOne({"_id": each}, sweep, upsert=True) for each in file_ids], ordered=False)


def _delete(database: Database[dict[str, Any]], files: Sequence[dict[str, Any]], token: ObjectId) -> list[PurgedFile]:
    """Delete files that nobody names, and look at what is left of them."""
    ids = [file["_id"] for file in files]
    whole = [file["_id"] for file in files if is_whole(file)]
    if whole:
        _begin_sweep(database, whole)
    listed = _list_chunks(database, ids)
    database["fs.files"].delete_many({"_id": {"$in": whole}, f"{PURGE_MARK}.token": token})
    # Somebody took our mark back, or has stored the file once more already.
    spared = {each["_id"] for each in database["fs.files"].find({"_id": {"$in": ids}}, {"_id": 1})}
    # Of what has no document: whoever has swept it meanwhile may have stored chunks since.
    swept = {each["_id"] for each in database[UPLOADS].find({"_id": {"$in": ids}, "sweeping": True}, {"_id": 1})}
    ours = [each for each in ids if each not in spared and (each in swept or each in set(whole))]
    for part in _parts([chunk for each in ours for chunk in listed.get(each, ())]):
        database["fs.chunks"].delete_many({"_id": {"$in": part}})
    database[UPLOADS].delete_many({"_id": {"$in": ids}, "sweeping": True})
    return _look(database, files, spared, listed)


def _list_chunks(database: Database[dict[str, Any]], file_ids: Sequence[Any]) -> dict[Any, list[Any]]:
    found: dict[Any, list[Any]] = {}
    for chunk in database["fs.chunks"].find({"files_id": {"$in": list(file_ids)}}, {"files_id": 1}):
        found.setdefault(chunk["files_id"], []).append(chunk["_id"])
    return found


def _look(
    database: Database[dict[str, Any]],
    files: Sequence[dict[str, Any]],
    spared: set[Any],
    listed: Mapping[Any, list[Any]],
) -> list[PurgedFile]:
    """The proof: what is found now under each file's id, and of that under the ids of the chunks that it had."""
    present = _list_chunks(database, [file["_id"] for file in files])
    results = []
    for file in files:
        had, has = listed.get(file["_id"], []), present.get(file["_id"], [])
        left = len(set(had).intersection(has))
        outcome: Outcome = "in use" if file["_id"] in spared else "stored again" if len(has) > left else "gone"
        results.append(_result(file, len(had), outcome, left=None if outcome == "in use" else left))
    return results


def _parts(ids: list[Any]) -> Iterator[list[Any]]:
    return (ids[start : start + CHUNKS_AT_ONCE] for start in range(0, len(ids), CHUNKS_AT_ONCE))


def planned_file(file: Mapping[str, Any]) -> dict[str, Any]:
    """What a report says of a file before anything is done."""
    size = file.get("length")
    known = int(size) if isinstance(size, (int, float)) and 0 <= size < 2**63 else 0
    digest = next(iter(digests_of(file)), "")
    return {"file_id": file["_id"], "sha256": digest, "size": known, "chunks": 0, "outcome": "", "left_chunks": 0}


def _result(file: Mapping[str, Any], chunks: int, outcome: Outcome, *, left: int | None) -> PurgedFile:
    plan = planned_file(file)
    return PurgedFile(plan["file_id"], plan["sha256"], plan["size"], chunks, outcome, chunks if left is None else left)


def _file_id(digest: str) -> Any:
    from bson import ObjectId

    return ObjectId(digest[:24]) if ObjectId.is_valid(digest[:24]) else None
