"""What the courier leaves beside a run's journal for its training: the run's number, and how much is on its way."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .journal_segments import NUMBER_FILE

logger = logging.getLogger("cloister")


@dataclass(frozen=True)
class ShippingNote:
    """Attributes:
    id: the number that the database gave the run.
    left_bytes: not stored yet when this was written, some seconds ago at most while there is much.
    """

    id: Any
    left_bytes: int


def write_note(folders: Iterable[Path], note: ShippingNote) -> None:
    """Leave `note` in the first of the run's folders that takes it."""
    for folder in folders:
        fresh = folder / f"{NUMBER_FILE}.new"
        try:
            fresh.write_text(json.dumps({"id": note.id, "left_bytes": note.left_bytes}), encoding="utf-8")
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
            return ShippingNote(found["id"], int(found.get("left_bytes", 0)))
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return None
