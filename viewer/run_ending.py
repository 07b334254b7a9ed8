"""How a run ended when it did not end well: what happened and what to do, in plain words."""

from __future__ import annotations

import signal
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .wording import format_ago, format_clock_time, format_duration

if TYPE_CHECKING:
    from ..observer.run_record import RunRecord


@dataclass(frozen=True)
class Ending:
    """A notice above the figures; `trace` is the traceback, if there is one."""

    title: str
    sentence: str
    trace: str = ""


def describe_ending(run: RunRecord) -> Ending | None:
    """None for a run that runs, waits or completed."""
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
    after = f"It ran for {format_duration(run.duration)}."
    return Ending(title, after if trace else f"{after} It left no traceback; {_exit_words(run)}.", trace)


def _interrupted(run: RunRecord) -> Ending:
    trace = "".join(run.fail_trace).rstrip()
    sentence = f"After {format_duration(run.duration)}, {_exit_words(run)}. All that it had logged is stored."
    return Ending("Stopped before its end", sentence, trace)


def _lost(run: RunRecord) -> Ending:
    seen = run.heartbeat or run.start_time
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
