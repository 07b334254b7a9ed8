"""Whether an audit log is whole: every entry recomputed, the chain followed, seals and sightings compared."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from ..store_connection import lenient
from .entry import GENESIS, AuditEntry, NotAnEntry, chain_hash, commit, from_document
from .evidence_folder import EvidenceFolder, Sighting, key_name, place_of
from .pseudonym_records import PSEUDONYMISED, read_listing
from .seals import COLLECTION as SEALS
from .seals import Seal
from .seals import from_document as read_seal

if TYPE_CHECKING:
    from pymongo.database import Database

MOST_TOLD = 100  # findings told in words; all are counted
_BATCH = 2_000


@dataclass
class Report:
    """What was found.

    Attributes:
        problems: what must not be, in words, each with the entry that it is about; at most `MOST_TOLD` of them.
        problem_count: all of them.
        notes: what limits what can be known.
        signed_until: the last entry that a genuine seal covers; 0 when none does.
    """

    entries: int = 0
    head: AuditEntry | None = None
    first_at: datetime | None = None
    problems: list[str] = field(default_factory=list)
    problem_count: int = 0
    first_problem_seq: int | None = None
    notes: list[str] = field(default_factory=list)
    pseudonymised: int = 0
    seals: int = 0
    signed_until: int = 0
    signed_at: str = ""

    @property
    def is_whole(self) -> bool:
        return self.problem_count == 0

    def add_problem(self, seq: int | None, text: str) -> None:
        self.problem_count += 1
        if self.first_problem_seq is None and seq is not None:
            self.first_problem_seq = seq
        if len(self.problems) < MOST_TOLD:
            self.problems.append(text)


def verify(
    database: Database[dict[str, Any]],
    *,
    folder: EvidenceFolder | None = None,
    public_keys: Collection[bytes] = (),
) -> Report:
    """Check the whole log of `database`: 100,000 entries in seconds, in memory that does not grow with them.

    Args:
        folder: what this machine knows of the log; without it a cut end is found only as far as seals reach.
        public_keys: further keys that are trusted, raw.

    Raises:
        UnsafeEvidence, DamagedEvidence: what this machine knows cannot be relied on.
    """
    readable = lenient(database)
    trusted = {*public_keys, *(folder.public_keys() if folder else ())}
    place = place_of(database) if folder else ""
    seen = folder.sighting(place) if folder else None
    kept = folder.seals(place) if folder else ()
    stored = list(readable[SEALS].find())  # before the entries: what is sealed meanwhile is not missing then
    chain = Chain(trusted, wanted=_wanted_seqs(seen, (*kept, *stored)))
    for document in readable["audit"].find(sort=[("_id", 1)], batch_size=_BATCH):
        chain.take(document)
    report = chain.finish()
    _compare_sighting(report, chain, seen, folder)
    _compare_seals(report, chain, stored, kept, trusted)
    return report


def verify_documents(documents: Iterable[Mapping[str, Any]], *, public_keys: Collection[bytes] = ()) -> Report:
    """The same for entries that lie elsewhere, as in an export: the chain alone."""
    chain = Chain(public_keys)
    for document in documents:
        chain.take(document)
    return chain.finish()


class Chain:
    """Follows the chain, one stored entry after the other."""

    def __init__(self, trusted: Collection[bytes] = (), *, wanted: Collection[int] = ()) -> None:
        self.report = Report()
        self.hashes: dict[int, str] = {}  # of the entries that a seal or a sighting names, and of the first one
        self._wanted = {1, *wanted}
        self._trusted = trusted
        self._changed: dict[int, str] = {}  # entries that no longer are what was committed to -> what they are now
        self._listed: dict[int, str] = {}  # entries that a pseudonymisation names -> what they have to be since
        self._seq = 0
        self._hash = GENESIS

    def take(self, document: Mapping[str, Any]) -> None:
        self.report.entries += 1
        try:
            entry = from_document(document)
        except NotAnEntry as error:
            self.report.add_problem(self._seq + 1, f"{_named(document)} is not as it was written: {error}.")
            return
        self._check_place(entry)
        if chain_hash(entry) != entry.hash:
            self.report.add_problem(entry.seq, f"Entry {entry.seq} was changed: its hash is not that of its content.")
        now = commit(entry)
        if now != entry.commitment:
            self._changed[entry.seq] = now
        if entry.action == PSEUDONYMISED:
            self._take_listing(entry)
        if entry.seq in self._wanted:
            self.hashes[entry.seq] = entry.hash
        self._seq, self._hash = entry.seq, entry.hash
        self.report.head = entry
        self.report.first_at = self.report.first_at or entry.at

    def finish(self) -> Report:
        for seq in sorted(self._changed.keys() | self._listed.keys()):
            now, due = self._changed.get(seq), self._listed.get(seq)
            if due is None:
                self.report.add_problem(seq, f"Entry {seq} was changed: who, what or where is not what was recorded.")
            elif now is None:
                self.report.add_problem(
                    seq, f"Entry {seq} still names somebody who was erased. Run the erasure again: it was cut short."
                )
            elif now != due:
                self.report.add_problem(seq, f"Entry {seq} was changed after it was pseudonymised.")
            else:
                self.report.pseudonymised += 1
        return self.report

    def _check_place(self, entry: AuditEntry) -> None:
        expected = self._seq + 1
        if entry.seq > expected:
            gone = f"Entry {expected} is" if entry.seq == expected + 1 else f"Entries {expected} to {entry.seq - 1} are"
            self.report.add_problem(expected, f"{gone} missing.")
        elif entry.seq < expected:
            self.report.add_problem(entry.seq, f"Entry {entry.seq} stands after entry {self._seq}.")
        elif entry.previous != self._hash:
            self.report.add_problem(entry.seq, f"Entry {entry.seq} does not follow what is now entry {self._seq}.")

    def _take_listing(self, entry: AuditEntry) -> None:
        listing = read_listing(entry, self._trusted)
        if listing is None:
            self.report.add_problem(
                entry.seq,
                f"Entry {entry.seq} allows others to be pseudonymised, but no key that is trusted here signed that. "
                "Verify on the machine where it was done, or pass its key by --public-key.",
            )
            return
        self._listed.update(listing)


def _compare_sighting(report: Report, chain: Chain, seen: Sighting | None, folder: EvidenceFolder | None) -> None:
    if folder is None or seen is None:
        report.notes.append(
            "This machine has not seen this log before, so entries that were cut off its end are found only as far as "
            "seals reach. A machine that runs 'cloister serve' remembers the end."
        )
        return
    where = folder.sighting_path(seen.place)
    if chain.hashes.get(1) != seen.first:
        report.add_problem(
            1, f"The log was replaced: it does not begin as the one that this machine has seen ({where})."
        )
    elif report.head is None or report.head.seq < seen.seq:
        last = report.head.seq if report.head else 0
        report.add_problem(
            last + 1,
            f"The end was cut: {last} is the last entry, and this machine saw {seen.seq} at {seen.at} ({where}).",
        )
    elif chain.hashes.get(seen.seq) != seen.hash:
        report.add_problem(seen.seq, f"Entry {seen.seq} is not the one that this machine saw at {seen.at} ({where}).")


def _compare_seals(
    report: Report,
    chain: Chain,
    stored: Collection[Mapping[str, Any]],
    kept: Collection[Mapping[str, Any]],
    trusted: Collection[bytes],
) -> None:
    by_seq: dict[Any, Mapping[str, Any]] = {document.get("_id"): document for document in stored}
    for document in kept:
        if document.get("_id") not in by_seq:
            report.add_problem(document.get("_id"), f"The seal of entry {document.get('_id')} was removed.")
    strangers = set()
    for document in [*stored, *(each for each in kept if each != by_seq.get(each.get("_id")))]:
        seal = read_seal(document)
        if seal is None:
            report.add_problem(None, f"The seal {document.get('_id')!r} is not as it was written.")
        elif not seal.is_genuine(trusted):
            if _is_known_key(seal, trusted):
                report.add_problem(seal.seq, f"The seal of entry {seal.seq} was changed: its signature is wrong.")
            else:
                strangers.add(seal.key)
        else:
            _compare_seal(report, chain, seal)
    if strangers:
        report.notes.append(
            f"Seals by the {'key' if len(strangers) == 1 else 'keys'} {', '.join(sorted(strangers))} prove nothing "
            "here: pass the public key by --public-key, from the machine that signed."
        )
    if not report.signed_until:
        report.notes.append("No seal that could be checked covers this log.")


def _compare_seal(report: Report, chain: Chain, seal: Seal) -> None:
    report.seals += 1
    if chain.hashes.get(seal.seq) != seal.hash or chain.hashes.get(1) != seal.first:
        report.add_problem(seal.seq, f"Entry {seal.seq} is not the one that was signed at {seal.at}, or is gone.")
    elif seal.seq > report.signed_until:
        report.signed_until, report.signed_at = seal.seq, seal.at


def _is_known_key(seal: Seal, trusted: Collection[bytes]) -> bool:
    return seal.key in {key_name(public) for public in trusted}


def _wanted_seqs(seen: Sighting | None, seals: Iterable[Mapping[str, Any]]) -> set[int]:
    wanted = {seal["_id"] for seal in seals if isinstance(seal.get("_id"), int)}
    return wanted | ({seen.seq} if seen else set())


def _named(document: Mapping[str, Any]) -> str:
    seq = document.get("_id")
    return f"Entry {seq}" if isinstance(seq, int) else f"What is stored as {str(seq)[:60]!r}"
