"""What this machine knows of a run from the journal that still waits here, without asking the database."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from .field_names import decode_field_name
from .journal_places import run_folders
from .journal_segments import is_held, read_header, segment_number, segments_in
from .metric_summary import SYSTEM_PREFIX
from .process_facts import is_alive
from .run_claim import KnownRun
from .shipping_note import read_note

READ_BYTES = 8 * 1024 * 1024
_FIELDS = ("project", "name", "experiment", "group", "job_type", "tags", "notes", "config_defaults", "start_time")


def find_waiting(places: Iterable[Path], which: int | str) -> str | None:
    """The uid of the run with this number or uid whose journal waits here; None if none does."""
    for uid, folders in run_folders(places).items():
        if uid == which or (isinstance(which, int) and _number_of(folders) == which):
            return uid
    return None


def read_waiting(places: Iterable[Path], uid: str, journal: Mapping[str, Any] | None = None) -> KnownRun | None:
    """What the waiting journal of run `uid` says of it; None without one.

    Args:
        journal: how far each segment has been applied, as the run's document says: only what follows is read.
    """
    folders = run_folders(places).get(uid, ())
    paths = sorted((path for folder in folders for path in segments_in(folder)), key=segment_number)
    headers = [header for path in paths if (header := read_header(path)) is not None]
    if not headers:
        return None
    first = headers[0]
    steps = [_largest_step(path, (journal or {}).get(path.stem) or {}) for path in paths]
    written = max(path.stat().st_mtime for path in paths)
    return KnownRun(
        uid=uid,
        config=first.get("config") or {},
        next_step=max(steps, default=-1) + 1,
        stopped=datetime.fromtimestamp(written, timezone.utc),
        fields={name: first[name] for name in _FIELDS if name in first},
    )


def find_writer(places: Iterable[Path], uid: str) -> dict[str, Any] | None:
    """The process that records rank 0 of run `uid` on this machine now; None if none does."""
    for folder in run_folders(places).get(uid, ()):
        for path in segments_in(folder):
            header = read_header(path) or {}
            session = header.get("session") or {}
            # Held, but maybe by a forked child that outlived it.
            if not header.get("rank") and is_alive(session) is True and is_held(path):
                return dict(session)
    return None


def _number_of(folders: Iterable[Path]) -> Any:
    note = read_note(folders)
    return None if note is None else note.id


def _largest_step(path: Path, checkpoint: Mapping[str, Any]) -> int:
    from .journal_batches import decode_batch  # with numpy, for this rare case alone

    largest, offset = -1, int(checkpoint.get("offset") or 0)
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
