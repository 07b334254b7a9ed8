"""What pages say of a run whose parts are encrypted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..observer.encryption.chosen import CONFIG, EVERYTHING, Chosen

if TYPE_CHECKING:
    from ..observer.run_record import RunRecord


def is_encrypted(run: RunRecord, part: str) -> bool:
    """Whether this part of the run is stored encrypted: "console", "sources"."""
    return Chosen(run.encrypted).has(part)


def describe_encrypted(run: RunRecord) -> str:
    """Which parts of the run are encrypted: "console, sources, config patient.*"."""
    words = [word.replace(f"{CONFIG}.", f"{CONFIG} ", 1) for word in run.encrypted]
    if EVERYTHING in run.encrypted:
        words = ["config, console, sources, artifacts, results"]
    said = ", ".join(words)
    return f"not recorded, there was no key: {said}" if run.withheld else said
