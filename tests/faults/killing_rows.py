"""Rows of the fault table: `kill -9` of the training, of its courier, and of both."""

from __future__ import annotations

import time

from recorded_script import wait_for

from .comparing import Outcome, compare
from .places import Place, Training, Workplace

# Steps a second: as fast as it goes, and two paces at which a recorder that buffers has much or little in its buffer.
FULL_SPEED, QUICK, SLOW = 0, 100, 10
KILLS_OF_ONE_TRAINING = 10


def trainer_killed(work: Workplace, *, times: int, rate: int) -> Outcome:
    """The training is killed; its courier ships the rest."""
    outcome = Outcome()
    for _ in work.rounds(times):
        with work.place() as place:
            training = _start(place, rate)
            _let_it_run(work, training)
            training.kill()
            place.sync() if not place.couriers() else None  # killed before it had started one
            place.wait_until_shipped()
            outcome += compare(place, training, whole=False)
    return outcome


def courier_killed(work: Workplace, *, times: int, rate: int) -> Outcome:
    """The courier is killed again and again; the training starts the next one."""
    outcome = Outcome()
    while outcome.times < times:
        outcome += _kill_couriers_of_one(work, min(KILLS_OF_ONE_TRAINING, times - outcome.times), rate)
        work.on_round(outcome.times, times)
    return outcome


def _kill_couriers_of_one(work: Workplace, times: int, rate: int) -> Outcome:
    kills = 0
    with work.place() as place:
        training = _start(place, rate)
        while kills < times and training.process.poll() is None:
            time.sleep(work.chooser.uniform(0.05, 1.4))
            wait_for(lambda: place.couriers() or training.process.poll() is not None, "a courier is at work")
            kills += place.kill_couriers()
        training.tally.tell_to_end()
        training.wait()
        place.sync()
        place.wait_until_shipped()
        outcome = compare(place, training)
        outcome.times = kills
    return outcome


def both_killed(work: Workplace, *, times: int, rate: int) -> Outcome:
    """The training and its courier are killed together, as by a batch system; `cloister sync` ships the rest."""
    outcome = Outcome()
    for _ in work.rounds(times):
        with work.place() as place:
            training = _start(place, rate)
            _let_it_run(work, training)
            place.kill_all(training)
            synced = place.sync()
            outcome.complain_if(synced.returncode, f"sync failed: {synced.stderr[-300:]}")
            outcome.complain_if(place.waiting(), "journals are left after sync")
            outcome += compare(place, training, whole=False)
    return outcome


def _start(place: Place, rate: int) -> Training:
    # At full speed a line every 500 steps: up to 1,000 lines a second are recorded before `print` returns, not more.
    return place.start(until_told=True, rate=rate, line_every=500 if rate == FULL_SPEED else 1)


def _let_it_run(work: Workplace, training: Training) -> None:
    """Until a random moment: mostly in the middle, now and then while it starts or at its first steps."""
    if work.chooser.random() < 0.8:
        training.wait_for_steps(1)
    time.sleep(work.chooser.uniform(0.0, 2.0) ** 2 / 2)
