"""What the courier leaves beside a run's journal for its training: the run's number, and how much is on its way."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .journal_segments import NUMBER_FILE
from .stop_state import StopRequest, as_json, from_json

logger = logging.getLogger("cloister")


@dataclass(frozen=True)
class ShippingNote:
    """Attributes:
    id: the number that the database gave the run.
    left_bytes: not stored yet when this was written, some seconds ago at most while there is much.
    answered: the last question of the training (see `sacred_recorder.py`) before which everything is stored.
    deleted: that somebody has deleted the run, in words for people; "" while it is there.
    stop: that somebody asks it to stop.
    """

    id: Any
    left_bytes: int
    answered: str | None = None
    deleted: str = ""
    stop: StopRequest | None = None


def write_note(folders: Iterable[Path], note: ShippingNote) -> None:
    """Leave `note` in the first of the run's folders that takes it."""
    for folder in folders:
        fresh = folder / f"{NUMBER_FILE}.new"
        try:
            fresh.write_text(json.dumps(_as_json(note)), encoding="utf-8")
            fresh.replace(folder / NUMBER_FILE)
        except OSError as error:  # a full disk; shipping is what makes room on it
            logger.debug("Cannot write %s: %s", fresh, error)
        else:
            return


def read_note(folders: Iterable[Path]) -> ShippingNote | None:
    """What the courier left, None while it has not met the run."""
    for folder in folders:
        try:
            found = json.loads((folder / NUMBER_FILE).read_text(encoding="utf-8"))
            given = found["id"] if "id" in found else _parse(found["word"])
            left, stop = int(found.get("left_bytes", 0)), from_json(found.get("stop"))
            return ShippingNote(given, left, found.get("answered"), found.get("deleted", ""), stop)
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return None


def _as_json(note: ShippingNote) -> dict[str, Any]:
    # Ids that another observer has given need not be numbers.
    known = {"id": note.id} if isinstance(note.id, (int, str)) else {"word": _format(note.id)}
    answered = {} if note.answered is None else {"answered": note.answered}
    deleted = {"deleted": note.deleted} if note.deleted else {}
    stop = {} if note.stop is None else {"stop": as_json(note.stop)}
    return {**known, "left_bytes": note.left_bytes, **answered, **deleted, **stop}


def _parse(word: str) -> Any:
    from .run_ids import parse_run_id  # spares the start of a run what hardly any needs

    return parse_run_id(word)


def _format(run_id: Any) -> str:
    from .run_ids import format_run_id

    return format_run_id(run_id)
