"""What a run says of its redactions, in words."""

from __future__ import annotations

from ..observer.redaction.recording_profiles import PROFILES
from ..observer.redaction.stored_redactions import Redaction
from ..observer.run_record import RunRecord


def redacted_words(run: RunRecord) -> str:
    """How much was taken out of a run before it was recorded, or after."""
    total = sum(one.count for one in run.redactions)
    if not total:
        return "nothing found" if run.uid is not None else "not looked for"
    return f"{total:,} {'value' if total == 1 else 'values'}"


def profile_words(run: RunRecord) -> str:
    """How much of a run is recorded."""
    return PROFILES[run.profile].title if run.profile in PROFILES else run.profile


def redaction_rows(run: RunRecord) -> list[Redaction]:
    """The places, those with most first."""
    return sorted(run.redactions, key=lambda one: (-one.count, one.where))
