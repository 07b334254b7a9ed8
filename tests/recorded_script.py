"""Running a training script as a user would: a file, a process, a database to look into afterwards."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from cloister.observer.journal_places import journal_places, run_folders
from cloister.observer.run_query import RunQuery
from cloister.observer.run_record import RunRecord
from cloister.observer.runs import RunStore
from cloister.observer.settings import load_settings


class RecordedScript:
    """A script in a folder of its own, whose runs go to the test's database."""

    def __init__(self, folder: Path, uri: str, store: RunStore) -> None:
        self.folder = folder
        self.uri = uri
        self.store = store
        folder.mkdir(parents=True, exist_ok=True)

    def write(self, source: str, name: str = "train.py") -> Path:
        path = self.folder / name
        path.write_text(textwrap.dedent(source), encoding="utf-8")
        return path

    def start(
        self, source: str, *arguments: str, env: Mapping[str, str] | None = None, name: str = "train.py"
    ) -> subprocess.Popen[str]:
        """Start the script; its stdout and stderr can be read."""
        path = self.write(source, name)
        environment = {**os.environ, "CLOISTER_URI": self.uri, "PYTHONUNBUFFERED": "1", **(env or {})}
        return subprocess.Popen(
            [sys.executable, str(path), *arguments],
            cwd=self.folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(
        self, source: str, *arguments: str, env: Mapping[str, str] | None = None, name: str = "train.py"
    ) -> subprocess.CompletedProcess[str]:
        """Run the script to its end."""
        process = self.start(source, *arguments, env=env, name=name)
        out, err = process.communicate(timeout=120)
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    def runs(self) -> list[RunRecord]:
        """The recorded runs, oldest first, whole."""
        found = self.store.list_runs(RunQuery(sort="started")).runs
        return [self.store.load_run(run.id) for run in found]

    def only_run(self) -> RunRecord:
        [run] = self.runs()
        return run

    def wait_until_shipped(self) -> None:
        """Wait until no journal of the test's database is left in any place."""
        places = journal_places(load_settings(uri=self.uri))
        wait_for(lambda: not run_folders(places), "the journal is shipped")


def wait_for(condition: Callable[[], object], what: str, seconds: float = 60.0) -> None:
    """Wait until `condition` holds; fail saying `what` did not come true."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"it did not come true that {what}"
        time.sleep(0.02)
