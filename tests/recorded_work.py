"""A run that was recorded and not shipped yet, and the check that the database holds exactly that."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from cloister.decorators.run_start import new_uid
from cloister.observer.courier import Courier
from cloister.observer.journal_places import journal_places
from cloister.observer.mongo import client_for
from cloister.observer.recorder import Recorder
from cloister.observer.runs import RunStore
from cloister.observer.settings import Settings, load_settings
from pymongo.errors import PyMongoError


@dataclass
class RecordedWork:
    """Keeps beside the journal what was recorded."""

    settings: Settings
    recorder: Recorder
    uid: str
    values: dict[str, list[float]] = field(default_factory=dict)
    text: dict[str, str] = field(default_factory=lambda: {"stdout": "", "stderr": ""})
    files: dict[str, bytes] = field(default_factory=dict)

    def record(self, steps: int, *, metrics: int = 3) -> None:
        """Points, lines of both streams."""
        for _ in range(steps):
            step = len(next(iter(self.values.values()), ()))
            point = {f"metric {number}": step + number / 8 for number in range(metrics)}
            self.recorder.record_points(point, step)
            for name, value in point.items():
                self.values.setdefault(name, []).append(value)
            stream = "stderr" if step % 10 == 0 else "stdout"
            line = f"step {step} of {self.uid}\n"
            self.recorder.record_console(stream, line, time.time())
            self.text[stream] += line

    def record_file(self, folder: Path, name: str, content: bytes) -> None:
        path = folder / "file-to-record"
        path.write_bytes(content)
        self.recorder.record_artifact(path, name, None, None)
        self.files[name] = content

    def end(self) -> None:
        self.recorder.record_end("COMPLETED", exit_as={"code": 0})

    @property
    def places(self) -> tuple[Path, ...]:
        return journal_places(self.settings)

    def assert_stored(self, store: RunStore) -> None:
        """Every point, every byte of the console in its order, every file, once."""
        run = store.find_run_by_uid(self.uid)
        assert run is not None
        run = store.load_run(run.id)
        assert run.status == "completed"
        assert set(run.summary) == set(self.values)
        for name, values in self.values.items():
            points = store.load_points(run.id, name)
            assert points.values.tolist() == values
            assert points.steps.tolist() == list(range(len(values)))
            assert run.summary[name].count == len(values)
        pieces = list(store.database["console"].find({"run_id": run.id}).sort("n", 1))
        assert len({piece["n"] for piece in pieces}) == len(pieces)
        for stream, text in self.text.items():
            assert "".join(piece["text"] for piece in pieces if piece["stream"] == stream) == text
        assert run.console_bytes == sum(map(len, self.text.values()))
        assert run.console_lines == sum(text.count("\n") for text in self.text.values())
        stored = {artifact.name: store.open_blob(artifact.file_id).read() for artifact in run.artifacts}
        assert stored == self.files
        assert len(run.artifacts) == len(self.files)
        assert store.database["uploads"].count_documents({}) == 0


def begin_work(uri: str, uid: str | None = None, **header: Any) -> RecordedWork:
    """A run in the journal of the test's data folder, for the database at `uri`; nothing ships it yet."""
    uid = uid or new_uid()
    described = {
        "uid": uid,
        "project": "faults",
        "name": uid[-4:],
        "experiment": "work",
        "start_time": datetime.now(timezone.utc),
        **header,
    }
    settings = load_settings(uri=uri)
    return RecordedWork(settings, Recorder(described, settings), uid)


def ship_until_done(uri: str, places: tuple[Path, ...], until: float | None = None) -> int:
    """What the courier's loop does, without its pauses; returns how often it had to start anew."""
    failures = 0
    deadline = time.monotonic() + 60 if until is None else until
    while time.monotonic() < deadline:
        try:
            with client_for(uri) as client:
                courier = Courier(client.get_default_database(), places)
                while courier.ship() or courier.is_busy:
                    pass
        except PyMongoError:
            failures += 1
        else:
            return failures
    raise AssertionError(f"not shipped after {failures} failures")
