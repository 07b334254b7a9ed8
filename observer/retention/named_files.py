"""Which stored files runs name: those of one run, and whether any run names a file.

GridFS is one for all sets of runs in a database, so whether a file is still needed is asked of all of them, and of
those in the trash, which can be brought back.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..foreign_files import spellings
from ..foreign_runs import mapping, read_pair, sequence
from ..run_collections import RENAMED, RUNS, with_collections
from ..run_places import holds_runs
from .tombstones import TRASH

if TYPE_CHECKING:
    from pymongo.database import Database

# Where a run's document names files by their ids: a new kind of file is a row. Paths lead through lists.
ID_FIELDS = (
    "artifacts.file_id",
    "cloister.sources.file_id",
    "cloister.resources.file_id",
    "cloister.git.diff_file",
)
PAIR_FIELDS = ("artifacts", "experiment.sources", "resources")  # as Sacred has them: [name, id], or [path, MD5]
DIGEST_FIELDS = ("cloister.uploads.fields.sha256",)  # recorded, and stored in this moment or soon
_AT_ONCE = 1_000
FIRST_DOCUMENTS = 50
_SHOWN = dict.fromkeys(
    (
        *("artifacts", "resources", "experiment.sources"),
        *("cloister.sources", "cloister.resources", "cloister.git.diff_file", "cloister.uploads"),
    ),
    1,
)
_OTHERS = frozenset({"uploads", "file_claims", "audit", "users", "sessions", "tokens", "groups", "policy", "data_keys"})


@dataclass
class NamedFiles:
    """Files by the names that documents have for them: ids, those that are on their way by SHA-256, resources by MD5.

    `known` says which SHA-256 a file of an id should have.
    """

    ids: set[Any] = field(default_factory=set)
    digests: set[str] = field(default_factory=set)
    md5s: set[str] = field(default_factory=set)
    known: dict[Any, str] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.ids or self.digests)

    def add(self, other: NamedFiles) -> None:
        self.ids |= other.ids
        self.digests |= other.digests
        self.md5s |= other.md5s
        self.known |= other.known


def files_named_by(document: Mapping[str, Any], kinds: Iterable[str] = ("artifacts", "sources", "other")) -> NamedFiles:
    """The files that a run's document names, of some kinds of files."""
    named = NamedFiles()
    ours, experiment = mapping(document.get("cloister")), mapping(document.get("experiment"))
    wanted = set(kinds)
    if "artifacts" in wanted:
        _take(named, document.get("artifacts"))
        for note in map(mapping, sequence(ours.get("uploads"))):
            _take_digest(named, mapping(note.get("fields")).get("sha256"))
    if "sources" in wanted:
        _take(named, ours.get("sources"))
        _take(named, experiment.get("sources"))
        _take_id(named, mapping(ours.get("git")).get("diff_file"))
    if "other" in wanted:
        _take(named, ours.get("resources"))
        for entry in sequence(document.get("resources")):
            pair = read_pair(entry)
            if pair and isinstance(pair[1], str) and len(pair[1]) == 32:
                named.md5s.add(pair[1])
            elif pair:
                _take_id(named, pair[1])
    return named


def still_named(
    database: Database[dict[str, Any]], wanted: Sequence[Mapping[str, Any]], *, but: Sequence[tuple[str, Any]]
) -> set[Any]:
    """The ids of those files that some run names.

    Args:
        wanted: their documents of `fs.files`.
        but: collections and ids of documents that do not count.
    """
    left = {file["_id"]: file for file in wanted}
    kept: set[Any] = set()
    for collection in run_collections(database):
        passed_over = [run_id for name, run_id in but if name == collection]
        for start in range(0, len(left), _AT_ONCE):
            part = {file_id: left[file_id] for file_id in list(left)[start : start + _AT_ONCE]}
            kept |= _named_in(database, collection, part, passed_over)
        left = {file_id: file for file_id, file in left.items() if file_id not in kept}
    return kept


