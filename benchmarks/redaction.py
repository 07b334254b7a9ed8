"""What redaction costs: megabytes of console a second, and the start of a run: python benchmarks/redaction.py

Each kind of output is cut into pieces of 64 KiB, as a busy training's are, and goes through what stands before the
journal: most lines, bars and sentences hold no secret; then one line in a thousand does, then every line.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator

from cloister.observer.policy import Policy
from cloister.observer.redaction.own_rules import OwnRules
from cloister.observer.redaction.run_redaction import RunRedaction
from cloister.observer.settings import Settings
from machine import look_at_machine, print_figures
from options import read_options
from rich.table import Table

LINES = 200_000
PIECE_CHARACTERS = 64 * 1024
ROUNDS = 5
GOAL_MB_PER_SECOND = 50

SENTENCE = (
    "the model was trained on a sequence of pretrained encoder layers with attention and dropout and the key value "
    "heads of /data/imagenet/train_000123.tar from https://data.lab.example.org/x.tar were checked twice in this run"
)


def main() -> None:
    options = read_options(__doc__ or "", peers=False)
    machine = look_at_machine()
    start_seconds = time_start()  # before anything else is redacted
    count = LINES // (50 if options.quick else 1)
    table = Table("what", "MB/s", "found", title=f"Redaction of console output (goal: {GOAL_MB_PER_SECOND} MB/s)")
    for title, line in kinds_of_output():
        generator = random.Random(1)
        text = "".join(line(number, generator) for number in range(count))
        for rules, policy in (("", Policy()), (", with mail and IP addresses", contacts())):
            speed, found = time_console(text, policy)
            table.add_row(f"{title}{rules}", f"{speed:.0f}", f"{found:,}")
    table.add_section()
    table.add_row("the rules made ready, once a process", f"{1000 * start_seconds:.1f} ms", "")
    table.add_row("a config of 200 entries", f"{1000 * time_config():.2f} ms", "")
    print_figures(table, machine)


def kinds_of_output() -> Iterator[tuple[str, Callable[[int, random.Random], str]]]:
    words = SENTENCE.split()
    yield "log lines", log_line
    yield (
        "progress bars",
        lambda number, _: (
            f"Epoch {number}:  45%|\u2588\u2588\u2588\u258c    | {number}/1000 [00:12<00:15, 12.3it/s, loss=0.123]\r"
        ),
    )
    yield "sentences", lambda _, generator: " ".join(generator.choices(words, k=15)) + "\n"
    yield (
        "log lines, 1 in 1,000 a secret",
        lambda number, generator: (
            log_line(number, generator)
            if number % 1000
            else f"connecting with password=hunter{number} to the database\n"
        ),
    )
    yield "each line a secret", lambda number, _: f"step {number} connecting with password=hunter{number} now\n"


def log_line(number: int, generator: random.Random) -> str:
    return (
        f"2026-11-21 18:31:{number % 60:02d},{number % 1000:03d} INFO trainer: epoch {number // 100} step {number} "
        f"loss={generator.random():.6f} lr=3.0e-04 tokens/s={generator.random() * 1e5:.1f} "
        f"grad_norm: {generator.random():.4f}\n"
    )


def contacts() -> Policy:
    return Policy(redaction=OwnRules(emails=True, addresses=True))


def time_console(text: str, policy: Policy) -> tuple[float, int]:
    """Megabytes of UTF-8 a second, the best of some rounds, and how much was found in one."""
    pieces = [text[at : at + PIECE_CHARACTERS] for at in range(0, len(text), PIECE_CHARACTERS)]
    best, found = float("inf"), 0
    for _ in range(ROUNDS):
        redaction = RunRedaction(policy, Settings(), environment={"TEAM_TOKEN": "abcdef-0123456789"})
        begin = time.process_time()
        for piece in pieces:
            redaction.console("stdout", piece)
        best = min(best, time.process_time() - begin)
        redaction.waiting(all_of_it=True)
        found = redaction.total()
    return len(text.encode()) / 1e6 / best, found


def time_start() -> float:
    """Seconds that the first redaction of a process takes longer than the second."""
    spent = []
    for _ in range(2):
        begin = time.perf_counter()
        RunRedaction(Policy(), Settings()).console("stdout", "a line\n")
        spent.append(time.perf_counter() - begin)
    return spent[0] - spent[1]


def time_config() -> float:
    config = {f"entry_{number}": f"a value of some length {number}" for number in range(200)}
    redaction = RunRedaction(Policy(), Settings())
    begin = time.perf_counter()
    redaction.header({"config": config, "argv": []})
    return time.perf_counter() - begin


if __name__ == "__main__":
    main()
