"""A database as a team leaves it after years: python benchmarks/viewer/generated_database.py --uri mongodb://...

100,000 runs in 20 projects (the first has nearly a third of them), each with 50 config keys and 30 metrics, an
environment and an owner, written directly as couriers leave them; `add_points` gives a run a metric of any length.
Everything follows from a seed, so two databases of one size are the same, but for the times: the newest runs go on.
"""

from __future__ import annotations

import argparse
import math
import random
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta, timezone
from typing import Any

import numpy as np
import pymongo
from cloister.observer.indexes import ensure_indexes
from cloister.observer.metric_chunks import CHUNK_POINTS, METRIC_CHUNKS, chunk_key, metric_id, pack_points
from cloister.observer.metric_pyramid import PyramidBuilder
from cloister.observer.metric_summary import empty_summary
from cloister.observer.points import Points
from cloister.observer.run_record import new_run_document, summary_path
from pymongo.database import Database

RUNS, PROJECTS, CONFIG_KEYS, METRICS = 100_000, 20, 50, 30
BATCH = 1_000
RUNNING = 20  # the newest runs go on
PEOPLE = [f"person-{number:02}" for number in range(1, 31)]
OPTIMIZERS = ("adam", "adamw", "sgd", "lion", "rmsprop")
MODELS = ("resnet18", "resnet50", "vit-s", "vit-b", "convnext-t", "unet", "mlp")
WORDS = ("amber", "brisk", "calm", "dusty", "eager", "faint", "grand", "hazel", "ivory", "jolly")
ENDINGS = ("COMPLETED",) * 16 + ("FAILED",) * 2 + ("INTERRUPTED",)
PACKAGES = [f"package-{number}=={number % 7}.{number % 11}.{number % 5}" for number in range(180)]


def project_names(count: int = PROJECTS) -> list[str]:
    return [f"project-{number:02}" for number in range(1, count + 1)]


def config_keys(project: int) -> list[str]:
    """The 50 keys of a project's configs: 30 that all projects have, 20 of its own family."""
    common = ["seed", "batch_size", "epochs", "model.name", "model.depth", "model.width", "data.path", "data.augment"]
    common += ["optimizer.name", "optimizer.lr", "optimizer.weight_decay", "optimizer.momentum", "optimizer.betas"]
    common += [f"train.option_{number}" for number in range(30 - len(common))]
    return common + [f"family_{project % 4}.entry_{number}" for number in range(CONFIG_KEYS - len(common))]


def metric_names(project: int) -> list[str]:
    """The 30 metrics of a project's runs: 20 that all projects have, 10 of its own family."""
    common = ["train/loss", "train/acc", "val/loss", "val/acc", "val/f1", "val/auc", "test/acc", "lr", "epoch"]
    common += [f"layer_{number}/grad_norm" for number in range(20 - len(common))]
    return common + [f"family_{project % 4}/measure_{number}" for number in range(METRICS - len(common))]


def fill_database(
    database: Database[dict[str, Any]],
    *,
    runs: int = RUNS,
    projects: int = PROJECTS,
    seed: int = 7,
    report: Callable[[int], None] = lambda count: None,
) -> None:
    """Insert runs 1 to `runs`, the last one the newest. What the database has already stays."""
    ensure_indexes(database)
    documents = iter_runs(runs, projects, seed)
    for first in range(0, runs, BATCH):
        batch = [document for _, document in zip(range(min(BATCH, runs - first)), documents, strict=False)]
        database["runs"].insert_many(batch, ordered=False)
        report(first + len(batch))


def iter_runs(runs: int, projects: int, seed: int) -> Iterator[dict[str, Any]]:
    chance = random.Random(seed)
    now = datetime.now(timezone.utc).replace(microsecond=0)
    names = project_names(projects)
    for number in range(1, runs + 1):
        project = 0 if chance.random() < 0.26 else chance.randrange(projects)
        started = now - timedelta(minutes=5 * (runs - number), seconds=chance.randrange(200))
        yield a_run(number, names[project], project, started, chance, goes_on=number > runs - RUNNING)


def a_run(
    number: int, project: str, place: int, started: datetime, chance: random.Random, *, goes_on: bool
) -> dict[str, Any]:
    """A run's document as its courier leaves it."""
    config = a_config(place, chance)
    luck = chance.random()
    header: dict[str, Any] = {
        "experiment": f"train-{place % 4}",
        "project": project,
        "name": f"{chance.choice(WORDS)}-{config['model']['name']}-{number}",
        "uid": f"01a1fd6d-8b44-7339-9421-{number:012d}",
        "start_time": started,
        "owner": chance.choice(PEOPLE),
        "tags": [
            word for word, share in (("baseline", 0.05), ("sweep", 0.4), ("paper", 0.01)) if chance.random() < share
        ],
        "notes": "went out of memory, see the console (oom)" if luck < 0.03 else "",
        "visibility": "private" if luck > 0.97 else "",
        "config": config,
        "host": {"hostname": f"node-{chance.randrange(40):02}", "os": ["Linux", "6.1"]},
    }
    document = new_run_document(header, number)
    ours = document["cloister"]
    ended = started + timedelta(seconds=chance.randrange(60, 40_000))
    ours["summary"] = a_summary(place, config, chance)
    ours["environment"] = {
        "python": "3.11.4",
        "distributions": PACKAGES,
        "os": "Linux",
        "host": header["host"]["hostname"],
    }
    ours["git"] = {"state": "repository", "commit": f"{chance.getrandbits(160):040x}", "branch": chance.choice(WORDS)}
    ours["journal"] = {f"{1:016x}": {"offset": 1, "sequence": 1}}
    ours["version"] = 1
    if goes_on:
        ours["updated_at"] = document["heartbeat"] = datetime.now(timezone.utc) + timedelta(hours=12)
        return document
    ours["updated_at"] = ended
    return {**document, "status": chance.choice(ENDINGS), "stop_time": ended, "heartbeat": ended}


