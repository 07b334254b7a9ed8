"""What rights cost: python benchmarks/rights.py

The questions behind the pages over 100,000 runs (`--quick`: 3,000) in 40 projects, asked as a script does, which sees
everything without a filter, and as people: one with a role in all projects through "*", one in each of the 40, one in
five, an owner without a role. A tenth of the runs is private, one in 50 for the whole site, one in 20 shared by name.
The two stores are asked in turns. Whoever sees less is answered about less, so the ratios of the first two say what the
filter costs, and those of the others what it saves.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any

from cloister.observer.access.principal import Principal
from cloister.observer.indexes import ensure_indexes
from cloister.observer.run_query import RunQuery
from cloister.observer.run_record import new_run_document
from cloister.observer.runs import RunStore
from machine import look_at_machine, print_figures
from options import read_options
from private_database import private_database
from rich.table import Table

START = datetime(2026, 1, 1, tzinfo=timezone.utc)
PROJECTS = [f"project-{number}" for number in range(40)]
BIG = PROJECTS[0]  # half of all runs are in it
PEOPLE = [f"person-{number}" for number in range(60)]
ROUNDS = 15
TARGET = "Target: the median ratio of those with a role in all projects below 1.2, of each question that a page asks."

PRINCIPALS = {
    'a role through "*"': Principal(PEOPLE[1], "person", roles={"*": "viewer"}),
    "in all 40 projects": Principal(
        PEOPLE[1], "person", groups=frozenset({"team-1", "team-2"}), roles=dict.fromkeys(PROJECTS, "viewer")
    ),
    "in five projects": Principal(
        PEOPLE[2], "person", groups=frozenset({"team-1"}), roles=dict.fromkeys([BIG, *PROJECTS[10:14]], "editor")
    ),
    "an owner, no role": Principal(PEOPLE[3], "person"),
}
QUESTIONS: dict[str, Callable[[RunStore], Any]] = {
    "all projects": lambda store: store.list_projects(),
    "first page of a project": lambda store: store.list_runs(RunQuery(project=BIG)),
    "first page of all runs": lambda store: store.list_runs(RunQuery()),
    "page 100 of a project": lambda store: store.list_runs(RunQuery(project=BIG, page=100)),
    "sorted by a metric": lambda store: store.list_runs(RunQuery(project=BIG, sort="-metrics.loss")),
    "words in a project": lambda store: store.list_runs(RunQuery(project=BIG, text="tag-7")),
    "columns of a project": lambda store: store.discover_columns(BIG),
    "one run": lambda store: store.load_run(1),
    "what changed since": lambda store: store.changes_since(START + timedelta(minutes=99_000)),
}


@dataclass
class Ratios:
    """How long a question took as somebody, over how long it took as a script just before."""

    seconds: list[float] = field(default_factory=list)
    ratios: list[float] = field(default_factory=list)


def main() -> None:
    options = read_options(__doc__ or "", peers=False)
    machine = look_at_machine()
    with private_database() as private, RunStore.connect(private.uri) as store:
        fill(store, 3_000 if options.quick else 100_000)
        table = measure(store, 2 if options.quick else ROUNDS)
    print_figures(table, machine, TARGET)


def fill(store: RunStore, count: int) -> None:
    """Runs as couriers leave them."""
    ensure_indexes(store.database)
    chance = random.Random(7)
    for first in range(1, count + 1, 1_000):
        store.database["runs"].insert_many([a_run(number, chance) for number in range(first, first + 1_000)])


def a_run(number: int, chance: random.Random) -> dict[str, Any]:
    started = START + timedelta(minutes=number)
    project = BIG if chance.random() < 0.5 else chance.choice(PROJECTS)
    header: dict[str, Any] = {
        "experiment": f"experiment-{number % 7}",
        "project": project,
        "name": f"{project}-{number}",
        "uid": f"uid-{number}",
        "start_time": started,
        "owner": chance.choice(PEOPLE),
        "tags": [f"tag-{number % 50}"],
        "config": {name: chance.random() for name in ("lr", "momentum", "dropout", "decay", "warmup", "clip")},
    }
    luck = chance.random()
    luck = 0.11 if number == 1 else luck  # everybody loads the first one
    header["visibility"] = "private" if luck < 0.1 else "site" if luck < 0.12 else "project" if luck < 0.5 else ""
    if chance.random() < 0.05:
        header["shared_with"] = {"people": [chance.choice(PEOPLE)], "groups": [f"team-{chance.randint(1, 9)}"]}
    document = {**new_run_document(header, number), "status": "COMPLETED", "stop_time": started}
    document["cloister"]["summary"] = {
        name: {"last": chance.random(), "min": 0.0, "max": 1.0, "last_step": 99, "count": 100}
        for name in ("loss", "accuracy", "val_loss", "val_accuracy")
    }
    document["cloister"]["updated_at"] = started
    return document


def measure(store: RunStore, rounds: int) -> Table:
    table = Table(
        "question", "as a script", *PRINCIPALS, title="ms (p50), and the median ratio to a script just before"
    )
    for what, ask in QUESTIONS.items():
        plain, cells = Ratios(), []
        for principal in PRINCIPALS.values():
            found = compare(store, store.seen_by(principal), ask, rounds, plain)
            cells.append(f"{1000 * median(found.seconds):.1f}  {median(found.ratios):.2f}")
        table.add_row(what, f"{1000 * median(plain.seconds):.1f}", *cells)
    return table


def compare(plain: RunStore, seen: RunStore, ask: Callable[[RunStore], Any], rounds: int, of_plain: Ratios) -> Ratios:
    found = Ratios()
    ask(plain), ask(seen)  # whatever is read for the first time
    for _ in range(rounds):
        first, second = timed(ask, plain), timed(ask, seen)
        of_plain.seconds.append(first)
        found.seconds.append(second)
        found.ratios.append(second / first)
    return found


def timed(ask: Callable[[RunStore], Any], store: RunStore) -> float:
    started = time.perf_counter()
    ask(store)
    return time.perf_counter() - started


def median(values: list[float]) -> float:
    return sorted(values)[len(values) // 2]


if __name__ == "__main__":
    main()
