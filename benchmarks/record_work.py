"""Record a given amount of points with one tracker, in that tracker's environment; `tracked_work.py` starts it.

    python record_work.py TRACKER FOLDER RESULT STEPS METRICS PACE

makes STEPS calls with METRICS scalars each, PACE calls a second (0: as fast as it goes), and writes to the file
RESULT, as JSON, what the training thread spent.
"""

from __future__ import annotations

import json
import sys
import time
from array import array
from pathlib import Path

from recorders import Log, find_tracker

WORDS = ("train/loss", "train/accuracy", "val/loss", "val/accuracy", "lr")


def metric_names(count: int) -> list[str]:
    return [*WORDS[:count], *(f"layer/{number}/norm" for number in range(len(WORDS), count))]


def main() -> None:
    tracker, folder, result = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    steps, names, pace = int(sys.argv[4]), metric_names(int(sys.argv[5])), float(sys.argv[6])
    begun = time.perf_counter()
    spent: dict[str, float] = {}

    def train(log: Log) -> None:
        spent["start_seconds"] = time.perf_counter() - begun
        durations, spent["grown_bytes"] = timed_calls(log, steps, names, pace)
        spent["trained_at"] = time.perf_counter()
        spent.update(summary(durations))

    find_tracker(tracker).record(folder, train)
    spent["finish_seconds"] = time.perf_counter() - spent.pop("trained_at")
    result.write_text(json.dumps(spent), encoding="utf-8")


def timed_calls(log: Log, steps: int, names: list[str], pace: float) -> tuple[array[int], int]:
    """Nanoseconds of each call, and the bytes by which memory grew over the last nine tenths of them.

    What is logged is made outside of the time. In the first tenth, threads of the tracker still load their modules.
    """
    clock = time.perf_counter_ns
    durations = array("q", [1]) * steps  # its memory is there from the beginning
    before = 0
    for step in range(steps):
        if step == steps // 10:
            before = resident_bytes()
        value = 1.0 / (step + 1)
        metrics = {name: value + index for index, name in enumerate(names)}
        started = clock()
        log(metrics, step)
        durations[step] = clock() - started
        if pace:
            time.sleep(1 / pace)
    return durations, resident_bytes() - before


def summary(durations: array[int]) -> dict[str, float]:
    ordered = sorted(durations)
    count = len(ordered)
    return {
        "log_seconds": sum(ordered) / 1e9,
        "p50_us": ordered[count // 2] / 1e3,
        "p99_us": ordered[min(count - 1, count * 99 // 100)] / 1e3,
        "slowest_us": ordered[-1] / 1e3,
    }


def resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096


if __name__ == "__main__":
    main()
