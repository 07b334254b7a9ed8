"""Row of the fault table: many trainings for a long time, the database killed now and then."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import psutil

from .accepted import make_tallies
from .comparing import Accepted, Outcome, compare_lines, compare_points, compare_process
from .places import Place, Training, Workplace

RATE = 200
MEMORY_LIMIT_BYTES = 150 * 1024 * 1024
GROWING_UP_SECONDS = 60.0
GROWTH = 1.10  # of the courier's memory and descriptors, from the first third of what follows to the last


@dataclass
class Watched:
    """What the courier held, looked at now and then."""

    started: float = field(default_factory=time.monotonic)
    looks: list[tuple[float, int, int]] = field(default_factory=list)  # seconds, resident bytes, descriptors

    def look(self, place: Place) -> None:
        try:
            [courier] = place.couriers()
            held = courier.memory_info().rss, courier.num_fds()
        except (ValueError, psutil.Error):  # just being started, or gone
            return
        self.looks.append((time.monotonic() - self.started, *held))

    def grown_up(self) -> list[tuple[float, int, int]]:
        return [look for look in self.looks if look[0] > GROWING_UP_SECONDS]


def largest(looks: list[tuple[float, int, int]]) -> tuple[int, int]:
    """The most memory and descriptors."""
    return max((look[1] for look in looks), default=0), max((look[2] for look in looks), default=0)


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
        missing = [training.options["name"] for training in trainings if training.options["name"] not in runs]
        outcome.complain_if(missing, f"{missing} are no runs; the courier said: {_last_words(place)}")
        for training in trainings:
            compare_process(outcome, training)
            outcome.worst_ms = max(outcome.worst_ms, training.tally.worst_call_ns / 1e6)
            if training.options["name"] not in runs:
                continue
            run = store.load_run(runs[training.options["name"]])
            lost = compare_points(outcome, store, run, [Accepted.by(training)])
            lost += compare_lines(outcome, store, run, training.tally.lines)
            outcome.complain_if(lost, f"{lost} lost in {training.options['name']}")
            outcome.complain_if(run.status != "completed", f"{training.options['name']} is {run.status}")


def _last_words(place: Place) -> str:
    log = place.journals / "courier.log"
    return log.read_text(encoding="utf-8")[-4000:] if log.exists() else "nothing"


def _look_at_growth(outcome: Outcome, watched: Watched) -> None:
    """Complain of a courier that grows, once it has had time to grow up: a short soak only sees how large it is."""
    memory, descriptors = largest(watched.looks)
    outcome.remarks.append(f"courier {memory / 2**20:.0f} MiB, {descriptors} descriptors")
    outcome.complain_if(memory > MEMORY_LIMIT_BYTES, f"the courier's memory was {memory / 2**20:.0f} MiB")
    looks = watched.grown_up()
    third = len(looks) // 3
    if third:
        for what, early, late in zip(
            ("bytes", "descriptors"), largest(looks[:third]), largest(looks[-third:]), strict=True
        ):
            outcome.complain_if(late > early * GROWTH, f"the courier grew from {early:,} to {late:,} {what}")