def a_config(place: int, chance: random.Random) -> dict[str, Any]:
    values: dict[str, Any] = {
        "seed": chance.randrange(10),
        "batch_size": 2 ** chance.randrange(3, 10),
        "epochs": chance.choice((10, 30, 90, 300)),
        "model.name": chance.choice(MODELS),
        "model.depth": chance.randrange(1, 60),
        "data.path": f"/data/set-{chance.randrange(6)}",
        "data.augment": chance.random() < 0.5,
        "optimizer.name": chance.choice(OPTIMIZERS),
        "optimizer.lr": round(10 ** chance.uniform(-5, -1), 7),
        "optimizer.betas": [0.9, chance.choice((0.99, 0.999))],
    }
    config: dict[str, Any] = {}
    for index, key in enumerate(config_keys(place)):
        value = values.get(key)
        if value is None:
            value = round(chance.random(), 5) if index % 3 else f"choice-{chance.randrange(8)}"
        *folders, name = key.split(".")
        entry = config
        for folder in folders:
            entry = entry.setdefault(folder, {})
        entry[name] = value
    return config


def a_summary(place: int, config: dict[str, Any], chance: random.Random) -> dict[str, Any]:
    """Of one run in 50 the values have gone; one in ten has ended before its last metrics were logged."""
    diverged, names = chance.random() < 0.02, metric_names(place)
    if chance.random() < 0.1:
        names = names[: chance.randrange(METRICS)]
    summary = {}
    for name in names:
        value = chance.random() if "loss" not in name else chance.lognormvariate(-1, 1)
        last = math.nan if diverged and "loss" in name else value
        count = chance.randrange(100, 100_000)
        low, high = value * chance.random(), value * (1 + chance.random())
        summary[name] = {"last": last, "min": low, "max": high, "last_step": count - 1, "count": count}
    return summary


def add_points(
    database: Database[dict[str, Any]], run_id: int, name: str, count: int, *, seed: int = 1, spikes: int = 3
) -> list[int]:
    """Give a run a metric of `count` points, 0.1 s apart, with chunks and pyramid; returns where its spikes are.

    The curve falls like a loss with noise; each of the spikes is one point far above all others.
    """
    run = database["runs"].find_one({"_id": run_id}, {"cloister.uid": 1, "start_time": 1})
    assert run is not None, f"insert run {run_id} first"
    metric, begun = metric_id(run["cloister"]["uid"], name), run["start_time"].replace(tzinfo=timezone.utc).timestamp()
    generator = np.random.default_rng(seed)
    places = sorted(int(place) for place in generator.integers(0, count, spikes))
    builder, summary = PyramidBuilder(database), empty_summary(name)
    chunks: list[dict[str, Any]] = []
    for offset in range(0, count, CHUNK_POINTS):
        points = _piece(offset, min(CHUNK_POINTS, count - offset), count, begun, generator, places)
        chunk = {"_id": chunk_key(metric, 1, offset), "run_id": run_id, "n": len(points), "c": pack_points(points)}
        ends = {"first": int(points.steps[0]), "last": int(points.steps[-1])}
        times = {"since": float(points.wall_times[0]), "until": float(points.wall_times[-1])}
        chunks.append({**chunk, **ends, **times})
        builder.add_chunk(metric, 1, offset, points)
        summary = summary.extended(points)
        if len(chunks) == 64:
            chunks = _store(database, chunks)
    _store(database, chunks)
    builder.finish_segment(metric, 1, count)
    builder.flush()
    document = {"run_id": run_id, "name": name, "steps": [], "values": [], "timestamps": []}
    stored = {"count": count, "stored": 0, "thinned": True}
    database["metrics"].replace_one({"_id": metric}, {**document, "cloister": stored}, upsert=True)
    database["runs"].update_one({"_id": run_id}, {"$set": {summary_path(name): summary.as_document()}})
    return places


def _piece(
    offset: int, length: int, count: int, begun: float, generator: np.random.Generator, spikes: Sequence[int]
) -> Points:
    steps = np.arange(offset, offset + length, dtype=np.int64)
    values = np.round(2.0 / (1.0 + 9.0 * steps / count) + 0.05 * generator.standard_normal(length), 4)
    for place in spikes:
        if offset <= place < offset + length:
            values[place - offset] = 25.0 + place % 7
    return Points(steps, values, begun + steps * 0.1)


def _store(database: Database[dict[str, Any]], chunks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    if chunks:
        database[METRIC_CHUNKS].insert_many(chunks, ordered=False)
    return []


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--uri", required=True, help="a MongoDB with the database's name in it")
    parser.add_argument("--runs", type=int, default=RUNS)
    parser.add_argument("--points", type=int, default=0, help="so many points for metric 'long/loss' of the newest run")
    options = parser.parse_args()
    started = time.monotonic()
    client: pymongo.MongoClient[dict[str, Any]] = pymongo.MongoClient(options.uri, tz_aware=True)
    with client:
        database = client.get_default_database()
        fill_database(database, runs=options.runs, report=lambda count: print(f"\r{count:,} runs", end="", flush=True))
        if options.points:
            places = add_points(database, options.runs, "long/loss", options.points)
            print(f"\n{options.points:,} points in run {options.runs}, spikes at {places}", end="")
    print(f"\n{time.monotonic() - started:.0f} s")


if __name__ == "__main__":
    main()
