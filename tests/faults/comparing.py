"""What a training was told is recorded, against what is in MongoDB: point by point and byte by byte."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
import numpy.typing as npt
from cloister.observer.console_store import ConsolePiece
from cloister.observer.run_query import RunQuery
from cloister.observer.run_record import RunRecord
from cloister.observer.runs import MetricNotFound, RunStore

from .expected import METRICS, bytes_of, columns_of, line_of
from .our_words import undocumented
from .places import Place, Training, without_cloister

Int64s = npt.NDArray[np.int64]
UNPACED = (
    "tally",
    "rate",
    "note_syncs",
    "clock_back_at",
    "at_most",
    "name",
)  # options that change nothing of what a training prints
HANG_SECONDS = 2.0  # a call that waits for a database or a disk takes longer than any pause of the scheduler


@dataclass
class Outcome:
    """What came of one row's rounds. `complaints` is empty when everything held."""

    times: int = 0  # how often the fault was done
    accepted: int = 0  # points, lines and files
    stored: int = 0
    lost: int = 0
    doubled: int = 0
    counted: int = 0  # points and lines that the runs themselves say they have lost
    counted_bytes: int = 0  # and bytes: of damaged records nobody can say what they held
    worst_ms: float = 0.0
    exits_alike: bool = True
    seconds: float = 0.0
    remarks: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    @property
    def holds(self) -> bool:
        return not self.complaints

    def __iadd__(self, other: Outcome) -> Outcome:
        for name in (one.name for one in fields(self)):
            mine, theirs = getattr(self, name), getattr(other, name)
            if name == "worst_ms":
                setattr(self, name, max(mine, theirs))
            elif name == "exits_alike":
                setattr(self, name, mine and theirs)
            else:
                setattr(self, name, mine + theirs)
        return self

    def complain_if(self, condition: object, complaint: str) -> None:
        if condition:
            self.complaints.append(complaint)


@dataclass(frozen=True)
class Accepted:
    """Steps that were told to be recorded, and those whose call had not returned when the process died."""

    steps: Int64s
    in_flight: Int64s
    prefix: str = ""  # in front of the metrics' names

    @classmethod
    def by(cls, training: Training, prefix: str = "") -> Accepted:
        first, count = int(training.options.get("first", 0)), training.tally.steps
        return cls(np.arange(first, first + count), np.arange(first + count, first + count + 1), prefix)


# ---- one training and its run


def compare(place: Place, training: Training, *, whole: bool = True, allow_counted: bool = False) -> Outcome:
    """Compare a training with its run, which must be the only one, and its output with that without Cloister.

    Args:
        place: where it ran.
        training: the training, ended.
        whole: whether the training was left to end by itself.
        allow_counted: whether something may be lost, as long as the run counts exactly that.
    """
    outcome = Outcome(times=1, worst_ms=training.tally.worst_call_ns / 1e6)
    compare_process(outcome, training, whole=whole)
    with place.store() as store:
        run = only_run(outcome, store, needed=training.tally.steps > 0)
        if run is not None:
            lost_points = compare_points(outcome, store, run, [Accepted.by(training)])
            lost_lines = compare_lines(outcome, store, run, training.tally.lines)
            compare_files(outcome, store, run, training)
            note_counted(outcome, run)
            if allow_counted:
                _compare_counted(outcome, run, training, points=lost_points, lines=lost_lines)
            else:
                outcome.complain_if(any(run.lost.values()), f"the run counts {run.lost} as lost")
            status = "completed" if whole and not training.options.get("exit_code") else None
            outcome.complain_if(status and run.status != status, f"the run is {run.status}")
    if not allow_counted:
        outcome.complain_if(outcome.lost, f"{outcome.lost} lost")
    return outcome


def note_counted(outcome: Outcome, run: RunRecord) -> None:
    outcome.counted += run.lost.get("points", 0) + run.lost.get("lines", 0)
    outcome.counted_bytes += run.lost.get("bytes", 0)


def _compare_counted(outcome: Outcome, run: RunRecord, training: Training, *, points: int, lines: int) -> None:
    """What the run says it has lost must be what it has lost; our own warnings on stderr are lines of it too."""
    own = training.err.read_text().count("\n")
    right = run.lost.get("points", 0) == points and lines <= run.lost.get("lines", 0) <= lines + own
    outcome.complain_if(not right, f"the run counts {run.lost} as lost, and it was {points} points, {lines} lines")


def only_run(outcome: Outcome, store: RunStore, *, needed: bool = True) -> RunRecord | None:
    """The database's only run, None where nothing was accepted and none is there."""
    runs = store.list_runs(RunQuery()).runs
    outcome.complain_if(len(runs) > 1 or (needed and not runs), f"there are {len(runs)} runs instead of one")
    return store.load_run(runs[0].id) if len(runs) == 1 else None


