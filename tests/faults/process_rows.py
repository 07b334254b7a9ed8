"""Rows of the fault table: clocks, forks, and processes that are told to write one run."""

from __future__ import annotations

import numpy as np

from .accepted import make_tallies
from .comparing import Accepted, Outcome, compare, compare_points, compare_process, only_run
from .places import Workplace

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


def one_run_twice(work: Workplace, *, times: int, ranks: bool) -> Outcome:
    """Two processes are told to write the same run at the same time, as two ranks or without having been told apart."""
    outcome = Outcome()
    for _ in work.rounds(times):
        with work.place() as place:
            tallies = make_tallies(place.project / "tallies", 2)
            place.environment["CLOISTER_RUN"] = place.name
            trainings = []
            for slot in range(2):
                if ranks:
                    place.environment.update(RANK=str(slot), WORLD_SIZE="2")
                first = slot * 100_000  # so that points of the one are not those of the other
                options = {"steps": 500, "rate": 500, "line_every": 100, "first": first, "slot": slot}
                trainings.append(place.start(tallies=tallies, **options))
            for training in trainings:
                training.wait()
            place.wait_until_shipped()
            round_outcome = Outcome(times=1)
            for training in trainings:
                compare_process(round_outcome, training)
                round_outcome.worst_ms = max(round_outcome.worst_ms, training.tally.worst_call_ns / 1e6)
            with place.store() as store:
                run = only_run(round_outcome, store)
                if run is not None:
                    names = ["", "rank/1/"] if ranks else ["", ""]
                    accepted = [Accepted.by(training, name) for training, name in zip(trainings, names, strict=True)]
                    lost = compare_points(round_outcome, store, run, accepted)
                    round_outcome.complain_if(lost, f"{lost} points lost")
                    round_outcome.complain_if(run.status != "completed", f"the run is {run.status}")
            outcome += round_outcome
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
