"""`cloister ls`, `show`, `diff`, `tail` and `top` over a real database, in pipes and in a real terminal."""

from __future__ import annotations

import fcntl
import json
import math
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from cloister.__main__ import main
from cloister.observer.terminal import tail_command
from cloister.observer.terminal.braille_chart import COLOURS, Line, draw_chart, sparkline
from console_writing import write_pieces
from hypothesis import given
from hypothesis import strategies as st
from pymongo.database import Database
from rich.text import Text
from seeded_runs import add_run
from stored_metrics import store_metric

HOSTILE = "\x1b]0;owned\x07\x1b[2J\x1b[31mnight\u202erun\x9b5A"
SPIKE = 1234.0


@pytest.fixture(scope="module")
def place(one_database: Database[dict[str, Any]], mongod: str) -> tuple[str, ...]:
    """Four runs of two projects; the options that name their database."""
    code = {"cloister.git": {"commit": "4f2c91a0b7d1", "branch": "main"}}
    add_run(one_database, 1, name="slow", metrics={"val/acc": 0.91}, config={"lr": 0.1, "model": {"depth": 2}})
    add_run(one_database, 2, name="quick", tags=["baseline"], config={"lr": 0.01, "model": {"depth": 2}})
    values = np.linspace(0.1, 0.975, 100_000)
    values[70_001] = SPIKE
    store_metric(one_database, 2, "val/acc", values)
    one_database["runs"].update_one({"_id": 2}, {"$set": {"cloister.summary.val/acc.last": 0.975, **code}})
    add_run(one_database, 3, name="twin", config={"lr": 0.01, "model": {"depth": 2}})
    add_run(one_database, 4, name=HOSTILE, project="organs", tags=[HOSTILE], config={HOSTILE: HOSTILE})
    write_pieces(one_database, 2, [("stdout", "".join(f"epoch {at}\n" for at in range(300))), ("stderr", "hm\rslow\n")])
    write_pieces(one_database, 4, [("stdout", f"{HOSTILE}\n\x1b[32mgreen\x1b[0m \x1b[6n\n")])
    return "--uri", mongod.replace("/?", f"/{one_database.name}?")


def ask(*words: str, **environment: str) -> Result:
    return CliRunner(env={"COLUMNS": "160", "LINES": "50", **environment}).invoke(main, list(words))


def said(*words: str, **environment: str) -> str:
    answer = ask(*words, **environment)
    assert answer.exit_code == 0, answer.output
    return answer.output


# Words of a command, what its answer names, what it does not.
CHOSEN = [
    (["ls"], ["quick", "slow", "twin", "organs", "0.975", "Project"], ["\x1b"]),
    (["ls", "-p", "digits"], ["quick", "slow", "twin"], ["organs", "Project"]),
    (["ls", "config.lr < 5e-2"], ["quick", "twin"], ["slow"]),
    (["ls", 'tags has "baseline" or name = "slow"'], ["quick", "slow"], ["twin"]),
    (["ls", "-c", "config.model.depth", "-c", "max(metrics.val/acc)", "-n", "3"], ["1,234", "3 of 4 runs"], ["slow"]),
    (["ls", "config.lr > 7"], ["No run matches."], ["quick"]),
    (["ls", "--projects"], ["digits", "organs"], ["quick"]),
    (["show", "2"], ["quick", "baseline", "model.depth", "val/acc", "0.975", "1,234", "100,000", "4f2c91a0b7"], []),
    (["show", "latest"], ["nightrun", "organs"], ["\x1b", "\u202e"]),
    (["diff", "2", "3", "--all"], ["depth", "commit"], []),
    (["diff", "2", "3"], ["Config\nthe same", "commit"], ["depth"]),
    (["tail", "2", "-n", "3"], ["epoch 298\nepoch 299\nslow\n"], ["epoch 297", "hm"]),
    (["tail", "2", "--stream", "stderr"], ["slow"], ["epoch"]),
    (["tail", "2", "-n", "250"], ["epoch 51\n", "epoch 299"], ["epoch 50\n"]),
    (["top", "--once"], ["quick", "organs", "j k run"], []),
    (["top", "2", "--once"], ["val/acc  0.975", "1,234", "step 99,999"], ["organs"]),
]


@pytest.mark.parametrize(("words", "named", "unnamed"), CHOSEN, ids=[" ".join(words) for words, _, _ in CHOSEN])
def test_a_command_says_what_was_asked_for(
    place: tuple[str, ...], words: list[str], named: list[str], unnamed: list[str]
) -> None:
    answer = ask(*words, *place)
    assert answer.exit_code in (0, 1), answer.output
    for word in named:
        assert word in answer.output
    for word in unnamed:
        assert word not in answer.output


def test_what_scripts_read_is_json_and_ids(place: tuple[str, ...]) -> None:
    assert said("ls", "--ids", "--sort", "id", *place).split() == ["1", "2", "3", "4"]
    rows = [json.loads(line) for line in said("ls", "--json", "-c", "config.lr", *place).splitlines()]
    assert [(row["id"], row["config.lr"]) for row in rows[1:]] == [(3, 0.01), (2, 0.01), (1, 0.1)]
    shown = json.loads(said("show", "2", "--json", *place))
    assert shown["metrics"]["val/acc"]["max"] == SPIKE
    assert shown["config"] == {"lr": 0.01, "model": {"depth": 2}}


