"""The table of runs as the viewer answers it: python benchmarks/viewer/table.py

Lists, filters, orders and groups of 100,000 generated runs with 50 config keys and 30 metrics each in 20 projects
(`--quick`: 4,000), asked of the Flask app by REST, answers as JSON; and the pages themselves. Each row is 40 different
questions of a kind, over fields drawn by chance, of one project, the largest, and of all. "columns ready" is how long
after its first question a viewer that has just started has what most questions need; until then MongoDB answers,
"at first" says how fast. `--uri` asks a database that `generated_database.py` has filled.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

import numpy as np
import psutil
from cloister.observer.access.principal import Principal
from cloister.observer.query.fields import metric_field
from cloister.observer.run_query import RunQuery
from cloister.observer.runs import RunStore
from generated_database import OPTIMIZERS, PEOPLE, RUNS, config_keys, fill_database, metric_names, project_names
from machine import look_at_machine, print_figures
from options import read_options
from private_database import private_database
from rich.table import Table

QUICK_RUNS, QUESTIONS, QUICK_QUESTIONS = 4_000, 40, 8
BIG = project_names()[0]
TARGETS = (
    "Targets, p95: first page, filter and sort below 150 ms; sort by any metric below 200 ms; compound below 300 ms; "
    "the viewer's memory below 300 MB."
)
SOMEBODY = Principal(PEOPLE[3], "person", roles=dict.fromkeys(project_names()[:5], "viewer"))
Asked = dict[str, str]
Kind = Callable[[random.Random], Asked]


def a_metric(chance: random.Random) -> str:
    return metric_field(chance.choice(metric_names(chance.randrange(4)))).key


def a_config(chance: random.Random) -> str:
    return f"config.{chance.choice(config_keys(chance.randrange(4)))}"


def ordered(chance: random.Random, key: str) -> str:
    return chance.choice(("", "-")) + key


def a_compound(chance: random.Random) -> str:
    metric, other = a_metric(chance), a_metric(chance)
    return (
        f"({metric} > {chance.random():.2f} or not config.optimizer.lr < 1e-{chance.randrange(2, 5)}) and not "
        f"(tags has baseline or {other} <= {chance.random():.2f}) and started > -{chance.randrange(20, 300)}d and "
        f'not "oom" in notes'
    )


KINDS: dict[str, Kind] = {
    "first page": lambda chance: {},
    "page 100": lambda chance: {"page": "100", "sort": ordered(chance, "started")},
    "sort by a metric": lambda chance: {"sort": ordered(chance, a_metric(chance))},
    "sort by a config entry": lambda chance: {"sort": ordered(chance, a_config(chance))},
    "sort by best(...)": lambda chance: {"sort": f"-best(metrics.val/{chance.choice(('acc', 'f1', 'loss'))})"},
    "sort by name, duration ...": lambda chance: {
        "sort": ordered(chance, chance.choice(("name", "duration", "owner")))
    },
    "sort by three fields": lambda chance: {"sort": f"config.optimizer.name,{a_config(chance)},-{a_metric(chance)}"},
    "filter by a metric": lambda chance: {"query": f"{a_metric(chance)} > {chance.random():.3f}"},
    "filter by a config entry": lambda chance: {"query": f"{a_config(chance)} < {chance.random():.3f}"},
    "filter by status, tags ...": lambda chance: {
        "query": chance.choice(
            (
                "status = failed",
                "tags has paper",
                "started > -30d",
                f"owner = {chance.choice(PEOPLE)}",
                f"config.optimizer.name in ({OPTIMIZERS[0]}, {OPTIMIZERS[1]})",
            )
        )
    },
    "compound, OR and NOT": lambda chance: {"query": a_compound(chance)},
    "the same, by a metric": lambda chance: {"query": a_compound(chance), "sort": ordered(chance, a_metric(chance))},
    "words": lambda chance: {"text": f"{chance.choice(('amber', 'calm', 'resnet'))} {chance.randrange(10, 99)}"},
}


def main() -> None:
    options = read_options(__doc__ or "", peers=False, add=add_options)
    machine = look_at_machine()
    count = QUICK_QUESTIONS if options.quick else QUESTIONS
    table = Table("asked", "a project p50", "p95", "worst", "all runs p50", "p95", "worst", title="Lists of runs, ms")
    with filled(options) as store:
        ready = warm_up(store, table)
        for what, kind in KINDS.items():
            figures = [measure(asking(store, address), kind, count) for address in addresses()]
            add_row(table, what, *figures)
        groups = {"by": "config.optimizer.name,config.model.name", "columns": "metrics.val/acc,duration"}
        asked = [
            measure(asking(store, "/api/v1/groups-of-runs"), lambda _, of=of: {**groups, **of}, count)
            for of in ({"project": BIG}, {})
        ]
        add_row(table, "grouped by two fields", *asked)
        add_row(
            table,
            "a page, drawn",
            *(measure(asking(store, page), KINDS["sort by a metric"], count) for page in (f"/p/{BIG}", "/runs")),
        )
        seen = store.keeping_columns().seen_by(SOMEBODY)
        add_row(
            table,
            "by somebody of 5 projects",
            *(measure(listing(seen, of), KINDS["sort by a metric"], count) for of in (BIG, None)),
        )
    memory = psutil.Process().memory_info().rss / 2**20
    print_figures(
        table, machine, TARGETS, f"columns ready: {ready:.1f} s; memory of this process, with the app: {memory:.0f} MB"
    )


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--uri", help="a database that generated_database.py has filled")


@contextmanager
def filled(options: argparse.Namespace) -> Iterator[RunStore]:
    if options.uri:
        with RunStore.connect(options.uri) as store:
            yield store
        return
    with private_database() as private, RunStore.connect(private.uri) as store:
        fill_database(store.database, runs=QUICK_RUNS if options.quick else RUNS)
        private.checkpoint()
        yield store


def warm_up(store: RunStore, table: Table) -> float:
    """Ask as the first one; returns after how many seconds the columns were there."""
    columns = store.keeping_columns().columns
    assert columns is not None
    started = time.perf_counter()
    add_row(table, "first page, at first", [], measure(asking(store, "/api/v1/runs"), KINDS["first page"], 3))
    columns.prepare()
    add_row(
        table,
        "sort by a metric, at first",
        [],
        measure(listing(store.keeping_columns(), None), KINDS["sort by a metric"], 3),
    )
    while columns.is_preparing():
        time.sleep(0.1)
    return time.perf_counter() - started


def addresses() -> tuple[str, str]:
    return f"/api/v1/projects/{BIG}/runs", "/api/v1/runs"


def asking(store: RunStore, address: str) -> Callable[[Asked], None]:
    from cloister.viewer.app import create_app

    client = create_app(store).test_client()

    def ask(asked: Asked) -> None:
        answer = client.get(address, query_string=asked)
        if answer.status_code == 503:  # a machine that is busy with other things; the time counts
            answer = client.get(address, query_string=asked)
        assert answer.status_code == 200, answer.text

    ask({})  # imports and templates are not what is measured
    return ask


def listing(store: RunStore, project: str | None) -> Callable[[Asked], None]:
    return lambda asked: void(store.list_runs(RunQuery(project, sort=asked["sort"])))


def void(_answer: object) -> None:
    pass


def measure(ask: Callable[[Asked], None], kind: Kind, count: int) -> list[float]:
    chance, taken = random.Random(count), []
    for _ in range(count):
        question = kind(chance)
        started = time.perf_counter()
        ask(question)
        taken.append(1000 * (time.perf_counter() - started))
    return taken


def add_row(table: Table, what: str, *figures: list[float]) -> None:
    cells = []
    for taken in figures:
        cells += (
            [f"{np.percentile(taken, 50):.0f}", f"{np.percentile(taken, 95):.0f}", f"{max(taken):.0f}"]
            if taken
            else [""] * 3
        )
    table.add_row(what, *cells)


if __name__ == "__main__":
    main()
