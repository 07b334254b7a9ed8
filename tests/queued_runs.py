"""Queueing runs in a test, and a worker as somebody would start it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from click.testing import CliRunner
from cloister.__main__ import main
from cloister.decorators.queueing import Entry, QueuedRun, queue_run
from cloister.decorators.run_start import RunPlan
from cloister.observer.settings import load_settings
from recorded_script import RecordedScript


def queue_script(
    script: RecordedScript, source: str, *words: str, name: str = "train.py", entry: Entry | None = None, **plan: Any
) -> QueuedRun:
    """Queue a script that knows nothing of Cloister, as `cloister run --queue` does it, in this process."""
    path = script.write(source, name).resolve()
    described = RunPlan(path.stem, path.stem, {}, {}, main_file=path, **plan)
    return queue_run(described, load_settings(uri=script.uri), entry or Entry("plain", words))


@contextmanager
def working(
    script: RecordedScript, *options: str, env: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[str]]:
    """A worker; it does not outlive the block."""
    worker = subprocess.Popen(
        [sys.executable, "-m", "cloister", "worker", *options],
        cwd=script.folder.parent,
        env={**os.environ, "CLOISTER_URI": script.uri, "COLUMNS": "200", **(env or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    with worker:
        try:
            yield worker
        finally:
            worker.kill()


def run_worker(script: RecordedScript, *options: str, env: Mapping[str, str] | None = None) -> str:
    """A worker until the queue is empty, in this process, which spares starting one; what it has said."""
    worker = CliRunner(env={"CLOISTER_URI": script.uri, "COLUMNS": "200", **(env or {})})
    done = worker.invoke(main, ["worker", "--once", *options], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


@contextmanager
def waiting_script(folder: Path) -> Iterator[Callable[[], int | None]]:
    """For scripts that write the number of their process into `folder / "process"` and wait for `folder / "go"`: gives
    the number, once it is there. The processes do not outlive the block."""
    seen: set[int] = set()

    def process() -> int | None:
        try:
            number = int((folder / "process").read_text())
        except (FileNotFoundError, ValueError):
            return None
        seen.add(number)
        return number

    try:
        yield process
    finally:
        process()
        for number in seen:
            with suppress(ProcessLookupError):
                os.killpg(number, signal.SIGKILL)


def document_of(script: RecordedScript, queued: QueuedRun) -> dict[str, Any]:
    found = script.store.database["runs"].find_one({"cloister.uid": queued.uid})
    assert found is not None
    return found
