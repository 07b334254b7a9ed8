"""How a run ended when it did not end well: what happened and what to do, in plain words."""

from __future__ import annotations

import signal
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .wording import count_noun, format_ago, format_clock_time, format_duration

if TYPE_CHECKING:
    from ..observer.run_record import RunRecord


@dataclass(frozen=True)
class Ending:
    """A notice above the figures; `trace` is the traceback, if there is one, `status` what it looks like."""

    title: str
    sentence: str
    trace: str = ""
    status: str = ""


def describe_ending(run: RunRecord) -> Ending | None:
    """None for a run that runs, waits or completed, and none of whose ranks failed."""
    ending = _own_ending(run)
    failed = [state for state in run.ranks if state.rank and state.status == "failed"]
    if not failed or (run.status == "failed" and run.fail_trace):
        return ending
    # The first one that failed is the cause; the others, rank 0 too, were stopped for it.
    first = min(failed, key=lambda state: (state.heartbeat is None, state.heartbeat, state.rank))
    trace = "".join(first.fail_trace).rstrip()
    last = next((line.strip() for line in reversed(trace.splitlines()) if line.strip()), "it left no traceback")
    others = f" {count_noun(len(failed) - 1, 'other rank')} failed after it." if len(failed) > 1 else ""
    after = f" Rank 0: {ending.sentence}" if ending is not None else ""
    return Ending(
        f"Rank {first.rank} failed: {last}", f"On {first.host or 'an unknown host'}.{others}{after}", trace, "failed"
    )


def _own_ending(run: RunRecord) -> Ending | None:
    if run.status == "failed":
        return _failed(run)
    if run.status == "interrupted":
        return _interrupted(run)
    if run.status == "lost":
        return _lost(run)
    return None


def _failed(run: RunRecord) -> Ending:
    trace = "".join(line if line.endswith("\n") else f"{line}\n" for line in run.fail_trace).rstrip()
    lines = [line for line in trace.splitlines() if line.strip()]
    title = lines[-1].strip() if lines else "The run failed"
    after = (
        "Nobody wrote down when it started." if run.duration is None else f"It ran for {format_duration(run.duration)}."
    )
    if trace:
        return Ending(title, after, trace)
    how = f"; {_exit_words(run)}" if run.uid is not None else ""
    return Ending(title, f"{after} It left no traceback{how}.", trace)


def _interrupted(run: RunRecord) -> Ending:
    trace = "".join(run.fail_trace).rstrip()
    title = f"Ended as {run.custom_status}" if run.custom_status else _stopped_by(run)
    if run.uid is None:  # Sacred writes neither exit codes nor signals, and loses what it could not send in time
        return Ending(title, f"After {format_duration(run.duration)}. Sacred kept no reason.", trace)
    sentence = f"After {format_duration(run.duration)}, {_exit_words(run)}. All that it had logged is stored."
    reason = run.exit.get("reason")  # what the exception said that interrupted it
    return Ending(f"{title}: {reason}" if isinstance(reason, str) and reason else title, sentence, trace)


def _stopped_by(run: RunRecord) -> str:
    stopped = run.exit.get("stopped")
    who = stopped.get("by") if isinstance(stopped, dict) else None
    return f"Stopped by {who}" if isinstance(who, str) and who else "Stopped before its end"


def _lost(run: RunRecord) -> Ending:
    seen = run.heartbeat or run.start_time
    if run.uid is None:
        return Ending(
            "No sign of life",
            f"The last one came {format_ago(seen)}, at {format_clock_time(seen)}. The training was killed, its machine "
            "is down, or it lost the database for good. Sacred stores no sign of that, and keeps nothing that it could "
            "not send.",
        )
    return Ending(
        "No sign of life",
        f"The last one came {format_ago(seen)}, at {format_clock_time(seen)}. The training was killed, its machine is "
        "down, or it cannot reach the database. What it logged and could not send lies in its journal on "
        f"{run.host or 'its machine'}: 'cloister sync' there ships it.",
    )


def _exit_words(run: RunRecord) -> str:
    number = run.exit.get("signal")
    if isinstance(number, int) and number:
        try:
            return f"a {signal.Signals(number).name} signal stopped it"
        except ValueError:
            return f"signal {number} stopped it"
    code = run.exit.get("code")
    return f"its exit code was {code}" if isinstance(code, int) else "its exit code is not known"
