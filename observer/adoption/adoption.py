"""Adopting all runs of a source: which of them, in blocks, told as it goes on."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from ..database_faults import is_refused_document
from ..run_ids import format_run_id
from .adoption_errors import NoSuchRun
from .prepared_run import DONE, PreparedRun, prepare_run
from .run_identity import further_uid, is_unchanged
from .run_source import RunHead, RunSource

logger = logging.getLogger("cloister")

BLOCK_RUNS = 32
BLOCK_POINTS = 200_000
BLOCK_BYTES = 32 * 1024 * 1024  # of output: one run may have 16 MB


class Listener(Protocol):
    """Is told how far adoption is."""

    def found(self, runs: int, points: int) -> None: ...

    def adopted(self, runs: int, points: int) -> None: ...

    def read_bytes(self, count: int) -> None: ...


@dataclass(frozen=True)
class Earlier:
    """What an earlier adoption has made of a run: its id now, and `cloister.adopted`; of our own runs None."""

    id: Any
    adopted: Mapping[str, Any] | None


class Target(Protocol):
    """Where runs are adopted into."""

    def earlier(self, heads: Sequence[RunHead]) -> dict[str, Earlier]:
        """What is there already, by uid."""
        ...

    def begin(self) -> None:
        """Make what the runs need. Nothing was written before."""
        ...

    def adopt(self, runs: Sequence[PreparedRun], earlier: Mapping[str, Earlier]) -> dict[str, Any]:
        """Store runs; returns the id of each that was stored, by uid. Every write may be repeated."""
        ...

    def finish(self) -> None:
        """Store what belongs to no single run."""
        ...


@dataclass
class Survey:
    """The runs of a source, by what is to be done with them."""

    to_adopt: list[RunHead] = field(default_factory=list)
    to_update: list[RunHead] = field(default_factory=list)
    unchanged: list[RunHead] = field(default_factory=list)
    going_on: list[RunHead] = field(default_factory=list)
    elsewhere: list[RunHead] = field(default_factory=list)  # adopted before, out of another kind of place
    ours: list[RunHead] = field(default_factory=list)
    unnamed: list[RunHead] = field(default_factory=list)  # their id is null: nothing can address them
    earlier: dict[str, Earlier] = field(default_factory=dict)

    @property
    def todo(self) -> list[RunHead]:
        return [*self.to_adopt, *self.to_update]


@dataclass
class Tally:
    """What was done, or would be.

    Attributes:
        numbers: of runs whose id was taken: old and new id.
        oddities: what is odd, and the runs that it is true of; "" for what belongs to no run.
        failed: runs that could not be stored, and why.
    """

    adopted: int = 0
    updated: int = 0
    metrics: int = 0
    points: int = 0
    files: int = 0
    file_bytes: int = 0
    console_bytes: int = 0
    projects: dict[str, int] = field(default_factory=dict)
    numbers: list[tuple[Any, Any]] = field(default_factory=list)
    oddities: dict[str, list[str]] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)

    def note(self, oddity: str, run: RunHead | None = None) -> None:
        runs = self.oddities.setdefault(oddity, [])
        if run is not None:
            runs.append(format_run_id(run.id))


def survey(source: RunSource, target: Target | None, chosen: Sequence[str] = ()) -> Survey:
    """Look what there is to do. Changes nothing.

    Args:
        target: None for a database that the first copy will make.
        chosen: ids as `format_run_id` writes them, or folder names; all runs if empty.

    Raises:
        NoSuchRun: one of `chosen` is not there.
    """
    heads = _choose(source, _with_own_uids(source.heads()), chosen)
    found = Survey(earlier={} if target is None else target.earlier(heads))
    for head in heads:
        _list_of(found, head, source.kind).append(head)
    return found


def _list_of(found: Survey, head: RunHead, kind: str) -> list[RunHead]:
    known = found.earlier.get(head.uid)
    if head.is_ours or (known is not None and known.adopted is None):
        return found.ours
    if known is not None and known.adopted is not None:
        if known.adopted.get("state") == DONE and known.adopted.get("kind") != kind:
            return found.elsewhere
        if known.adopted.get("state") == DONE and is_unchanged(dict(head.seen), known.adopted.get("seen")):
            return found.unchanged
    if head.is_going_on():
        return found.going_on
    if head.id is None:
        return found.unnamed
    return found.to_adopt if known is None else found.to_update


def _with_own_uids(heads: Sequence[RunHead]) -> list[RunHead]:
    """The same, each with a uid of its own: documents that were made by hand may tell nothing apart but their id."""
    taken: set[str] = set()
    own = []
    for head in heads:
        uid = further_uid(head.uid, head.id) if head.uid in taken else head.uid
        taken.add(uid)
        own.append(replace(head, uid=uid))
    return own


def _choose(source: RunSource, heads: Sequence[RunHead], chosen: Sequence[str]) -> list[RunHead]:
    if not chosen:
        return list(heads)
    by_word: dict[str, RunHead] = {}
    for head in heads:
        by_word.setdefault(str(head.id), head)
    by_word.update({format_run_id(head.id): head for head in heads})
    missing = [word for word in chosen if word not in by_word]
    if missing:
        raise NoSuchRun(missing, source.label, [format_run_id(head.id) for head in heads])
    return [by_word[word] for word in dict.fromkeys(chosen)]


def rehearse(source: RunSource, found: Survey, listener: Listener, *, project: str | None) -> Tally:
    """What `adopt_all` would do, and what is odd. Reads all runs and no file's bytes; changes nothing."""
    tally = Tally()
    for block in _blocks(source, found, listener, tally, project=project):
        refs = [(run, ref) for run in block for ref in run.file_refs()]
        files = source.files({ref for _, ref in refs})
        for run, ref in refs:
            file = files.get(ref)
            if isinstance(file, str):
                tally.note(file, run.head)
        whole = [file for file in files.values() if not isinstance(file, str)]
        tally.files += len(whole)
        tally.file_bytes += sum(file.size for file in whole)
        for run in block:
            _count(tally, found, run)
        listener.adopted(len(block), sum(run.points for run in block))
    _note_whole(source, found, tally)
    return tally


