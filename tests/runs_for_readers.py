"""Runs of every kind for Sacred's readers to open: python runs_for_readers.py FOLDER [running]

A program of its own, so that console and signals are those of a training. Its database and data folder are those of
its environment; the numbers of the runs are in FOLDER/runs.json when it ends. With "running" it records one run that
goes on until a line comes on stdin, and prints its number.
"""

from __future__ import annotations

import contextlib
import json
import math
import select
import struct
import sys
import zlib
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import cloister

LONG_POINTS = 1_000_000
LOUD_BYTES = 50_000_000
PEAK_STEP = 618_034
# Names that mean something to MongoDB, to JavaScript or to an address. None is HTML: Omniboard would show it as such.
HOSTILE_NAMES = (
    "", " ", ".", "a.b$c/d e", "a,b", "$where", "%2E", "x" * 2000, "__proto__", "constructor", "toString", "_id",
    "nul\x00", "new\nline", "\U0001f600", "\u202ertl", "\ud800", "../../etc/passwd", "=1+1",
)  # fmt: skip
HOSTILE_CONFIG = {
    "lr": 0.1,
    "a.b": 1,
    "$where": {"$gt": 1},
    "": "empty",
    "a,b": [1, {"deep": None}],
    "tags": ["from", "config"],
    "status": "not the run's",
    "_id": 7,
    "nothing": None,
    "nan": math.nan,
    "__proto__": "x",
    "optimizer": {"name": "adam", "betas": (0.9, 0.999), "none": None},
}


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    recorded = {record.__name__.removeprefix("record_"): number_of(record(folder)) for record in RECORDED}
    recorded["forked"] = number_of(record_forked(recorded["completed"]))
    recorded["resumed"] = number_of(record_resumed(number_of(record_interrupted(folder))))
    (folder / "runs.json").write_text(json.dumps(recorded), encoding="utf-8")


def number_of(run: cloister.Run) -> int:
    assert run.wait_until_stored(60)
    assert run.id is not None
    return run.id


def start(name: str, **options: Any) -> cloister.Run:
    options.setdefault("hardware", False)
    return cloister.start_run(project="readers", experiment=name, **options)


def record_completed(folder: Path) -> cloister.Run:
    """Everything that a run can have, hardware too."""
    config = {"lr": 0.1, "seed": 7, "optimizer": {"name": "adam", "betas": [0.9, 0.999]}}
    with start("completed", config=config, tags=["good"], notes="A first note.", hardware=True) as run:
        run.add_tags("good", "second")
        run.note("A note.")
        for step in range(100):
            run.log({"loss": 1 / (step + 1), "val/accuracy": step / 100})
        print("what the training printed")
        print("\x1b[31mred\x1b[0m and a bar: 10 %\r100 %", file=sys.stderr)
        for name, content in artifact_files().items():
            (folder / name).write_bytes(content)
            run.log_artifact(folder / name, metadata={"kind": "small"})
        run.info["note"] = "kept"
        run.finish(result={"accuracy": 0.99, "confusion": [[1, 2], [3, 4]], "lost": None})
    return run


def record_failed(folder: Path) -> cloister.Run:
    with contextlib.suppress(ZeroDivisionError), start("failed", config={"lr": 0.2, "other": "text"}) as run:
        run.log({"loss": 1.0})
        1 / 0  # noqa: B018
    return run


def record_interrupted(folder: Path) -> cloister.Run:
    with contextlib.suppress(KeyboardInterrupt), start("interrupted", config={"lr": 0.3}) as run:
        for step in range(10):
            run.log({"loss": 10.0 - step})
        raise KeyboardInterrupt
    return run


def record_plain(folder: Path) -> cloister.Run:
    """No config, no metric, no output."""
    with start("plain") as run:
        pass
    return run


def record_long(folder: Path) -> cloister.Run:
    """More points than one document holds, one of them far above all others."""
    with start("long", config={"lr": 0.4}) as run:
        for step in range(LONG_POINTS):
            run.log({"wave": 1000.0 if step == PEAK_STEP else step % 1000 / 1000}, step)
        run.log({"short": 1.0})
    return run


def record_loud(folder: Path) -> cloister.Run:
    """More output than one document holds."""
    line = "x" * 999 + "\n"
    with start("loud", config={"lr": 0.5}) as run:
        for _ in range(LOUD_BYTES // len(line) // 100):
            sys.stdout.write(line * 100)
        print("the last line")
    return run


def record_hostile(folder: Path) -> cloister.Run:
    """Names and values that MongoDB, JSON and JavaScript have trouble with."""
    with start("hostile", config=HOSTILE_CONFIG, tags=["", "a,b", "\ud800"], notes="</script>\x00") as run:
        for value in (math.nan, math.inf, -math.inf, -0.0, 0.5):
            run.log({"odd": value, **dict.fromkeys(HOSTILE_NAMES, value)})
        print("\x00 \u202e \x1b[2J")
        run.info.update({"a.b": (1, None), "when": datetime.now(timezone.utc), "bytes": b"\x00\xff", "nan": math.nan})
        run.info.update({"$where": {"py/object": "builtins.int"}, "large": 2**63 - 1, "object": folder})
        run.finish(result=math.nan)
    return run


def record_extreme(folder: Path) -> cloister.Run:
    """What no axis can show."""
    with start("extreme", config={"lr": 1.7976931348623157e308, "large": 2**63 - 1}) as run:
        for step, value in ((0, 5e-324), (1, 1.7976931348623157e308), (2**63 - 1, 1.0), (-(2**63), 1.0)):
            run.log({"odd": value}, step)
    return run


def record_twins(folder: Path) -> cloister.Run:
    """The same bytes under several names, an empty file among them."""
    (folder / "twin").write_bytes(b"the same bytes")
    (folder / "empty").write_bytes(b"")
    with start("twins") as run:
        for name in ("one.txt", "two.txt", "in/a/folder.txt"):
            run.log_artifact(folder / "twin", name=name)
        run.log_artifact(folder / "empty", name="empty.bin")
    return run


def record_forked(parent: int) -> cloister.Run:
    with start("forked", config={"lr": 0.6}, fork_from=(parent, 49)) as run:
        for _ in range(10):
            run.log({"loss": 0.5})
    return run


def record_resumed(run_id: int) -> cloister.Run:
    with start("interrupted", resume=run_id) as run:
        run.log({"loss": 0.0})
    return run


def artifact_files() -> dict[str, bytes]:
    return {
        "notes.txt": b"text\n",
        "table.csv": b"epoch,loss\n1,0.5\n2,0.25\n",
        "metrics.json": b'{"loss": 0.5}',
        "page.html": b"<!doctype html><title>t</title><p>page",
        "dot.png": png(),
        "model.pt": bytes(range(256)) * 4096,
    }


def png() -> bytes:
    """One red pixel."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0\xff\0\0")) + chunk(b"IEND", b"")
    )


RECORDED: tuple[Callable[[Path], cloister.Run], ...] = (
    record_completed,
    record_failed,
    record_interrupted,
    record_plain,
    record_long,
    record_loud,
    record_hostile,
    record_extreme,
    record_twins,
)


def keep_running() -> None:
    with start("running", config={"lr": 0.8}, capture="none") as run:
        run.log({"loss": 1.0})
        print(run.id, flush=True)
        while not select.select([sys.stdin], [], [], 0.25)[0]:
            run.log({"loss": 1.0})


if __name__ == "__main__":
    if sys.argv[2:] == ["running"]:
        keep_running()
    else:
        main(Path(sys.argv[1]))
