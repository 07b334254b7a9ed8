"""Row of the fault table: many trainings for a long time, the database killed now and then."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import psutil

from .accepted import make_tallies
from .comparing import Accepted, Outcome, compare_lines, compare_points, compare_process
from .places import Place, Training, Workplace

RATE = 200
GROWTH = 1.10  # of the courier's memory and descriptors, from the first third to the last


@dataclass
class Watched:
    """What a courier held, looked at now and then."""

    resident: list[int] = field(default_factory=list)
    descriptors: list[int] = field(default_factory=list)

    def look(self, place: Place) -> None:
        try:
            [courier] = place.couriers()
            self.resident.append(courier.memory_info().rss)
            self.descriptors.append(courier.num_fds())
        except (ValueError, psutil.Error):  # just being started, or gone
            return


def soak(work: Workplace, *, trainers: int, seconds: float, kill_every: float, away: float) -> Outcome:
    """Trainings that each log 200 steps a second; the database is killed every so often and comes back."""
    outcome = Outcome()
    server = work.victim
    server.ensure_running()
    with work.place(server=server.uri) as place:
        place.environment["CLOISTER_EXIT_WAIT"] = "60"
        tallies = make_tallies(place.project / "tallies", trainers)
        options = {"until_told": True, "rate": RATE, "line_every": 20, "at_most": 7200}
        trainings = [
            place.start(tallies=tallies, slot=slot, name=f"training {slot}", **options) for slot in range(trainers)
        ]
        watched, kills = Watched(), 0
        started = time.monotonic()
        while (passed := time.monotonic() - started) < seconds:
            work.on_round(int(passed), int(seconds))
            watched.look(place)
            if passed > (kills + 1) * kill_every:
                kills += 1
                server.kill()
                time.sleep(away)
                server.start()
            time.sleep(min(2.0, seconds / 30))
        for training in trainings:
            training.tally.tell_to_end()
        for training in trainings:
            training.wait()
        place.sync()
        place.wait_until_shipped()
        _compare_all(outcome, place, trainings)
        outcome.times = kills
        _look_at_growth(outcome, watched)
    return outcome


def _compare_all(outcome: Outcome, place: Place, trainings: list[Training]) -> None:
    with place.store() as store:
        runs = {run["cloister"]["name"]: run["_id"] for run in store.database["runs"].find({}, {"cloister.name": 1})}
        outcome.complain_if(len(runs) != len(trainings), f"{len(runs)} runs instead of {len(trainings)}")
        for training in trainings:
            compare_process(outcome, training)
            outcome.worst_ms = max(outcome.worst_ms, training.tally.worst_call_ns / 1e6)
            run = store.load_run(runs[training.options["name"]])
            lost = compare_points(outcome, store, run, [Accepted.by(training)])
            lost += compare_lines(outcome, store, run, training.tally.lines)
            outcome.complain_if(lost, f"{lost} lost in {training.options['name']}")
            outcome.complain_if(run.status != "completed", f"{training.options['name']} is {run.status}")


def _look_at_growth(outcome: Outcome, watched: Watched) -> None:
    third = len(watched.resident) // 3
    if not third:
        return
    for what, values, slack in (
        ("memory", watched.resident, 8 * 1024 * 1024),
        ("descriptors", watched.descriptors, 4),
    ):
        early, late = max(values[:third]), max(values[-third:])
        shown = f"{early / 2**20:.0f} to {late / 2**20:.0f} MiB" if what == "memory" else f"{early} to {late}"
        outcome.remarks.append(f"courier's {what} {shown}")
        outcome.complain_if(late > early * GROWTH + slack, f"the courier's {what} grew from {shown}")