def run_collections(database: Database[dict[str, Any]]) -> list[str]:
    """All collections of this database that hold documents of runs, by their stored names: every set, every trash."""
    plain = with_collections(database)
    known = set(plain.list_collection_names(authorizedCollections=True, nameOnly=True))
    found = {name for name in known if name == TRASH or name.endswith(f"_{TRASH}")}
    for name in known:
        if name == RUNS or name.endswith(f"_{RUNS}") or f"{name}_{TRASH}" in known:
            found.add(name)
    # Runs collections of names of their own, as Sacred's users may choose.
    found |= {name for name in known - found if not _is_ours(name) and holds_runs(plain[name])}
    return sorted(found)


def _is_ours(name: str) -> bool:
    """Whether a collection of this name is one of ours that holds no runs, or one of MongoDB's."""
    return (
        name in RENAMED
        or name in _OTHERS
        or name.startswith(("fs.", "system.", "omniboard."))
        or any(name.endswith(f"_{each}") for each in RENAMED)
    )


def _named_in(
    database: Database[dict[str, Any]], collection: str, files: Mapping[Any, Mapping[str, Any]], passed_over: list[Any]
) -> set[Any]:
    """Which of `files` the documents of a collection name.

    Most runs share most of their sources: after a few runs the question is asked anew without the files that were met,
    and the server looks through all others without sending them.
    """
    left, kept, budget = dict(files), set[Any](), FIRST_DOCUMENTS
    while left:
        met, is_over = _meet(database, collection, left, passed_over, budget)
        kept |= met
        left = {file_id: file for file_id, file in left.items() if file_id not in met}
        if is_over:
            break
        budget *= 2
    return kept


def _meet(
    database: Database[dict[str, Any]],
    collection: str,
    files: Mapping[Any, Mapping[str, Any]],
    passed_over: list[Any],
    budget: int,
) -> tuple[set[Any], bool]:
    """Which of `files` the first `budget` documents name that name any; whether these are all."""
    by_spelling = {spelling: file_id for file_id in files for spelling in (*spellings(file_id), str(file_id))}
    by_digest = {digest: file_id for file_id, file in files.items() for digest in digests_of(file)}
    by_md5 = {file["md5"]: file_id for file_id, file in files.items() if isinstance(file.get("md5"), str)}
    inner = {"$elemMatch": {"$elemMatch": {"$in": [*by_spelling, *by_md5]}}}
    ways: list[dict[str, Any]] = [
        *({path: {"$in": list(by_spelling)}} for path in (*ID_FIELDS, *PAIR_FIELDS)),
        *({path: inner} for path in PAIR_FIELDS),
        *({path: {"$in": list(by_digest)}} for path in DIGEST_FIELDS),
    ]
    condition = {"_id": {"$nin": passed_over}, "$or": ways}
    names = (by_spelling, by_digest, by_md5)
    met: set[Any] = set()
    read = 0
    for document in with_collections(database)[collection].find(condition, _SHOWN).limit(budget):
        read += 1
        # Whatever stands there counts, at any place: a document of a foreign shape names files too.
        met |= {known[each] for each in _leaves(document) for known in names if each in known}
        if len(met) == len(files):
            break
    return met, read < budget


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, Mapping):
        for inner in value.values():
            yield from _leaves(inner)
    elif isinstance(value, (list, tuple)):
        for inner in value:
            yield from _leaves(inner)
    elif isinstance(value, Hashable):
        yield value


def digests_of(file: Mapping[str, Any]) -> list[str]:
    """The SHA-256 of a stored file, as its document says it."""
    ours = mapping(file.get("cloister"))
    return [digest for digest in (ours.get("sha256"), ours.get("digest")) if isinstance(digest, str)]


def _take(named: NamedFiles, entries: Any) -> None:
    for entry in sequence(entries):
        if isinstance(entry, Mapping):
            _take_id(named, entry.get("file_id"), entry.get("sha256"))
        elif isinstance(entry, (list, tuple)):
            pair = read_pair(entry)
            if pair:
                _take_id(named, pair[1])
        else:
            _take_id(named, entry)


def _take_id(named: NamedFiles, file_id: Any, digest: Any = None) -> None:
    try:
        given = [] if file_id is None else spellings(file_id)
        named.ids.update(given)
    except TypeError:  # a value that cannot be an id, in a foreign document
        return
    if isinstance(digest, str):
        named.known.update(dict.fromkeys(given, digest))


def _take_digest(named: NamedFiles, digest: Any) -> None:
    if isinstance(digest, str):
        named.digests.add(digest)
