"""What encryption costs a training and a reader: python benchmarks/encryption.py

Two runs are open at once, one of which encrypts everything, and no database is there: what is measured is the
training's own part, up to its journal, as CPU time of its thread. Both do the same in turns, so that what else the
machine does meets both.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path

import cloister
from cloister.observer.encryption.data_keys import new_data_key
from cloister.observer.encryption.field_cipher import FieldCipher
from cloister.observer.encryption.key_file import KeyFile
from cloister.observer.encryption.sealed_files import SealedReader, SealedStream
from cloister.observer.encryption.sealed_text import TextCipher
from cloister.observer.journal_segments import SUFFIX
from machine import look_at_machine, print_figures
from options import read_options
from rich.table import Table

ROUNDS = 21
CALLS = 2_000
LINES = 20_000
FILE_BYTES = 64 * 1024 * 1024
NOBODY = "mongodb://127.0.0.1:1/nobody?serverSelectionTimeoutMS=100"
PIECE = "".join(f"epoch {number} loss 0.{number:06d} accuracy 0.91 lr 3e-4\n" for number in range(1_400))  # 64 KiB
LINE = "epoch 12 loss 0.412345 accuracy 0.912345 lr 3e-4 eta 00:12:31\n"


def main() -> None:
    options = read_options(__doc__ or "", peers=False)
    machine = look_at_machine()
    share = 10 if options.quick else 1
    table = Table("what", "plain", "encrypted", "more", title="Encryption")
    with tempfile.TemporaryDirectory() as folder, two_runs(Path(folder)) as (plain, sealed):
        add_calls(table, plain, sealed, max(3, ROUNDS // share))
        add_console(table, plain, sealed, Path(folder), share)
        add_files(table, plain, sealed, Path(folder), FILE_BYTES // share)
    table.add_section()
    add_reading(table, share)
    print_figures(table, machine)


@contextmanager
def two_runs(folder: Path):  # type: ignore[no-untyped-def]  # a pair of runs
    os.environ.update(
        CLOISTER_HOME=str(folder / "home"),
        CLOISTER_KEYS=str(folder / "keys.json"),
        CLOISTER_COURIER="thread",
        CLOISTER_EXIT_WAIT="0",
    )
    KeyFile(folder / "keys.json").make("sealed")
    runs = []
    for project, words in (("plain", ""), ("sealed", "everything")):
        os.environ["CLOISTER_ENCRYPT"] = words
        begin = time.perf_counter()
        run = cloister.start_run(uri=NOBODY, project=project, config={"lr": 0.1}, capture="none", hardware=False)
        print(f"start of a {project} run: {1000 * (time.perf_counter() - begin):.1f} ms")
        runs.append(run)
    yield runs
    for run in runs:
        run.finish()


def add_calls(table: Table, plain: cloister.Run, sealed: cloister.Run, rounds: int) -> None:
    def log(run: cloister.Run) -> None:
        for _ in range(CALLS):
            run.log({"loss": 0.5, "acc": 0.9, "lr": 3e-4, "f1": 0.8, "auc": 0.95})

    ours, theirs, ratio = in_turns(lambda: log(plain), lambda: log(sealed), rounds)
    table.add_row("run.log of 5 scalars", micro(ours / CALLS), micro(theirs / CALLS), percent(ratio))


def add_console(table: Table, plain: cloister.Run, sealed: cloister.Run, folder: Path, share: int) -> None:
    lines, pieces = LINES // share, 40 // share or 1

    def write(run: cloister.Run, text: str, count: int) -> None:
        for _ in range(count):
            run._recorder.record_console("stdout", text, 1e9)

    for title, text, count in (("in pieces of 64 KiB", PIECE, pieces), ("line by line", LINE, lines)):
        megabytes = len(text) * count / 1e6
        before = [journal_bytes(folder, run) for run in (plain, sealed)]
        ours, theirs, ratio = in_turns(
            lambda text=text, count=count: write(plain, text, count),
            lambda text=text, count=count: write(sealed, text, count),
            5,
        )
        grown = [journal_bytes(folder, run) - start for run, start in zip((plain, sealed), before, strict=True)]
        each = (f"{1000 * seconds / megabytes:.2f} ms a MB" for seconds in (ours, theirs))
        table.add_row(f"console {title}, into the journal", *each, percent(ratio))
        size = grown[1] / grown[0] if grown[0] else 1.0
        table.add_row(f"console {title}, size", *(f"{bytes_ / 1e6:.2f} MB" for bytes_ in grown), percent(size))


def add_files(table: Table, plain: cloister.Run, sealed: cloister.Run, folder: Path, size: int) -> None:
    path = folder / "weights.bin"
    path.write_bytes(os.urandom(size))
    ours, theirs, ratio = in_turns(lambda: plain.log_artifact(path), lambda: sealed.log_artifact(path), 5)
    each = (f"{1000 * seconds / (size / 1e6):.2f} ms a MB" for seconds in (ours, theirs))
    table.add_row("log_artifact", *each, percent(ratio))


def add_reading(table: Table, share: int) -> None:
    key = new_data_key("sealed")
    fields = FieldCipher()
    fields.add(key)
    count = 5_000 // share
    value = fields.encrypt(key.id, "a value of a config")
    table.add_row("a config entry, encrypted", "", micro(timed(lambda: fields.encrypt(key.id, 0.1), count)), "")
    table.add_row("a config entry, opened", "", micro(timed(lambda: fields.decrypt(value), count)), "")
    text = TextCipher(key, b"r" * 16)
    piece = text.encrypt("stdout", PIECE)
    seconds = timed(lambda: text.decrypt("stdout", piece), 500 // share)
    table.add_row("console opened", "", f"{1000 * seconds / (len(PIECE) / 1e6):.2f} ms a MB", "")
    import io

    stored = SealedStream(io.BytesIO(os.urandom(8_000_000)), key).read()
    reader = SealedReader(lambda place, size: stored[place : place + size], len(stored), lambda _: key)
    seconds = timed(lambda: reader.segment(7), 1_000 // share)
    table.add_row("file opened", "", f"{1000 * seconds / 0.065536:.2f} ms a MB", "")


def in_turns(ours: Callable[[], None], theirs: Callable[[], None], rounds: int) -> tuple[float, float, float]:
    """Median seconds of both, and the median of their ratios round by round; who comes first alternates."""
    pairs = []
    for number in range(rounds):
        if number % 2:
            second = timed(theirs, 1)
            pairs.append((timed(ours, 1), second))
        else:
            pairs.append((timed(ours, 1), timed(theirs, 1)))
    ratio = statistics.median(second / first for first, second in pairs)
    return statistics.median(one for one, _ in pairs), statistics.median(two for _, two in pairs), ratio


def timed(act: Callable[[], object], count: int) -> float:
    """CPU seconds of one."""
    begin = time.thread_time()
    for _ in range(count):
        act()
    return (time.thread_time() - begin) / count


def journal_bytes(folder: Path, run: cloister.Run) -> int:
    return sum(path.stat().st_size for path in folder.rglob(f"{run.uid}/*{SUFFIX}"))


def micro(seconds: float) -> str:
    return f"{1e6 * seconds:.1f} us"


def percent(ratio: float) -> str:
    return f"{100 * (ratio - 1):+.1f} %"


if __name__ == "__main__":
    main()
