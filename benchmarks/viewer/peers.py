"""The servers of others beside ours, on the same runs: python benchmarks/viewer/peers.py

1,000 runs (`--quick`: 60) with 20 config keys, 10 metrics and 1,000 points of one of them each, in MLflow 3 (its server
on SQLite), TensorBoard (its server on event files) and Cloister (`cloister serve` on the embedded database); and
Omniboard's REST answer for the list of our runs. Each is asked what its own pages ask: the list of runs, that list by
a metric, one run, the points of one metric of ten runs. Median of 15 times after one that is not counted. A ratio
above 1 says how many times as long as ours the other takes. Peers are installed once, into environments of their own.
"""

from __future__ import annotations

import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

sys.path.insert(0, str(Path(__file__).parent.parent))
sys.path.append(str(Path(__file__).parent.parent.parent / "tests"))  # which installs and runs Omniboard as well

import numpy as np
from cloister.observer.indexes import ensure_indexes
from cloister.observer.run_record import new_run_document, summary_path
from cloister.observer.runs import RunStore
from generated_database import add_points
from machine import look_at_machine, print_figures
from options import read_options
from peer_environments import PeerUnavailable, environment_of, find_peer, interpreter_for
from private_database import private_database
from rich.table import Table
from served_viewer import free_port, served_viewer

RUNS, POINTS, CONFIG_KEYS, METRICS = 1_000, 1_000, 20, 10
QUICK_RUNS, QUICK_POINTS = 60, 100
TIMES = 15
START_SECONDS = 120
CURVE, COMPARED = "loss", 10
PROJECT = "peers"
QUESTIONS = ("list of runs", "sorted by a metric", "one run", f"one metric of {COMPARED} runs")

Ask = Callable[[], int]  # gives the bytes of the answer


@dataclass(frozen=True)
class Served:
    """A server that answers some of the questions."""

    name: str
    questions: Mapping[str, Ask]


# Writes the runs with the peer's own means; run by the peer's own Python. Arguments: folder, runs, points.
WRITE_MLFLOW = """
import math, sys
from mlflow.tracking import MlflowClient
from mlflow.entities import Metric, Param
folder, runs, points = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
client = MlflowClient(f"sqlite:///{folder}/mlflow.db")
experiment = client.create_experiment("peers", artifact_location=f"file://{folder}/artifacts")
for number in range(runs):
    run = client.create_run(experiment, run_name=f"run-{number}").info.run_id
    params = [Param(f"key_{key}", str(number * key % 97 / 97)) for key in range(20)]
    client.log_batch(run, params=params)
    curve = [Metric("loss", math.exp(-step / (50 + number % 50)), 1700000000000 + step, step) for step in range(points)]
    for start in range(0, points, 1000):
        client.log_batch(run, metrics=curve[start : start + 1000])
    last = [Metric(f"metric_{m}", (number * (m + 1)) % 89 / 89, 1700000000000, 0) for m in range(9)]
    client.log_batch(run, metrics=last)
    client.set_terminated(run)
"""
WRITE_TENSORBOARD = """
import math, sys
from torch.utils.tensorboard import SummaryWriter
folder, runs, points = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
for number in range(runs):
    with SummaryWriter(f"{folder}/logs/run-{number}") as writer:
        for step in range(points):
            writer.add_scalar("loss", math.exp(-step / (50 + number % 50)), step)
        for m in range(9):
            writer.add_scalar(f"metric_{m}", (number * (m + 1)) % 89 / 89, 0)
"""


def main() -> None:
    options = read_options(__doc__ or "", peers=False)
    runs, points = (QUICK_RUNS, QUICK_POINTS) if options.quick else (RUNS, POINTS)
    machine = look_at_machine()
    table = Table("asked", "Cloister ms", title=f"{runs:,} runs of {points:,} points, answers by HTTP")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="cloister-benchmark-")))
        ours, uri, database = stack.enter_context(our_viewer(runs, points))
        peers: list[Served] = []
        for open_peer in (mlflow_server, tensorboard_server):
            try:
                peers.append(stack.enter_context(open_peer(folder, runs, points)))
            except PeerUnavailable as reason:
                print(f"{open_peer.__name__}: {reason}", file=sys.stderr)
        omniboard = open_omniboard(stack, uri, database, folder)
        peers += [omniboard] if omniboard is not None else []
        for peer in peers:
            table.add_column(f"{peer.name} ms")
            table.add_column("ratio")
        for question in QUESTIONS:
            table.add_row(question, *figures(question, ours, peers))
    print_figures(
        table, machine, "Empty: its pages ask for nothing like it. TensorBoard has no list but that of names."
    )


