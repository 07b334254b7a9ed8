"""What this machine knows of a run from the journal that still waits here, without asking the database."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from .field_names import decode_field_name
from .journal_places import run_folders
from .journal_records import RECORD_LIMIT_BYTES
from .journal_segments import is_held, read_header, segment_number, segments_in
from .metric_summary import SYSTEM_PREFIX
from .process_facts import is_alive
from .run_claim import KnownRun
from .shipping_note import read_note

READ_BYTES = RECORD_LIMIT_BYTES + 1024 * 1024  # more than any record
_FIELDS = ("project", "name", "experiment", "group", "job_type", "tags", "notes", "config_defaults", "start_time")


def find_waiting(places: Iterable[Path], which: int | str) -> str | None:
    """The uid of the run with this number or uid whose journal waits here; None if none does."""
    for uid, folders in run_folders(places).items():
        if uid == which or (isinstance(which, int) and _number_of(folders) == which):
            return uid
    return None


def read_waiting(places: Iterable[Path], uid: str) -> KnownRun | None:
    """What the waiting journal of run `uid` says of it; None without one."""
    folders = run_folders(places).get(uid, ())
    paths = sorted((path for folder in folders for path in segments_in(folder)), key=segment_number)
    headers = [header for path in paths if (header := _header_of(path)) is not None]
    if not headers:
        return None
    first = headers[0]
    # All of it, also what has been applied already: the summaries in the run's document may come a little later.
    steps = [_largest_step(path) for path in paths]
    written = max(map(_written_at, paths))
    return KnownRun(
        uid=uid,
        config=first.get("config") or {},
        next_step=max(steps, default=-1) + 1,
        stopped=datetime.fromtimestamp(written, timezone.utc) if written else None,
        fields={name: first[name] for name in _FIELDS if name in first},
    )


def find_writer(places: Iterable[Path], uid: str) -> dict[str, Any] | None:
    """The process that records rank 0 of run `uid` on this machine now; None if none does."""
    for folder in run_folders(places).get(uid, ()):
        for path in segments_in(folder):
            header = _header_of(path) or {}
            session = header.get("session") or {}
            # Held, but maybe by a forked child that outlived it.
            if not header.get("rank") and is_alive(session) is True and is_held(path):
                return dict(session)
    return None


def _number_of(folders: Iterable[Path]) -> Any:
    note = read_note(folders)
    return None if note is None else note.id


def _header_of(path: Path) -> dict[str, Any] | None:
    try:
        return read_header(path)
    except FileNotFoundError:  # shipped meanwhile
        return None


def _largest_step(path: Path) -> int:
    from .journal_batches import decode_batch  # with numpy, for this rare case alone

    largest, offset = -1, 0
    try:
        with path.open("rb") as file:
            while True:
                file.seek(offset)
                batch = decode_batch(file.read(READ_BYTES), offset)
                if not batch or batch.end <= offset:
                    return largest
                offset = batch.end
                for encoded, column in batch.points.items():
                    if not decode_field_name(encoded).startswith(SYSTEM_PREFIX) and len(column.steps):
                        largest = max(largest, int(column.steps.max()))
    except FileNotFoundError:  # shipped meanwhile: then the database has it
        return largest


def _written_at(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return 0.0
