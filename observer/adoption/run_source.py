"""What adoption needs of a place with Sacred's runs, be it a database, a folder or a TinyDB."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any, Protocol

FileRef = Hashable  # what a source's documents call a file: the id in GridFS, a path in a folder

SILENT_SECONDS = 600.0  # Sacred beats every 10 s; a laptop's lid, or a database that is away, is no death
SILENT_BEATS = 5


class Readable(Protocol):
    """Bytes from the start on."""

    def read(self, size: int, /) -> bytes: ...


@dataclass(frozen=True)
class SourceFile:
    """A file that a run names.

    Attributes:
        sha256: where the source knows it already, so that nobody has to read the bytes for it.
        stored_at: when it was recorded, if that is known.
    """

    filename: str
    size: int
    content_type: str | None
    stored_at: datetime | None
    open: Callable[[], AbstractContextManager[Readable]]
    sha256: str | None = None


@dataclass(frozen=True)
class RunHead:
    """What is known of a run before its document is read.

    Attributes:
        uid: its identity, given at an earlier adoption or following from its facts.
        seen: what changes whenever Sacred, or Omniboard, changes the run: once adopted, it is left alone while this
            stays the same.
        adopted: what an earlier adoption in the same place has noted; None if there was none.
        is_ours: it has been recorded by Cloister.
        points: of all its metrics, about; to bound what is read at once.
        size_bytes: of what it printed, about; for the same reason.
    """

    id: Any
    uid: str
    status: str
    start_time: datetime | None
    heartbeat: datetime | None
    seen: Mapping[str, Any]
    beat_seconds: float | None = None
    adopted: Mapping[str, Any] | None = None
    is_ours: bool = False
    points: int = 0
    size_bytes: int = 0

    def is_going_on(self, now: datetime | None = None) -> bool:
        """Whether somebody may still be recording it: running, and heard of lately."""
        if self.status != "RUNNING":
            return False
        heard = self.heartbeat or self.start_time
        if heard is None:
            return False
        patience = max(SILENT_SECONDS, SILENT_BEATS * (self.beat_seconds or 0.0))
        # A sign of life from the future is none: of a clock that was wrong, or made up.
        return abs((now or datetime.now(timezone.utc)) - heard) < timedelta(seconds=patience)


@dataclass(frozen=True)
class SourceMetric:
    """A metric as Sacred's documents have it: three lists, each of which may be anything.

    Several documents of one name are read one after the other: processes that began the same metric at once.
    """

    name: str
    documents: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True)
class SourceResource:
    """A file that the run read. Sacred keeps the bytes of some; `ref` is None where it did not."""

    path: str
    md5: str | None
    ref: FileRef | None


@dataclass
class SourceRun:
    """A run as MongoObserver would have stored it, and what is odd about it where it comes from."""

    document: dict[str, Any]
    metrics: list[SourceMetric] = field(default_factory=list)
    resources: list[SourceResource] = field(default_factory=list)
    oddities: list[str] = field(default_factory=list)


class RunSource(Protocol):
    """A place with Sacred's runs. Only read; the same questions give the same answers while nobody records."""

    @property
    def kind(self) -> str:
        """What sort of place it is: the same run in places of two sorts is adopted from the first of them."""
        ...

    @property
    def label(self) -> str:
        """What messages call it, without credentials."""
        ...

    def heads(self) -> list[RunHead]:
        """All runs, oldest first."""
        ...

    def load(self, heads: Sequence[RunHead]) -> Iterator[tuple[RunHead, SourceRun | None]]:
        """The runs of `heads`; None for one that is gone by now."""
        ...

    def files(self, refs: Iterable[FileRef]) -> dict[FileRef, SourceFile | str]:
        """The files of these names; a text says why one cannot be had."""
        ...

    def oddities(self) -> list[str]:
        """What is odd about the place as a whole, such as metrics of runs that were deleted."""
        ...


def aware(moment: Any) -> datetime | None:
    """A date as Sacred stores it, UTC without saying so; None for anything else."""
    if not isinstance(moment, datetime):
        return None
    return moment.replace(tzinfo=timezone.utc) if moment.tzinfo is None else moment.astimezone(timezone.utc)


def parse_moment(text: Any) -> datetime | None:
    """A date as Sacred writes it into JSON; None for anything else."""
    if not isinstance(text, str) or len(text) > 64:
        return None
    try:
        return aware(datetime.fromisoformat(text))
    except (ValueError, OverflowError):
        return None


def beat_seconds(document: Mapping[str, Any]) -> float | None:
    """How often the run was to beat, where its command line said so."""
    meta = document.get("meta")
    options = meta.get("options") if isinstance(meta, Mapping) else None
    given = options.get("--beat-interval") if isinstance(options, Mapping) else None
    try:
        seconds = float(given) if isinstance(given, (str, int, float)) else None
    except (ValueError, OverflowError):
        return None
    return seconds if seconds is not None and 0 <= seconds < 1e9 else None