def figures(question: str, ours: Served, peers: list[Served]) -> Iterator[str]:
    own = median_ms(ours.questions[question])
    yield f"{own:.1f}"
    for peer in peers:
        ask = peer.questions.get(question)
        if ask is None:
            yield from ("", "")
        else:
            taken = median_ms(ask)
            yield from (f"{taken:.1f}", f"{taken / own:.1f}")


def median_ms(ask: Ask) -> float:
    assert ask() > 0
    taken = []
    for _ in range(TIMES):
        started = time.perf_counter()
        ask()
        taken.append(1000 * (time.perf_counter() - started))
    return statistics.median(taken)


def fetch(address: str, body: Any = None) -> bytes:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(address, data, {"Content-Type": "application/json", "Accept-Encoding": "identity"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return bytes(answer.read())


def asking(address: str, body: Any = None) -> Ask:
    return lambda: len(fetch(address, body))


# ---- ours


@contextmanager
def our_viewer(runs: int, points: int) -> Iterator[tuple[Served, str, str]]:
    with private_database() as private, RunStore.connect(private.uri) as store:
        store_runs(store, runs, points)
        private.checkpoint()
        base, _, query = private.uri.partition("?")
        with served_viewer(f"{base.rstrip('/')}/{store.database.name}?{query}") as viewer:
            api = f"{viewer.address}/api/v1"
            some = ",".join(str(number) for number in range(1, COMPARED + 1))
            answers = (
                f"{api}/projects/{PROJECT}/runs?page_size=100",
                f"{api}/projects/{PROJECT}/runs?page_size=100&sort=-metrics.metric_3",
                f"{api}/runs/7",
                f"{api}/curves?runs={some}&metric={CURVE}&pixels=1000",
            )
            yield (
                Served("Cloister", dict(zip(QUESTIONS, map(asking, answers), strict=True))),
                private.uri,
                store.database.name,
            )


def store_runs(store: RunStore, runs: int, points: int) -> None:
    """The same runs as the peers', as our courier leaves them."""
    from datetime import datetime, timedelta, timezone

    ensure_indexes(store.database)
    begun = datetime.now(timezone.utc) - timedelta(days=1)
    for number in range(1, runs + 1):
        header = {
            "experiment": PROJECT,
            "project": PROJECT,
            "name": f"run-{number}",
            "uid": f"01a1fd6d-8b44-7339-9421-{number:012d}",
            "start_time": begun + timedelta(seconds=number),
            "config": {f"key_{key}": number * key % 97 / 97 for key in range(CONFIG_KEYS)},
        }
        document = {**new_run_document(header, number), "status": "COMPLETED", "stop_time": begun + timedelta(hours=1)}
        for metric in range(METRICS - 1):
            value = (number * (metric + 1)) % 89 / 89
            name = summary_path(f"metric_{metric}").rpartition(".")[2]
            summary = {"last": value, "min": value, "max": value, "last_step": 0, "count": 1}
            document["cloister"]["summary"][name] = summary
        store.database["runs"].insert_one(document)
        add_points(store.database, number, CURVE, points, seed=number)


# ---- the others


@contextmanager
def started(command: list[str], address: str, environment: Mapping[str, str]) -> Iterator[None]:
    with (
        tempfile.TemporaryFile() as log,
        subprocess.Popen(command, stdout=log, stderr=log, env=dict(environment), start_new_session=True) as process,
    ):
        try:
            deadline = time.monotonic() + START_SECONDS
            while not answers(address):
                if process.poll() is not None or time.monotonic() > deadline:
                    log.seek(0)
                    raise PeerUnavailable(f"its server did not start: {log.read()[-300:].decode('utf-8', 'replace')}")
                time.sleep(0.2)
            yield
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, 15)  # its own group: servers start workers


def answers(address: str) -> bool:
    with contextlib.suppress(OSError):
        return bool(fetch(address))
    return False


def write_runs(name: str, program: str, folder: Path, runs: int, points: int) -> tuple[Path, dict[str, str]]:
    peer = find_peer(name)
    interpreter, environment = interpreter_for(peer), environment_of(peer, folder)
    (folder / "home").mkdir(exist_ok=True)
    done = subprocess.run(
        [str(interpreter), "-c", program, str(folder), str(runs), str(points)],
        env=environment, capture_output=True, text=True, timeout=3600,
    )  # fmt: skip
    if done.returncode:
        raise PeerUnavailable(f"its runs could not be written: {done.stderr.strip()[-300:]}")
    return interpreter, environment


@contextmanager
def mlflow_server(folder: Path, runs: int, points: int) -> Iterator[Served]:
    folder = folder / "mlflow"
    folder.mkdir()
    interpreter, environment = write_runs("mlflow", WRITE_MLFLOW, folder, runs, points)
    port = free_port()
    command = [str(interpreter), "-m", "mlflow", "server", "--backend-store-uri", f"sqlite:///{folder}/mlflow.db"]
    command += ["--default-artifact-root", f"{folder}/artifacts", "--host", "127.0.0.1", "--port", str(port)]
    api = f"http://127.0.0.1:{port}/api/2.0/mlflow"
    with started([*command, "--workers", "1"], f"http://127.0.0.1:{port}/health", environment):
        named = json.loads(fetch(f"{api}/experiments/get-by-name?experiment_name=peers"))
        search = {"experiment_ids": [named["experiment"]["experiment_id"]], "max_results": 100}
        found = json.loads(fetch(f"{api}/runs/search", search))
        ids = [run["info"]["run_id"] for run in found["runs"]][:COMPARED]
        charts = "&".join(f"run_ids={each}" for each in ids)
        bulk = f"http://127.0.0.1:{port}/ajax-api/2.0/mlflow/metrics/get-history-bulk-interval"
        yield Served(
            "MLflow",
            {
                QUESTIONS[0]: asking(f"{api}/runs/search", search),
                QUESTIONS[1]: asking(f"{api}/runs/search", {**search, "order_by": ["metrics.metric_3 DESC"]}),
                QUESTIONS[2]: asking(f"{api}/runs/get?run_id={ids[0]}"),
                QUESTIONS[3]: asking(f"{bulk}?{charts}&metric_key={CURVE}&max_results=320"),
            },
        )


@contextmanager
def tensorboard_server(folder: Path, runs: int, points: int) -> Iterator[Served]:
    folder = folder / "tensorboard"
    folder.mkdir()
    interpreter, environment = write_runs("tensorboard", WRITE_TENSORBOARD, folder, runs, points)
    port = free_port()
    command = [str(interpreter), "-m", "tensorboard.main", "--logdir", f"{folder}/logs", "--host", "127.0.0.1"]
    address = f"http://127.0.0.1:{port}/data"
    with started([*command, "--port", str(port), "--load_fast", "false"], f"{address}/runs", environment):
        deadline = time.monotonic() + 20 * START_SECONDS  # it reads all event files before it knows them
        while len(json.loads(fetch(f"{address}/runs"))) < runs and time.monotonic() < deadline:
            time.sleep(1.0)
        curves = [f"{address}/plugin/scalars/scalars?tag={quote(CURVE)}&run=run-{number}" for number in range(COMPARED)]
        yield Served(
            "TensorBoard",
            {
                QUESTIONS[0]: asking(
                    f"{address}/plugin/scalars/tags"
                ),  # what its pages begin with: all runs, all names
                QUESTIONS[3]: lambda: sum(len(fetch(curve)) for curve in curves),
            },
        )


def open_omniboard(stack: ExitStack, uri: str, database: str, folder: Path) -> Served | None:
    from peer_installs import NpmMissing
    from running_omniboard import FIRST_COLUMNS, running_omniboard

    base, _, query = uri.partition("?")
    folder = folder / "omniboard"
    folder.mkdir()
    try:
        omniboard = stack.enter_context(
            running_omniboard(f"{base.rstrip('/')}/{database}?{query}", folder, free_port())
        )
    except NpmMissing as reason:
        print(f"Omniboard: {reason}", file=sys.stderr)
        return None
    asked = {"select": FIRST_COLUMNS, "sort_by": "_id", "order_by": "-1", "query": "{}", "limit": "100"}
    return Served("Omniboard", {QUESTIONS[0]: lambda: len(omniboard.ask("Runs", **asked))})


if __name__ == "__main__":
    np.seterr(all="ignore")
    main()
