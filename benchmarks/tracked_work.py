"""A given amount of points, recorded by one tracker in a process of its own: what it cost, and whether all is there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cloister.observer.run_query import RunQuery
from cloister.observer.runs import RunStore
from peer_environments import PEERS, PeerUnavailable, environment_of, find_peer, interpreter_for
from private_database import PrivateDatabase
from recorders.cloister_recorder import PROJECT

HERE = Path(__file__).parent
OURS = "cloister"
OBSERVER = "cloister_observer"  # ours under a Sacred experiment, in this interpreter too
DATABASE_TRACKERS = (OURS, OBSERVER, "sacred")
GRACE_SECONDS = 30.0  # for what a tracker leaves behind: our courier goes a second after its work
WORK_SECONDS = 600.0
STORED_SECONDS = 120.0
LOOK_SECONDS = 0.05
TITLES = {OURS: "Cloister", OBSERVER: "cloister.MongoObserver", **{peer.name: peer.title for peer in PEERS}}


@dataclass(frozen=True)
class Work:
    """`steps` calls with `metrics` scalars each, as fast as it goes or `pace` calls a second."""

    steps: int
    metrics: int
    pace: float = 0.0

    @property
    def points(self) -> int:
        return self.steps * self.metrics


@dataclass(frozen=True)
class Spent:
    """What a tracker took for a work. Seconds are wall time unless they say CPU."""

    tracker: str
    work: Work
    start_seconds: float  # until the training's first line, imports included
    log_seconds: float  # of the training thread in all its calls
    p50_us: float
    p99_us: float
    slowest_us: float
    grown_bytes: int  # of the trainer's memory, from its first call to its last
    finish_seconds: float  # in the tracker's own end
    process_seconds: float  # from the start of the process to its end
    readable_seconds: float  # from the start of the process until all is readable
    cpu_seconds: float  # of the process and all that it started
    helper_cpu_seconds: float  # the part of it that the process left behind
    database_cpu_seconds: float
    points_found: int  # by the tracker's own reader


class WorkFailed(PeerUnavailable):
    """A peer did not get through the work; the message is short enough for a table."""


def record_work(tracker: str, work: Work, folder: Path, database: PrivateDatabase, *, verify: bool = True) -> Spent:
    """Have `tracker` record `work` with its files below `folder`, which must not exist.

    Args:
        verify: whether to look when all is readable and to count it. Looking is traffic: without it the process's end
            counts as the moment, and `points_found` is what was asked for.

    Raises:
        PeerUnavailable: the peer cannot be installed here, or it failed.
        RuntimeError: Cloister itself failed, and then there is nothing to compare.
    """
    folder.mkdir(parents=True)
    python, environment = program_of(tracker, folder, database)
    facts, supervised = folder / "facts.json", folder / "supervised.json"
    command = [python, str(HERE / "record_work.py"), tracker, str(folder), str(facts)]
    command += [str(work.steps), str(work.metrics), str(work.pace)]
    before = database.cpu_seconds()
    supervisor = subprocess.Popen(
        [sys.executable, str(HERE / "supervise.py"), str(supervised), str(GRACE_SECONDS), *command],
        env=environment,
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=(folder / "errors.txt").open("wb"),
    )
    readable_at = _wait_until_stored(supervisor, folder, work) if tracker == OURS and verify else None
    if supervisor.wait(WORK_SECONDS):
        reason = f"failed: {_last_line(folder / 'errors.txt')}"
        raise RuntimeError(f"Cloister {reason}") if tracker in (OURS, OBSERVER) else WorkFailed(reason)
    whole = json.loads(supervised.read_text(encoding="utf-8"))
    database_cpu = database.cpu_seconds() - before if tracker in DATABASE_TRACKERS else 0.0
    return Spent(
        tracker=tracker,
        work=work,
        **json.loads(facts.read_text(encoding="utf-8")),
        process_seconds=whole["seconds"],
        readable_seconds=max(readable_at or 0.0, whole["ended_at"]) - whole["started_at"],
        cpu_seconds=whole["cpu_seconds"],
        helper_cpu_seconds=whole["helper_cpu_seconds"],
        database_cpu_seconds=database_cpu,
        points_found=count_points(tracker, folder, database) if verify else work.points,
    )


def program_of(tracker: str, folder: Path, database: PrivateDatabase) -> tuple[str, dict[str, str]]:
    """The interpreter and environment variables with which `tracker` runs.

    Raises:
        PeerUnavailable: it cannot be installed here.
    """
    if tracker in (OURS, OBSERVER):
        return sys.executable, dict(os.environ)
    peer = find_peer(tracker)
    environment = environment_of(peer, folder)
    environment["SACRED_URI"] = database.uri
    return str(interpreter_for(peer)), environment


def count_points(tracker: str, folder: Path, database: PrivateDatabase) -> int:
    """What the tracker's own reader finds."""
    python, environment = program_of(tracker, folder, database)
    command = [python, str(HERE / "count_work.py"), tracker, str(folder)]
    done = subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, timeout=WORK_SECONDS)
    if done.returncode:
        raise WorkFailed(f"cannot be read back: {done.stderr.strip().splitlines()[-1][:100]}")
    return int(done.stdout.split()[-1])


@contextmanager
def work_folder() -> Iterator[Path]:
    """A folder for the trackers' files, gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="cloister-benchmark-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


def fresh(folder: Path, tracker: str) -> Path:
    """A name in `folder` that nothing has yet; runs are told apart by it."""
    return folder / f"{tracker}-{uuid.uuid4().hex[:8]}"


def _wait_until_stored(supervisor: subprocess.Popen[bytes], folder: Path, work: Work) -> float | None:
    """The monotonic time at which the database had the ended run of `folder` with all its points; None if never."""
    ended_at: float | None = None
    with RunStore.connect() as store:
        while ended_at is None or time.monotonic() < ended_at + STORED_SECONDS:
            # Looking costs the database something too: a millisecond each time.
            time.sleep(LOOK_SECONDS)
            if is_stored(store, folder.name, work):
                return time.monotonic()
            if ended_at is None and supervisor.poll() is not None:
                ended_at = time.monotonic()
                if supervisor.returncode:
                    return None
    return None


def is_stored(store: RunStore, name: str, work: Work) -> bool:
    """Whether the run of that name has ended, as the database knows it, with all points of `work`."""
    runs = store.list_runs(RunQuery(project=PROJECT, text=name, page_size=1)).runs
    if not runs or runs[0].status == "running":
        return False
    return sum(metric.count for metric in runs[0].summary.values()) >= work.points


def _last_line(path: Path) -> str:
    lines = path.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return lines[-1][:100] if lines else "it said nothing"
