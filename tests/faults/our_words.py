"""The sentences that Cloister may say on a training's stderr: those that docs/faults.md lists, and no others."""

from __future__ import annotations

import re

DOCUMENTED = tuple(
    re.compile(pattern)
    for pattern in (
        r"MongoDB at \S+ did not answer within .* The run is kept in .*'cloister sync' does\.",
        r".*The run is kept in .*'cloister sync' does\.",
        r".* cannot be written; the run is kept in .* until the database has it\.",
        r"The journal in .* cannot be written \(.*\)\. .*",
        r"No folder can be written for the journal: .*",
    )
)


def undocumented(text: str) -> list[str]:
    """The lines of `text` that are none of our documented sentences."""
    lines = [line for line in text.splitlines() if line.strip()]
    return [line for line in lines if not any(pattern.fullmatch(line) for pattern in DOCUMENTED)]
