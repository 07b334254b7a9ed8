"""The console tab over a log of 1 GB: python benchmarks/viewer/console_page.py

What a page takes to open at the log's end, to go up by a screen's worth of pages, to follow new lines, and to find a
word near the end, in the middle and at the very start, and one that is nowhere. Times are those of the Flask app with
its answer as bytes, over an embedded database that was filled just before (`--quick`: 20 MB).
"""

from __future__ import annotations

import sys
import time
import uuid
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

from cloister.observer.indexes import ensure_indexes
from cloister.observer.run_record import new_run_document
from cloister.observer.runs import RunStore
from machine import look_at_machine, print_figures
from options import read_options
from private_database import private_database
from pymongo.database import Database
from rich.table import Table

PIECE_CHARACTERS = 64 * 1024
RUN = 1
TIMES = 9
TARGET = "Target: the page opens at the end of 1 GB at once: under 200 ms to the last byte of it."


def main() -> None:
    options = read_options(__doc__ or "", peers=False)
    machine = look_at_machine()
    size = (20 if options.quick else 1024) << 20
    table = Table(title=f"The console of a run that printed {size >> 20:,} MiB")
    for title in ("what", "median ms", "worst ms", "answers", "kB"):
        table.add_column(title, justify="left" if title == "what" else "right")
    with private_database() as place, RunStore.connect(place.uri) as store:
        ensure_indexes(store.database)
        pieces = fill(store.database, size)
        from cloister.viewer.app import create_app

        client = create_app(store).test_client()
        for what, ask in questions(client, pieces):
            table.add_row(what, *measure(ask))
    print_figures(table, machine, TARGET)


def questions(client: Any, pieces: int) -> Iterator[tuple[str, Callable[[], tuple[int, int]]]]:
    """What a reader does, each with a function that does it: how many answers it took, and their bytes."""
    yield "open the page, at the end", lambda: read(client, f"/runs/{RUN}/console")
    yield "go up from the middle", lambda: read(client, f"/runs/{RUN}/console/lines?before={pieces // 2}")
    yield "follow: nothing new", lambda: read(client, f"/runs/{RUN}/console/lines?after={pieces - 1}")
    for what, word in (
        ("find a word near the end", "near-the-end"),
        ("find a word in the middle", "in-the-middle"),
        ("find a word at the start", "at-the-start"),
        ("find a word that is nowhere", "nowhere"),
    ):
        yield what, lambda word=word: search(client, word)


def read(client: Any, path: str) -> tuple[int, int]:
    answer = client.get(path)
    assert answer.status_code == 200, answer.text
    return 1, len(answer.data)


def search(client: Any, word: str) -> tuple[int, int]:
    """As the page does: until it is found, or all was looked through."""
    cursor, answers, size = "", 0, 0
    while True:
        before = f"&before={cursor}" if cursor else ""
        answer = client.get(f"/runs/{RUN}/console/search?q={word}{before}")
        answers, size = answers + 1, size + len(answer.data)
        found = answer.json
        if found["cursor"] is not None or found["next"] is None:
            assert (found["cursor"] is not None) is (word != "nowhere")
            return answers, size
        cursor = found["next"]


def measure(ask: Callable[[], tuple[int, int]]) -> tuple[str, str, str, str]:
    seconds, answers, size = [], 1, 0
    while len(seconds) < TIMES and sum(seconds) < 20:
        started = time.perf_counter()
        answers, size = ask()
        seconds.append(time.perf_counter() - started)
    seconds.sort()
    middle, worst = seconds[len(seconds) // 2] * 1e3, seconds[-1] * 1e3
    return f"{middle:,.0f}", f"{worst:,.0f}", str(answers), f"{size / 1e3:,.0f}"


def fill(database: Database[dict[str, Any]], size: int) -> int:
    """Pieces as a courier leaves them; how many."""
    now = datetime.now(timezone.utc)
    header = {"experiment": "logs", "project": "logs", "name": "chatty", "uid": str(uuid.uuid4()), "start_time": now}
    document = {**new_run_document({**header, "config": {}}, RUN), "status": "COMPLETED", "stop_time": now}
    count = size // PIECE_CHARACTERS
    marks = {2: "at-the-start", count // 2: "in-the-middle", count - 3: "near-the-end"}
    lines = 0
    for start in range(0, count, 256):
        batch = []
        for number in range(start, min(start + 256, count)):
            text = piece(number, marks.get(number, ""))
            lines += text.count("\n")
            key = {"_id": f"{number:012}", "run_id": RUN, "n": number, "stream": "stdout" if number % 9 else "stderr"}
            batch.append({**key, "time": now, "text": text})
        database["console"].insert_many(batch)
    document["cloister"]["console"] = {"lines": lines, "bytes": size, "next": count}
    database["runs"].insert_one(document)
    return count


def piece(number: int, mark: str) -> str:
    """Lines of a training, coloured here and there, about 64 KiB."""
    rows = [
        f"\x1b[2mepoch {number}\x1b[0m step {number * 700 + step} train/loss {step / 7919:.4f} lr 1.63e-4  412 img/s"
        for step in range(PIECE_CHARACTERS // 80)
    ]
    rows[len(rows) // 2] += f" {mark}" if mark else ""
    return "\n".join(rows) + "\n"


if __name__ == "__main__":
    main()