def test_runs_that_differ_end_with_one_and_show_by_how_much(place: tuple[str, ...]) -> None:
    answer = ask("diff", "1", "2", *place)
    assert answer.exit_code == 1
    assert "+0.065" in answer.output
    assert re.search(r"^lr +0.1 +1e-2", answer.output, re.MULTILINE)
    assert "depth" not in answer.output
    assert ask("diff", "3", "3", *place).exit_code == 0


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["ls", "config.lr =>"], "  config.lr =>\n             ^\n"),
        (["ls", "-c", "statsu"], "status"),
        (["show", "99"], "There is no run 99"),
        (["show", "2.5"], "is not the id of a run"),
        (["diff", "1"], "Name 2 to 10 runs"),
        (["tail", "99"], "There is no run 99"),
    ],
)
def test_a_slip_is_a_sentence(place: tuple[str, ...], words: list[str], sentence: str) -> None:
    answer = ask(*words, *place)
    assert answer.exit_code
    assert sentence in answer.output
    assert "Traceback" not in answer.output


def test_nothing_that_a_run_recorded_steers_the_terminal(place: tuple[str, ...]) -> None:
    coloured = {"FORCE_COLOR": "1", "TERM": "xterm-256color"}
    commands = (["ls"], ["ls", "--json"], ["show", "4"], ["diff", "4", "2"], ["tail", "4"], ["top", "--once"])
    printed = "".join(ask(*words, *place, **coloured).output for words in commands)
    assert "\x1b[32mgreen" in printed  # a run's own colours are kept
    assert "night" in printed
    without_colours = re.sub(r"\x1b\[[0-9;]*m", "", printed)
    assert not re.findall(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e]", without_colours)


def test_following_prints_what_comes_until_the_run_has_ended(
    place: tuple[str, ...], one_database: Database[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tail_command, "POLL_SECONDS", 0.02)
    monkeypatch.setattr(tail_command, "STATUS_SECONDS", 0.02)
    add_run(one_database, 9, name="going", project="on", status="RUNNING", stop_time=None)
    try:
        write_pieces(one_database, 9, [("stdout", "first\nhalf of ")])
        answers: list[str] = []
        thread = threading.Thread(target=lambda: answers.append(said("tail", "-f", "9", *place)))
        thread.start()
        write_pieces(one_database, 9, [("stdout", "a line\n"), ("stdout", "last\n")])
        one_database["runs"].update_one({"_id": 9}, {"$set": {"status": "COMPLETED"}})
        thread.join(20)
        assert answers == ["first\nhalf of a line\nlast\n✓ completed\n"]
    finally:
        one_database["runs"].delete_one({"_id": 9})


def test_top_is_one_screen_that_keys_move_in_and_leaves_the_terminal_as_it_was(
    place: tuple[str, ...], home: Path
) -> None:
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
    before = termios.tcgetattr(follower)
    command = [sys.executable, "-m", "cloister", "top", "--interval", "0.5", *place]
    environment = {**os.environ, "TERM": "xterm-256color"}
    process = subprocess.Popen(command, stdin=follower, stdout=follower, stderr=follower, env=environment)
    try:
        screen = read_until(leader, "▸ 4")
        assert "\x1b[?1049h" in screen
        os.write(leader, b"jj")
        assert "val/acc" in read_until(leader, "step 99,999")
        os.write(leader, b"q")
        assert "\x1b[?1049l" in read_until(leader, "\x1b[?1049l")
        assert process.wait(10) == 0
        assert termios.tcgetattr(follower) == before
    finally:
        process.kill()
        process.wait()
        os.close(leader)
        os.close(follower)


def read_until(descriptor: int, wanted: str) -> str:
    """What the terminal was sent until it holds `wanted`, colours left out."""
    text, deadline = b"", time.monotonic() + 20
    while wanted not in (shown := re.sub(r"\x1b\[[0-9;]*m", "", text.decode("utf-8", "ignore"))):
        assert time.monotonic() < deadline, shown
        if select.select([descriptor], [], [], 0.2)[0]:
            text += os.read(descriptor, 65536)
    return shown


def test_a_spike_of_one_point_is_drawn_to_the_top_of_the_chart() -> None:
    flat = [0.0] * 1000
    spiked = [*flat[:500], 10.0, *flat[500:]]
    line = Line("run", range(len(spiked)), spiked, COLOURS[0])
    rows = [row.plain for row in draw_chart(Text("loss"), [line], width=60, height=12)]
    assert rows[0] == "loss"
    assert rows[1].startswith("10 │")
    assert all(re.search("[\u2801-\u28ff]", row) for row in rows[1:11])


NUMBERS = st.floats(allow_nan=True, allow_infinity=True, width=32)


@given(st.lists(NUMBERS, max_size=60), st.integers(12, 90), st.integers(3, 20), st.booleans())
def test_a_chart_fills_exactly_its_place_whatever_was_logged(
    values: list[float], width: int, height: int, log: bool
) -> None:
    line = Line("run", range(len(values)), values, COLOURS[0])
    rows = draw_chart(Text("a metric"), [line, Line("none", (), (), COLOURS[1])], width=width, height=height, log=log)
    assert len(rows) == height
    assert max(row.cell_len for row in rows) <= max(width, 24)
    assert len(sparkline(values, width)) == width
    if not any(math.isfinite(value) for value in values):
        assert sparkline(values, width).strip() == ""
