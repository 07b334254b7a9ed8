"""A place for one round of a fault: a data folder, a project folder, a database, and the processes that work there."""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import psutil
import pymongo
from cloister.observer.journal_places import journal_places
from cloister.observer.runs import RunStore
from cloister.observer.settings import load_settings
from recorded_script import wait_for

from .accepted import Tally, make_tallies
from .servers import Server

TRAININGS = Path(__file__).with_name("trainings")
IMPORTED_FROM = Path(__file__).parents[1]
PATIENCE_SECONDS = 120.0
NOWHERE = "mongodb://127.0.0.1:9/{}?directConnection=true"  # the discard port: nobody answers


@dataclass
class Training:
    """A training that was started: its process, what it was told, what it wrote."""

    script: str
    options: dict[str, Any]
    process: subprocess.Popen[bytes]
    tallies: list[Tally]
    out: Path
    err: Path
    ended_at: float = field(default=0.0)

    @property
    def tally(self) -> Tally:
        return self.tallies[int(self.options.get("slot", 0))]

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGKILL)
        self.wait()

    def wait(self, seconds: float = PATIENCE_SECONDS) -> int:
        """Wait until the process has gone; the exit code as Popen gives it."""
        try:
            code = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"{self.script} had not ended after {seconds:.0f} s: {self.err.read_text()}") from None
        self.ended_at = self.ended_at or time.monotonic()
        return code

    def wait_for_steps(self, steps: int) -> None:
        """Wait until so many steps were logged, or the training is over."""
        wait_for(
            lambda: self.tally.steps >= steps or self.process.poll() is not None,
            f"step {steps} is logged",
            PATIENCE_SECONDS,
        )

    @property
    def seconds_to_leave(self) -> float:
        """From the last line of the script to the end of its process."""
        return self.ended_at - self.tally.ended_ns / 1e9


class Place:
    """One round's folders and database. `uri` is where its trainings record to; `store` reads the same database."""

    def __init__(self, folder: Path, server: str, uri: str | None = None) -> None:
        """Make the folders.

        Args:
            folder: where they go; must not exist.
            server: URI of a server that answers, without a database.
            uri: what trainings are given instead of the server's: through a proxy, or of one that is away.
        """
        self.folder = folder
        self.name = f"faults_{uuid.uuid4().hex[:12]}"
        self.server = server
        self.uri = uri.format(self.name) if uri else with_database(server, self.name)
        self.home = folder / "home"
        self.project = folder / "project"
        self.temporary = folder / "tmp"
        for path in (self.project, self.temporary):
            path.mkdir(parents=True)
        self.environment: dict[str, str] = {
            "CLOISTER_HOME": str(self.home),
            "CLOISTER_COURIER_IDLE": "0.5",
            "TMPDIR": str(self.temporary),
            "PYTHONUNBUFFERED": "1",
            "PYTHONPATH": os.pathsep.join(filter(None, [str(IMPORTED_FROM), os.environ.get("PYTHONPATH")])),
        }
        self.wrapper: list[str] = []  # what every program is started through
        self.memory = Path("/dev/shm")
        self._started: list[Training] = []

    # ---- processes

    def start(
        self, script: str = "plain.py", *, slots: int = 1, tallies: list[Tally] | None = None, **options: Any
    ) -> Training:
        """Start one of the trainings; what it writes goes to files, which a killed one leaves whole."""
        number = len(self._started)
        path = self.project / "tallies"
        tallies = tallies or make_tallies(path, slots)
        shutil.copy(TRAININGS / script, self.project)
        options["tally"] = str(path)
        out, err = (self.folder / f"{number}.{stream}" for stream in ("out", "err"))
        with out.open("wb") as out_file, err.open("wb") as err_file:
            process = subprocess.Popen(
                [*self.wrapper, sys.executable, script, json.dumps(options)],
                cwd=self.project,
                env=self._whole_environment(CLOISTER_URI=self.uri),
                stdin=subprocess.DEVNULL,
                stdout=out_file,
                stderr=err_file,
            )
        training = Training(script, options, process, tallies, out, err)
        self._started.append(training)
        return training

    def sync(self, uri: str | None = None) -> subprocess.CompletedProcess[str]:
        """`cloister sync`, to the server that answers."""
        return subprocess.run(
            [*self.wrapper, sys.executable, "-m", "cloister", "sync"],
            cwd=self.folder,
            env=self._whole_environment(CLOISTER_URI=uri or self.uri),
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
        )

    def couriers(self) -> list[psutil.Process]:
        """The couriers of this place's data folder."""
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                words = process.cmdline()
                if any(word.startswith(str(self.folder)) for word in words[1:]) and "courier" in " ".join(words):
                    found.append(process)
        return found

    def kill_couriers(self) -> int:
        """SIGKILL the couriers of this place; how many there were. A training that lives starts another at once."""
        couriers = self.couriers()
        for process in couriers:
            with contextlib.suppress(psutil.Error):
                process.kill()
        psutil.wait_procs(couriers, 10)
        return len(couriers)

    def kill_all(self, training: Training) -> None:
        """SIGKILL a training and then its couriers, also one that it was just starting."""
        training.kill()
        while self.kill_couriers():
            pass

    def move_to_server(self) -> None:
        """Have the journals of a database that nobody answered at lie where those for the server's are."""
        there = with_database(self.server, self.name)
        before, self.uri = self._journal_places(), there
        for source, target in zip(before, self._journal_places(), strict=True):
            for run in [path for path in source.glob("*/") if source != target]:
                shutil.copytree(run, target / run.name)
                shutil.rmtree(run)

    # ---- what is left, what is stored

    def waiting(self) -> list[Path]:
        """Journal segments that are not shipped yet, wherever they lie."""
        return [path for root in self._journal_places() for path in root.glob("*/*.journal")]

    def wait_until_shipped(self) -> None:
        wait_for(lambda: not self.waiting(), "the journal is shipped", PATIENCE_SECONDS)

    @property
    def journals(self) -> Path:
        """The folder of the runs' journals in the data folder."""
        return journal_places(load_settings(uri=self.uri, home=self.home))[0]

    @contextmanager
    def store(self) -> Iterator[RunStore]:
        with pymongo.MongoClient(with_database(self.server, self.name), tz_aware=True) as client:
            yield RunStore(client[self.name])

    def clear(self) -> None:
        """End what still runs here and remove everything."""
        for training in self._started:
            if training.process.poll() is None:
                training.kill()
        self.kill_couriers()
        shutil.rmtree(self._in_memory(), ignore_errors=True)
        shutil.rmtree(self.folder, ignore_errors=True)
        with (
            contextlib.suppress(pymongo.errors.PyMongoError),  # the server may be what a row has killed
            pymongo.MongoClient(self.server, serverSelectionTimeoutMS=2000) as client,
        ):
            client.drop_database(self.name)

    def _journal_places(self) -> list[Path]:
        kept = self.temporary / f"cloister-{os.getuid()}" / "journal" / self.journals.name
        return [self.journals, kept, self._in_memory()]

    def _in_memory(self) -> Path:
        return self.memory / f"cloister-{os.getuid()}" / "journal" / self.journals.name

    def _whole_environment(self, **more: str) -> dict[str, str]:
        return {**clean_environment(), **self.environment, **more}


