"""Rows of the fault table: clocks, forks, and processes that are told to write one run."""

from __future__ import annotations

import numpy as np

from .accepted import make_tallies
from .comparing import Accepted, Outcome, compare, compare_points, compare_process, only_run
from .places import Place, Training, Workplace

POINTS_OF_A_CHILD = 3


def clock_set_back(work: Workplace, *, times: int, steps: int) -> Outcome:
    """The wall clock is set back by an hour in the middle of a training."""
    outcome = Outcome()
    for _ in work.rounds(times):
        with work.place() as place:
            training = place.start(steps=steps, rate=400, line_every=5, clock_back_at=steps // 2)
            training.wait()
            place.wait_until_shipped()
            outcome += compare(place, training)
    return outcome


def two_ranks(work: Workplace, *, times: int) -> Outcome:
    """Two processes write one run, as two ranks of it."""
    outcome = Outcome()
    for _ in work.rounds(times):
        with work.place() as place:
            place.environment.update(CLOISTER_RUN=place.name, WORLD_SIZE="2")
            trainings = _start_two(place, ranks=True)
            outcome += _compare_all(place, trainings, ["", "rank/1/"])
    return outcome


def one_run_twice(work: Workplace, *, times: int) -> Outcome:
    """Two processes are told to write the same run, and nothing tells them apart: the later one is refused, aloud."""
    outcome = Outcome()
    for _ in work.rounds(times):
        with work.place() as place:
            place.environment.update(CLOISTER_RUN=place.name)
            trainings = _start_two(place, ranks=False)
            refused = [training for training in trainings if training.tally.steps == 0]
            for training in refused:
                said = training.err.read_text()
                outcome.complain_if("Two processes cannot write it" not in said, f"one was refused by {said[-200:]!r}")
                outcome.remarks.append("the later one refused")
            recorded = [training for training in trainings if training not in refused]
            outcome.complain_if(not recorded, "both were refused")
            outcome += _compare_all(place, recorded, [""] * len(recorded))
    return outcome


def _start_two(place: Place, *, ranks: bool) -> list[Training]:
    """Two trainings at the same time, each with steps of its own, at their end."""
    tallies = make_tallies(place.project / "tallies", 2)
    trainings = []
    for slot in range(2):
        if ranks:
            place.environment.update(RANK=str(slot))
        options = {"steps": 500, "rate": 500, "line_every": 100, "first": slot * 100_000, "slot": slot}
        trainings.append(place.start(tallies=tallies, **options))
    for training in trainings:
        training.wait()
    return trainings


def _compare_all(place: Place, trainings: list[Training], prefixes: list[str]) -> Outcome:
    place.wait_until_shipped()
    outcome = Outcome(times=1)
    for training in trainings:
        compare_process(outcome, training)
        outcome.worst_ms = max(outcome.worst_ms, training.tally.worst_call_ns / 1e6)
    with place.store() as store:
        run = only_run(outcome, store)
        if run is not None:
            accepted = [Accepted.by(training, prefix) for training, prefix in zip(trainings, prefixes, strict=True)]
            lost = compare_points(outcome, store, run, accepted)
            outcome.complain_if(lost, f"{lost} points lost")
            outcome.complain_if(run.status != "completed", f"the run is {run.status}")
    return outcome


def many_forks(work: Workplace, *, forks: int) -> Outcome:
    """A training forks again and again; every child logs, and leaves without a word."""
    outcome = Outcome()
    with work.place() as place:
        training = place.start("forking.py", slots=forks + 1, forks=forks)
        training.wait(60 + forks)
        place.wait_until_shipped()
        outcome = Outcome(times=forks, worst_ms=max(tally.worst_call_ns for tally in training.tallies) / 1e6)
        compare_process(outcome, training)
        with place.store() as store:
            run = only_run(outcome, store)
            if run is not None:
                accepted = []
                for slot, tally in enumerate(training.tallies):
                    first = slot * POINTS_OF_A_CHILD
                    accepted.append(Accepted(np.arange(first, first + tally.steps), np.empty(0, np.int64)))
                    outcome.complain_if(tally.steps != POINTS_OF_A_CHILD, f"child {slot} logged {tally.steps} points")
                lost = compare_points(outcome, store, run, accepted)
                outcome.complain_if(lost, f"{lost} points lost")
    work.on_round(1, 1)
    return outcome