def adopt_all(source: RunSource, target: Target, found: Survey, listener: Listener, *, project: str | None) -> Tally:
    """Adopt what `survey` has found to do. May be killed at any moment: doing it again does the rest."""
    tally = Tally()
    if found.todo:
        target.begin()
    for block in _blocks(source, found, listener, tally, project=project):
        for run, new_id in _adopt_block(target, block, found, tally):
            _count(tally, found, run)
            if new_id != run.head.id:
                tally.numbers.append((run.head.id, new_id))
        for run in block:
            for oddity in run.oddities[run.told :]:
                tally.note(oddity, run.head)
        listener.adopted(len(block), sum(run.points for run in block))
    target.finish()
    _note_whole(source, found, tally)
    return tally


def _adopt_block(
    target: Target, block: Sequence[PreparedRun], found: Survey, tally: Tally
) -> Iterator[tuple[PreparedRun, Any]]:
    """Adopt a block; where one run cannot be stored, the others are stored without it."""
    try:
        stored = target.adopt(block, found.earlier)
    except Exception as error:
        # What the server says of one document holds for that one; all else (the database away, no rights) ends all.
        if not is_refused_document(error):
            raise
        if len(block) == 1:
            tally.failed[format_run_id(block[0].head.id)] = str(error)[:500]
            return
        for run in block:
            yield from _adopt_block(target, [run], found, tally)
        return
    for run in block:
        if run.head.uid in stored:
            yield run, stored[run.head.uid]
        else:
            tally.note("it was changed while it was adopted: the next adoption takes it", run.head)


def _blocks(
    source: RunSource, found: Survey, listener: Listener, tally: Tally, *, project: str | None
) -> Iterator[list[PreparedRun]]:
    listener.found(len(found.todo), sum(head.points for head in found.todo))
    for heads in _cut(found.todo):
        block = []
        for head, run in source.load(heads):
            if run is None:
                tally.note("it is gone by now", head)
                continue
            prepared = prepare_run(head, run, project=project)
            for oddity in prepared.oddities:
                tally.note(oddity, head)
            prepared.told = len(prepared.oddities)
            block.append(prepared)
        yield block


def _cut(heads: Sequence[RunHead]) -> Iterator[list[RunHead]]:
    block: list[RunHead] = []
    points = size = 0
    for head in heads:
        points, size = points + head.points, size + head.size_bytes
        if block and (len(block) == BLOCK_RUNS or points > BLOCK_POINTS or size > BLOCK_BYTES):
            yield block
            block, points, size = [], head.points, head.size_bytes
        block.append(head)
    if block:
        yield block


def _count(tally: Tally, found: Survey, run: PreparedRun) -> None:
    if run.head.uid in found.earlier:
        tally.updated += 1
    else:
        tally.adopted += 1
    tally.metrics += len(run.metrics)
    tally.points += run.points
    tally.console_bytes += len(run.captured_out)
    tally.projects[run.project] = tally.projects.get(run.project, 0) + 1


def _note_whole(source: RunSource, found: Survey, tally: Tally) -> None:
    for oddity in source.oddities():
        tally.note(oddity)
    for head in found.unnamed:
        tally.note(
            "its id is null, left by a start of Sacred's that failed: nothing can address it, it is left out", head
        )