def compare_process(outcome: Outcome, training: Training, *, whole: bool = True) -> None:
    """Exit code, stdout and stderr, against the same training without Cloister."""
    worst = training.tally.worst_call_ns / 1e9
    outcome.complain_if(worst > HANG_SECONDS, f"a call took {worst:.1f} s (step {training.tally.worst_step})")
    out, err, code = training.out.read_bytes(), training.err.read_text(), training.process.returncode
    options: dict[str, Any] = {
        name: value for name, value in training.options.items() if name not in (*UNPACED, "tally")
    }
    if options.get("until_told"):  # how far it came depends on the machine: as far as it says
        options.update(steps=training.tally.steps, until_told=False)
    if training.script == "saving.py":  # nor do the files' bytes show
        options.update(size=1, files=min(options["files"], training.tally.files + 1))
    same_out, same_err, same_code = without_cloister(training.script, json.dumps(options, sort_keys=True))
    if whole:
        outcome.exits_alike &= code == same_code
        outcome.complain_if(code != same_code, f"the exit code is {code} instead of {same_code}")
        outcome.complain_if(out != same_out, "stdout is not that without Cloister")
    else:
        outcome.exits_alike &= code == -9
        outcome.complain_if(code != -9, f"the exit code is {code} although it was killed")
        outcome.complain_if(not same_out.startswith(out), "stdout is not how it begins without Cloister")
    strange = undocumented(err.removeprefix(same_err.decode()))
    outcome.complain_if(strange, f"stderr says {strange[:3]}")


# ---- points


def compare_points(outcome: Outcome, store: RunStore, run: RunRecord, accepted: Sequence[Accepted]) -> int:
    """Compare every metric of the run with what was accepted; how many points are lost."""
    lost = 0
    for prefix in {one.prefix for one in accepted}:
        steps = np.concatenate([one.steps for one in accepted if one.prefix == prefix])
        in_flight = np.concatenate([one.in_flight for one in accepted if one.prefix == prefix])
        for metric in METRICS:
            lost += _compare_metric(outcome, store, run, prefix + metric, metric, steps, in_flight)
    return lost


def _compare_metric(
    outcome: Outcome, store: RunStore, run: RunRecord, name: str, metric: str, steps: Int64s, in_flight: Int64s
) -> int:
    outcome.accepted += len(steps)
    try:
        points = store.load_points(run.id, name)
    except MetricNotFound:
        outcome.lost += len(steps)
        return len(steps)
    lost = len(np.setdiff1d(steps, points.steps))
    doubled = len(points.steps) - len(np.unique(points.steps))
    outcome.stored += len(steps) - lost
    outcome.lost += lost
    outcome.doubled += doubled
    outcome.complain_if(doubled, f"{doubled} points of {name} doubled")
    foreign = np.setdiff1d(points.steps, np.concatenate([steps, in_flight]))
    outcome.complain_if(len(foreign), f"{name} has steps that nobody logged: {foreign[:3].tolist()}")
    wrong = columns_of(points.steps)[metric].view(np.int64) != points.values.view(np.int64)
    outcome.complain_if(wrong.any(), f"{int(wrong.sum())} values of {name} are not those that were logged")
    count = run.summary[name].count if name in run.summary else 0
    outcome.complain_if(count != len(points), f"{name} has {len(points)} points and its summary says {count}")
    return lost


# ---- console


def stored_text(store: RunStore, run: RunRecord, stream: str = "stdout") -> str:
    """All that the run's console holds of a stream."""
    pieces: list[ConsolePiece] = []
    page = store.load_console(run.id, before=str(10**18 - 1), limit=5000)
    pieces[:0] = page.pieces
    while page.more:
        page = store.load_console(run.id, before=page.first, limit=5000)
        pieces[:0] = page.pieces
    return "".join(piece.text for piece in pieces if piece.stream == stream)


def compare_lines(outcome: Outcome, store: RunStore, run: RunRecord, accepted: int) -> int:
    """Compare the console with the lines that were printed: 0, 1, 2, ...; how many of them are lost."""
    text = stored_text(store, run)
    lines = text.split("\n")
    unfinished = lines.pop()
    found = [int(match[1]) for line in lines if (match := re.match(r"line (\d+):", line))]
    wrong = [line for line, number in zip(lines, found, strict=False) if line != line_of(number)]
    lost = len(set(range(accepted)) - set(found))
    doubled = len(found) - len(set(found))
    outcome.accepted += accepted
    outcome.stored += accepted - lost
    outcome.lost += lost
    outcome.doubled += doubled
    outcome.complain_if(doubled, f"{doubled} lines doubled")
    outcome.complain_if(wrong or len(found) < len(lines), f"lines that nobody printed: {(wrong or lines)[:2]}")
    outcome.complain_if(found != sorted(found), "lines out of order")
    outcome.complain_if(max(found, default=0) > accepted, "lines that were not printed yet")
    if not lost:  # then byte by byte
        whole = "".join(f"{line_of(number)}\n" for number in range(accepted + 1))
        outcome.complain_if(not whole.startswith(text), f"the console ends in {unfinished!r}")
    return lost


# ---- files


def compare_files(outcome: Outcome, store: RunStore, run: RunRecord, training: Training) -> None:
    """Compare artifacts by SHA-256 of what can be read, and look for files that are listed and not whole."""
    accepted = training.tally.files
    size = int(training.options.get("size", 1_000_000))
    digests = {hashlib.sha256(bytes_of(number, size)).hexdigest() for number in range(accepted + bool(accepted))}
    good = 0
    for artifact in run.artifacts:
        digest = hashlib.sha256()
        for piece in store.open_blob(artifact.file_id):
            digest.update(piece)
        outcome.complain_if(digest.hexdigest() != artifact.sha256, f"the bytes of {artifact.name} are damaged")
        good += digest.hexdigest() in digests
    names = [artifact.name for artifact in run.artifacts]
    outcome.accepted += accepted
    outcome.stored += min(good, accepted)
    outcome.lost += max(0, accepted - good)
    outcome.doubled += len(names) - len(set(names))
    outcome.complain_if(len(names) != len(set(names)), "artifacts doubled")