@dataclass
class Workplace:
    """What the rounds of all rows share.

    Attributes:
        folder: where everything is made.
        server: the URI of a server that answers all the time.
        victim: another server, which rows may kill and freeze.
        chooser: of random moments, bytes and places.
        patience: how many times longer than promised something may take; more than 1 on a machine with other work.
        on_round: told how many rounds of a row are done, of how many.
    """

    folder: Path
    server: str
    victim: Server
    chooser: random.Random = field(default_factory=random.Random)
    patience: float = 1.0
    on_round: Callable[[int, int], None] = lambda done, of: None

    @contextmanager
    def place(self, *, server: str | None = None, uri: str | None = None) -> Iterator[Place]:
        """A place of its own for one round, gone afterwards."""
        place = Place(Path(tempfile.mkdtemp(dir=self.folder)) / "place", server or self.server, uri)
        try:
            yield place
        finally:
            place.clear()
            shutil.rmtree(place.folder.parent, ignore_errors=True)

    def rounds(self, count: int) -> Iterator[int]:
        """Count the rounds of a row, and tell how far it is."""
        for number in range(count):
            self.on_round(number, count)
            yield number
        self.on_round(count, count)


@contextmanager
def a_workplace(folder: Path, server: str, **more: Any) -> Iterator[Workplace]:
    """A workplace whose victim is started by the first row that wants it, and gone at the end."""
    victim = Server(folder / "victim")
    try:
        yield Workplace(folder, server, victim, **more)
    finally:
        victim.thaw()
        victim.kill()


class NotHere(Exception):
    """This machine does not let a fault be done: the message says what is missing."""


def with_database(server: str, name: str) -> str:
    return server.replace("/?", f"/{name}?")


def clean_environment() -> dict[str, str]:
    """The environment without settings of whoever runs this."""
    return {name: value for name, value in os.environ.items() if not name.startswith("CLOISTER_")}


@cache
def without_cloister(script: str, options: str) -> tuple[bytes, bytes, int]:
    """What a training writes to stdout and stderr, and its exit code, when it records nothing."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "tallies"
        given: Mapping[str, Any] = json.loads(options)
        make_tallies(path, int(given.get("forks", given.get("slot", 0))) + 1)
        search = os.pathsep.join(filter(None, [str(IMPORTED_FROM), os.environ.get("PYTHONPATH")]))
        finished = subprocess.run(
            [sys.executable, str(TRAININGS / script), json.dumps({**given, "tally": str(path)})],
            cwd=folder,
            env={**clean_environment(), "WITHOUT_CLOISTER": "1", "PYTHONUNBUFFERED": "1", "PYTHONPATH": search},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=PATIENCE_SECONDS,
        )
    return finished.stdout, finished.stderr, finished.returncode
