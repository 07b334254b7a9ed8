"""The sentences that Cloister may say on a training's stderr: those that docs/faults.md lists, and no others."""

from __future__ import annotations

import re

DOCUMENTED = tuple(
    re.compile(pattern)
    for pattern in (
        r".*\. The run is kept in .+; the next run to the same database ships it, or 'cloister sync' does\.",
        r"The journal cannot be written to .+; the run is kept in .+ until it can be, and shipped from both\.",
        r"No folder takes the journal of this run: .+ set CLOISTER_HOME to a folder that can be written\.",
        r"The journal can be written to .+ again; the run goes on there\.",
        r"This run has lost .+: nothing could take it\. .+, and the run's page shows it\.",
        r"In all this run has lost .+\.",
    )
)


def undocumented(text: str) -> list[str]:
    """The lines of `text` that are none of our documented sentences."""
    lines = [line for line in text.splitlines() if line.strip()]
    return [line for line in lines if not any(pattern.fullmatch(line) for pattern in DOCUMENTED)]
