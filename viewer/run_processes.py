"""Who recorded a run, in words: its ranks, how often it was resumed, which run it was forked from."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from .wording import count_noun, format_ago, format_clock_time, format_config_value

if TYPE_CHECKING:
    from ..observer.run_record import RunRecord
    from ..observer.run_sessions import RankState

Metric = TypeVar("Metric")

RANKS_SHOWN = 8  # on the overview; the environment tab has all
TRACES_SHOWN = 16
CHANGES_SHOWN = 20
_OF_A_RANK = re.compile(r"rank/\d{1,7}/", re.ASCII)
_URGENT = ("failed", "lost", "interrupted", "running", "queued", "completed")


@dataclass(frozen=True)
class RankRow:
    """A rank as tables show it; `seen` is its last sign of life, `trace` how it failed."""

    rank: int
    status: str
    where: str
    seen: str
    exit: str
    trace: str


@dataclass(frozen=True)
class ResumeRow:
    """One resume; `changes` are (key, kept value, value of the resuming script)."""

    when: str
    where: str
    changes: tuple[tuple[str, str, str], ...]


def list_ranks(run: RunRecord) -> tuple[RankRow, ...]:
    """The ranks in their order; none where one process recorded the run."""
    if run.world_size < 2 and not run.ranks:
        return ()
    return tuple(_rank_row(run, state, place < TRACES_SHOWN) for place, state in enumerate(run.ranks))


def list_notable_ranks(run: RunRecord) -> tuple[RankRow, ...]:
    """The few ranks to show first: those in trouble, then in their order."""
    rows = sorted(list_ranks(run), key=lambda row: (_URGENT.index(row.status), row.rank))
    return tuple(sorted(rows[:RANKS_SHOWN], key=lambda row: row.rank))


def own_metrics(summary: Mapping[str, Metric]) -> dict[str, Metric]:
    """The metrics of a run without those that further ranks repeat; all of them where rank 0 logged none."""
    own = {name: metric for name, metric in summary.items() if not _OF_A_RANK.match(name)}
    return own or dict(summary)


def describe_ranks(run: RunRecord) -> str:
    """4 ranks; 3 of 4 ranks, as long as some have not shown up; empty for one process."""
    if run.world_size < 2 and not run.ranks:
        return ""
    total = max(run.world_size, len(run.ranks))
    return count_noun(total, "rank") if len(run.ranks) >= total else f"{len(run.ranks)} of {count_noun(total, 'rank')}"


def describe_resumed(run: RunRecord) -> tuple[str, str] | None:
    """Resumed 2 times, and when and where; None for a run that never was."""
    if not run.resumed:
        return None
    times = len(run.resumed)
    details = "; ".join(f"{row.when} {row.where}" for row in list_resumes(run))
    return ("Resumed" if times == 1 else f"Resumed {times} times"), details


def list_resumes(run: RunRecord) -> tuple[ResumeRow, ...]:
    return tuple(
        ResumeRow(
            format_clock_time(note.time),
            f"on {note.host}, process {note.pid}" if note.pid is not None else f"on {note.host}",
            tuple((key, _value(kept), _value(given)) for key, kept, given in note.config_changes[:CHANGES_SHOWN]),
        )
        for note in run.resumed[-50:]
    )


def describe_rank_end(state: RankState) -> str:
    """What a rank left as its end: an exit code, a signal, or nothing."""
    code, number = state.exit.get("code"), state.exit.get("signal")
    if isinstance(number, int) and number:
        return f"signal {number}"
    return f"exit code {code}" if isinstance(code, int) else ""


def _rank_row(run: RunRecord, state: RankState, with_trace: bool) -> RankRow:
    seen = run.heartbeat if state.rank == 0 else state.heartbeat
    trace = run.fail_trace if state.rank == 0 else state.fail_trace
    pid = "" if state.pid is None else f", process {state.pid}"
    return RankRow(
        state.rank,
        state.status,
        f"{state.host or 'unknown host'}{pid}",
        format_ago(seen) if seen else "",
        describe_rank_end(state),
        "".join(trace).rstrip() if with_trace else "",
    )


def _value(value: object) -> str:
    words = format_config_value(value, quoted=True)
    return words if len(words) <= 60 else f"{words[:59]}…"
