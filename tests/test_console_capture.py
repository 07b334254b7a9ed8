"""Capturing the console: scripts are run for real; the terminal must see what it would see without us."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import signal
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import pytest
from cloister.observer.console_capture import ConsoleCapture, RecordPiece
from cloister.observer.console_pieces import (
    GATHER_SECONDS,
    IMMEDIATE_PIECES_PER_SECOND,
    NEVER,
    PIECE_LIMIT_BYTES,
    PieceMaker,
)
from cloister.observer.console_text import StreamName, fold_carriage_returns
from hypothesis import given
from hypothesis import strategies as st

PROLOGUE = """
import contextlib, io, json, logging, os, signal, subprocess, sys, threading, time
from cloister.observer.console_capture import ConsoleCapture
pieces = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
def record(stream, text, wall_time):
    os.write(pieces, (json.dumps([stream, text, os.getpid()]) + chr(10)).encode())
mode = sys.argv[2]
capture = ConsoleCapture(record, mode)
"""
MODES = pytest.mark.parametrize("mode", ["sys", "fd"])


class Script:
    """A finished script: what its terminal got, and what was recorded."""

    def __init__(self, done: subprocess.CompletedProcess[bytes], pieces: Path) -> None:
        self.stdout, self.stderr, self.exit_code = done.stdout, done.stderr, done.returncode
        rows = [json.loads(line) for line in pieces.read_text().splitlines()] if pieces.exists() else []
        self.pieces: list[tuple[str, str]] = [(stream, text) for stream, text, _ in rows]
        self.pids = {pid for _, _, pid in rows}

    def recorded(self, stream: str) -> str:
        return "".join(text for name, text in self.pieces if name == stream)


def run_script(folder: Path, mode: str, body: str, *, unbuffered: bool = False) -> Script:
    pieces = folder / "pieces"
    source = folder / "script.py"
    source.write_text(PROLOGUE + textwrap.dedent(body))
    options = ["-u"] if unbuffered else []
    command = [sys.executable, *options, "-W", "error", "-W", "ignore::DeprecationWarning", source, pieces, mode]
    done = subprocess.run([*map(str, command)], capture_output=True, timeout=60, stdin=subprocess.DEVNULL)
    return Script(done, pieces)


class Pieces:
    """A recorder that keeps what it is given."""

    def __init__(self) -> None:
        self.taken: list[tuple[StreamName, str]] = []

    def record(self, stream: StreamName, text: str, wall_time: float) -> None:
        self.taken.append((stream, text))

    def text(self, stream: str = "stdout") -> str:
        return "".join(text for name, text in self.taken if name == stream)


@contextlib.contextmanager
def captured_into(record: RecordPiece, out: io.TextIOBase) -> object:
    """Capture with a stream of the test's own as sys.stdout, so that pytest's capturing plays no part."""
    with contextlib.redirect_stdout(out), ConsoleCapture(record) as capture:
        yield capture


# In both modes -------------------------------------------------------------------------------------------------------


@MODES
def test_what_is_printed_is_recorded_and_the_terminal_gets_the_same_bytes(tmp_path: Path, mode: str) -> None:
    body = """
        print("before")
        capture.start()
        print("out: äöü 🜲", end="\\n\\n")
        print("err", file=sys.stderr)
        sys.stdout.writelines(["a\\n", "b"])
        sys.stdout.flush()
        sys.stdout.buffer.write(b" bytes \\xff\\xc3")
        sys.stdout.buffer.write(b"\\xa9\\n")
        sys.stdout.buffer.flush()
        capture.stop()
        print("after")
    """
    script = run_script(tmp_path, mode, body)
    assert script.exit_code == 0, script.stderr
    assert script.stderr == b"err\n"
    assert script.stdout == "before\nout: äöü 🜲\n\na\nb bytes ".encode() + b"\xff\xc3\xa9\nafter\n"
    assert script.recorded("stdout") == "out: äöü 🜲\n\na\nb bytes \ufffdé\n"
    assert script.recorded("stderr") == "err\n"


@MODES
def test_threads_that_print_at_once_lose_and_tear_nothing(tmp_path: Path, mode: str) -> None:
    body = """
        capture.start()
        def work(name):
            for number in range(500):
                sys.stdout.write(f"{name}:{number}\\n")
        threads = [threading.Thread(target=work, args=(name,)) for name in "abcd"]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
        capture.stop()
    """
    script = run_script(tmp_path, mode, body)
    lines = script.recorded("stdout").splitlines()
    assert sorted(lines) == sorted(script.stdout.decode().splitlines())
    for name in "abcd":
        assert [line for line in lines if line.startswith(name)] == [f"{name}:{number}" for number in range(500)]


@MODES
def test_a_forked_child_prints_on_and_ends(tmp_path: Path, mode: str) -> None:
    body = """
        capture.start()
        print("unfinished", end="")
        sys.stdout.flush()
        child = os.fork()
        if child == 0:
            print(" child", flush=True)
            os._exit(0)
        os.waitpid(child, 0)
        print(" parent", flush=True)
        capture.stop()
    """
    script = run_script(tmp_path, mode, body)
    assert script.stdout == b"unfinished child\n parent\n"
    assert sorted(script.recorded("stdout")) == sorted("unfinished child\n parent\n")
    assert len(script.pids) == (2 if mode == "sys" else 1)  # in "fd" the child writes into its parent's pipe


@MODES
def test_a_child_forked_while_other_threads_print_never_hangs(tmp_path: Path, mode: str) -> None:
    body = """
        capture.start()
        ending = threading.Event()
        def work():
            while not ending.is_set():
                print("x" * 50)
        threads = [threading.Thread(target=work, daemon=True) for _ in range(2)]
        [thread.start() for thread in threads]
        for number in range(20):
            child = os.fork()
            if child == 0:
                os.write(2, b"")
                capture._hear("stdout", f"child {number}\\n")  # print may hang on the interpreter's own buffer lock
                os._exit(0)
            assert os.waitpid(child, 0)[1] == 0
        ending.set()
        [thread.join() for thread in threads]
        capture.stop()
    """
    script = run_script(tmp_path, mode, body)
    assert script.exit_code == 0, script.stderr
    assert [f"child {number}\n" in script.recorded("stdout") for number in range(20)] == [True] * 20


@MODES
def test_a_recorder_that_raises_never_reaches_the_script(tmp_path: Path, mode: str) -> None:
    body = """
        def refuse(stream, text, wall_time):
            raise OSError("the journal is full")
        capture = ConsoleCapture(refuse, mode)
        capture.start()
        for number in range(3):
            print(number)
        sys.stdout.flush()
        capture.stop()
    """
    script = run_script(tmp_path, mode, body)
    assert (script.exit_code, script.stdout) == (0, b"0\n1\n2\n")
    assert script.stderr.count(b"A piece of the console could not be recorded.") == 1


@MODES
def test_a_line_without_end_is_recorded_in_bounded_pieces(tmp_path: Path, mode: str) -> None:
    body = """
        import resource
        capture.start()
        block = "0123456789abcdef" * 4096
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        for _ in range(1000):
            sys.stdout.write(block)
        sys.stdout.flush()
        capture.stop()
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        assert grown < 20_000, grown  # KiB, of 64 MB printed
    """
    script = run_script(tmp_path, mode, body)
    assert script.exit_code == 0, script.stderr
    assert script.recorded("stdout") == script.stdout.decode()
    assert max(len(text) for _, text in script.pieces) <= PIECE_LIMIT_BYTES


@MODES
def test_output_of_exit_handlers_after_the_stop_goes_where_it_went_before(tmp_path: Path, mode: str) -> None:
    body = """
        import atexit
        atexit.register(lambda: print("last words"))
        atexit.register(capture.stop)
        capture.start()
        held = sys.stdout
        atexit.register(lambda: held.write("held\\n"))
        print("training")
    """
    script = run_script(tmp_path, mode, body)
    assert (script.exit_code, script.stderr) == (0, b"")
    assert script.stdout == b"training\nheld\nlast words\n"
    assert script.recorded("stdout") == "training\nheld\n"


@MODES
def test_a_script_that_ends_without_stop_ends_as_ever(tmp_path: Path, mode: str) -> None:
    script = run_script(tmp_path, mode, 'capture.start(); print("training", flush=True); raise SystemExit(7)')
    assert (script.exit_code, script.stdout, script.stderr) == (7, b"training\n", b"")


@MODES
def test_a_traceback_is_recorded(tmp_path: Path, mode: str) -> None:
    body = """
        import traceback
        capture.start()
        try:
            raise ValueError("diverged")
        except ValueError:
            traceback.print_exc()
        capture.stop()
    """
    script = run_script(tmp_path, mode, body)
    assert script.recorded("stderr") == script.stderr.decode()
    assert script.recorded("stderr").endswith("ValueError: diverged\n")


@MODES
def test_a_progress_bar_is_recorded_as_few_states_and_its_last(tmp_path: Path, mode: str) -> None:
    body = """
        capture.start()
        for number in range(2001):
            sys.stderr.write(f"\\r{number / 20:.0f}% \\x1b[32m{'#' * (number // 100)}\\x1b[0m")
            sys.stderr.flush()
        sys.stderr.write("\\n")
        capture.stop()
    """
    script = run_script(tmp_path, mode, body)
    last = "100% \x1b[32m" + "#" * 20 + "\x1b[0m\n"
    assert fold_carriage_returns(script.recorded("stderr")) == last
    assert script.stderr.decode().endswith(last)
    assert script.stderr.count(b"\r") == 2001
    assert script.recorded("stderr").count("\r") < 200


@MODES
def test_tqdm_looks_the_same_and_leaves_one_line(tmp_path: Path, mode: str) -> None:
    pytest.importorskip("tqdm", reason="tqdm is not installed; the hand-written bar above is")
    body = """
        from tqdm import tqdm
        capture.start()
        for _ in tqdm(range(1000), mininterval=0):
            pass
        capture.stop()
    """
    script = run_script(tmp_path, mode, body)
    assert fold_carriage_returns(script.recorded("stderr")).count("\n") == 1
    assert "1000/1000" in fold_carriage_returns(script.recorded("stderr"))


@MODES
def test_nested_tqdm_bars_leave_no_more_lines_than_on_a_terminal(tmp_path: Path, mode: str) -> None:
    pytest.importorskip("tqdm", reason="tqdm is not installed; the nested bars further down are drawn by hand")
    body = """
        from tqdm import tqdm
        capture.start()
        for _ in tqdm(range(3), desc="epoch", mininterval=0):
            for _ in tqdm(range(100), desc="batch", mininterval=0, leave=False):
                pass
        capture.stop()
    """
    script = run_script(tmp_path, mode, body)
    assert len(fold_carriage_returns(script.recorded("stderr")).splitlines()) <= 3
    assert "3/3" in fold_carriage_returns(script.recorded("stderr"))


@MODES
def test_a_closed_reader_is_told_to_the_script_as_without_us(tmp_path: Path, mode: str) -> None:
    body = """
        capture.start()
        try:
            for number in range(1_000_000):
                print(number)
        except BrokenPipeError:
            os.write(pieces, (json.dumps(["note", "broken pipe", 0]) + chr(10)).encode())
            os._exit(3)
    """
    source, pieces = tmp_path / "script.py", tmp_path / "pieces"
    source.write_text(PROLOGUE + textwrap.dedent(body))
    with subprocess.Popen([sys.executable, source, pieces, mode], stdout=-1, stderr=-1) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"0\n"
        child.stdout.close()
        assert child.wait(60) == 3
    assert '["note", "broken pipe", 0]' in pieces.read_text().splitlines()


# Mode "sys" ----------------------------------------------------------------------------------------------------------


def test_a_line_is_recorded_when_print_returns_so_a_kill_loses_nothing(tmp_path: Path) -> None:
    body = """
        capture.start()
        for number in range(100):
            print(number, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
    """
    script = run_script(tmp_path, "sys", body)
    assert script.exit_code == -signal.SIGKILL
    assert script.recorded("stdout") == script.stdout.decode() == "".join(f"{n}\n" for n in range(100))


def test_an_unfinished_line_is_recorded_though_nobody_prints_on() -> None:
    recorded = threading.Event()
    taken: list[str] = []

    def record(stream: str, text: str, wall_time: float) -> None:
        taken.append(text)
        recorded.set()

    with captured_into(record, io.StringIO()):
        print("Loading... ", end="")
        assert recorded.wait(30)
    assert taken == ["Loading... "]


def test_a_burst_beyond_the_rate_is_gathered_and_complete_though_nobody_prints_on() -> None:
    pieces = Pieces()
    lines = 5 * IMMEDIATE_PIECES_PER_SECOND
    with captured_into(pieces.record, io.StringIO()):
        for number in range(lines):
            print(number)
    assert pieces.text() == "".join(f"{number}\n" for number in range(lines))
    assert len(pieces.taken) < lines


def test_the_stream_behaves_like_the_original() -> None:
    original = io.TextIOWrapper(io.BytesIO(), encoding="latin-1", errors="replace", newline="\r\n", line_buffering=True)
    with captured_into(Pieces().record, original):
        stream = sys.stdout
        assert stream is not original
        for name in ("encoding", "errors", "line_buffering", "newlines", "closed", "write_through"):
            assert getattr(stream, name) == getattr(original, name)
        assert isinstance(stream, io.TextIOWrapper)
        assert isinstance(stream.buffer, io.BytesIO)
        assert stream.writable()
        assert not stream.isatty()
        assert repr(stream) == repr(original)
        assert dir(stream) == dir(original)
        assert stream.write("ä€") == 2
        stream.reconfigure(encoding="utf-8")
        assert original.encoding == "utf-8"
        with pytest.raises(TypeError, match="must be str, not int"):
            stream.write(7)  # type: ignore[arg-type]
        with pytest.raises(io.UnsupportedOperation, match="fileno"):
            stream.fileno()
        with pytest.raises(AttributeError, match="no_such_thing"):
            _ = stream.no_such_thing  # type: ignore[attr-defined]
        stream.own_attribute = 1  # type: ignore[attr-defined]
    assert original.own_attribute == 1  # type: ignore[attr-defined]
    assert original.buffer.getvalue() == b"\xe4?"  # type: ignore[attr-defined]


def test_a_stream_without_a_buffer_has_none_and_a_closed_one_says_so() -> None:
    original = io.StringIO()
    with captured_into(Pieces().record, original):
        assert not hasattr(sys.stdout, "buffer")
        with sys.stdout as stream:
            stream.write("x")
        with pytest.raises(ValueError, match="closed file"):
            print("y")


def test_a_stream_rewrapped_by_the_script_is_still_recorded() -> None:
    pieces = Pieces()
    raw = io.BytesIO()
    with captured_into(pieces.record, io.TextIOWrapper(raw, encoding="latin-1")):
        before, sys.stdout = sys.stdout, io.TextIOWrapper(sys.stdout.detach(), encoding="latin-1", write_through=True)
        print("grün")
        sys.stdout.detach()
        sys.stdout = before
    assert pieces.text() == "grün\n"
    assert raw.getvalue() == "grün\n".encode("latin-1")


def test_the_scripts_own_redirection_is_left_alone() -> None:
    pieces, original, own = Pieces(), io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(original):
        capture = ConsoleCapture(pieces.record)
        capture.start()
        print("recorded")
        with contextlib.redirect_stdout(own):
            print("redirected")
            capture.stop()
            assert sys.stdout is own
        print("after")
        assert not pieces.text().endswith("after\n")
        with ConsoleCapture(pieces.record):
            print("again")
        assert sys.stdout is original
    assert original.getvalue() == "recorded\nafter\nagain\n"
    assert own.getvalue() == "redirected\n"
    assert pieces.text() == "recorded\nagain\n"


def test_captures_may_be_nested_and_stopped_in_any_order() -> None:
    first, second, original = Pieces(), Pieces(), io.StringIO()
    with contextlib.redirect_stdout(original):
        outer, inner = ConsoleCapture(first.record), ConsoleCapture(second.record)
        outer.start()
        inner.start()
        print("both")
        outer.stop()
        print("inner")
        inner.stop()
        print("none")
        assert sys.stdout is original
    assert (first.text(), second.text()) == ("both\n", "both\ninner\n")
    assert original.getvalue() == "both\ninner\nnone\n"


def test_a_write_method_patched_by_the_script_works_and_survives_the_stop() -> None:
    pieces, original = Pieces(), io.StringIO()
    with contextlib.redirect_stdout(original):
        capture = ConsoleCapture(pieces.record)
        capture.start()
        plain = sys.stdout.write
        sys.stdout.write = lambda text: plain(text.upper())  # type: ignore[method-assign]
        print("loud")
        capture.stop()
        print("still")
    assert original.getvalue() == "LOUD\nSTILL\n"
    assert pieces.text() == "LOUD\n"


def test_logging_set_up_before_the_start_is_recorded_and_given_back() -> None:
    pieces, original = Pieces(), io.StringIO()
    logger = logging.getLogger("test_console_capture.early")
    logger.propagate = False
    with contextlib.redirect_stderr(original):
        handler = logging.StreamHandler()
        logger.addHandler(handler)
        try:
            with ConsoleCapture(pieces.record):
                logger.warning("epoch done")
            logger.warning("after")
        finally:
            logger.removeHandler(handler)
    assert handler.stream is original
    assert pieces.text("stderr") == "epoch done\n"
    assert original.getvalue() == "epoch done\nafter\n"


def test_what_the_recorder_prints_itself_does_not_go_in_circles() -> None:
    taken: list[str] = []

    def record(stream: str, text: str, wall_time: float) -> None:
        taken.append(text)
        print(f"recorded {len(taken)}")

    original = io.StringIO()
    with captured_into(record, original):
        print("a")
    assert taken[0] == "a\n"
    assert "".join(taken[1:]) == "recorded 1\n"
    assert original.getvalue().count("\n") == 3


def test_a_signal_handler_may_print_while_a_line_is_being_recorded(tmp_path: Path) -> None:
    body = """
        def record_slowly(stream, text, wall_time):
            if text == "0\\n":
                os.kill(os.getpid(), signal.SIGUSR1)
                for _ in range(1000): pass
            record(stream, text, wall_time)
        signal.signal(signal.SIGUSR1, lambda *_: print("saving a checkpoint"))
        capture = ConsoleCapture(record_slowly, mode)
        capture.start()
        print(0)
        capture.stop()
    """
    script = run_script(tmp_path, "sys", body)
    assert (script.exit_code, script.stderr) == (0, b"")
    assert sorted(script.recorded("stdout").splitlines()) == ["0", "saving a checkpoint"]


def test_a_subclass_of_str_is_recorded_as_its_plain_text() -> None:
    class Odd(str):
        def __add__(self, other: str) -> str:
            return "odd"

        def __str__(self) -> str:
            return "odd"

    pieces = Pieces()
    with captured_into(pieces.record, io.StringIO()):
        sys.stdout.write(Odd("plain\n"))
    assert pieces.text() == "plain\n"
    assert all(type(text) is str for _, text in pieces.taken)


def test_undecodable_text_is_recorded_as_replacement_characters() -> None:
    pieces = Pieces()
    with captured_into(pieces.record, io.StringIO()):
        print("file \udcff")
    assert pieces.text() == "file \ufffd\n"


def test_a_process_without_a_console_is_no_error() -> None:
    pieces = Pieces()
    with contextlib.redirect_stdout(None), ConsoleCapture(pieces.record):
        print("nowhere")
    assert pieces.taken == []


def test_mode_none_touches_nothing() -> None:
    pieces = Pieces()
    before = sys.stdout
    with ConsoleCapture(pieces.record, "none"):
        assert sys.stdout is before
    assert pieces.taken == []


@pytest.mark.parametrize("unbuffered", [False, True])
def test_unbuffered_python_is_captured_too(tmp_path: Path, unbuffered: bool) -> None:
    body = 'capture.start(); print("x"); sys.stdout.buffer.write(b"y\\n"); capture.stop()'
    script = run_script(tmp_path, "sys", body, unbuffered=unbuffered)
    assert script.recorded("stdout") == "x\ny\n"
    assert sorted(script.stdout.splitlines()) == [b"x", b"y"]


def test_the_children_of_multiprocessing_are_recorded(tmp_path: Path) -> None:
    body = """
        import multiprocessing
        def work(number):
            print(f"worker {number}", end="" if number else "\\n")
        capture.start()
        for number in (0, 1):
            child = multiprocessing.get_context("fork").Process(target=work, args=(number,))
            child.start()
            child.join()
        capture.stop()
    """
    script = run_script(tmp_path, "sys", body)
    assert script.stdout == b"worker 0\nworker 1"
    assert script.recorded("stdout") == "worker 0\nworker 1"


# Mode "fd" -----------------------------------------------------------------------------------------------------------


def test_c_code_and_child_processes_are_recorded(tmp_path: Path) -> None:
    body = """
        import ctypes
        capture.start()
        os.write(1, b"raw \\xe2\\x82")
        os.write(1, b"\\xac \\xff\\n")
        ctypes.CDLL(None).printf(b"from C\\n")
        ctypes.CDLL(None).fflush(None)
        subprocess.run([sys.executable, "-c", "import sys; print('child'); print('grief', file=sys.stderr)"])
        capture.stop()
        os.write(1, b"after\\n")
    """
    script = run_script(tmp_path, "fd", body)
    assert script.stdout == b"raw \xe2\x82\xac \xff\nfrom C\nchild\nafter\n"
    assert script.recorded("stdout") == "raw € \ufffd\nfrom C\nchild\n"
    assert script.recorded("stderr") == "grief\n"


def test_a_child_that_outlives_the_run_neither_hangs_it_nor_dies(tmp_path: Path) -> None:
    done = tmp_path / "done"
    body = f"""
        capture.start()
        sleeper = subprocess.Popen(["sh", "-c", "read line; echo late; echo later; echo ok > {done}"], stdin=-1)
        print("training", flush=True)
        capture.stop()
        sleeper.communicate(b"go\\n")
        assert sleeper.returncode == 0
        while any(thread.name == "cloister-console-fd" for thread in threading.enumerate()):
            time.sleep(0.01)
    """
    script = run_script(tmp_path, "fd", body)
    assert script.exit_code == 0, script.stderr
    assert script.stdout == b"training\nlate\nlater\n"
    assert script.recorded("stdout") == "training\n"
    assert done.read_text() == "ok\n"


def test_a_child_that_floods_the_pipe_does_not_hold_the_stop_up(tmp_path: Path) -> None:
    body = """
        capture.start()
        flood = subprocess.Popen(["yes"])
        while not os.fstat(pieces).st_size:
            time.sleep(0.01)
        capture.stop()
        flood.kill()
        flood.wait()
        os.write(2, b"stopped")
    """
    script = run_script(tmp_path, "fd", body)
    assert script.exit_code == 0
    assert script.stderr == b"stopped"


def test_a_closed_descriptor_is_left_closed(tmp_path: Path) -> None:
    body = """
        os.close(2)
        capture.start()
        print("out", flush=True)
        capture.stop()
        try:
            os.fstat(2)
        except OSError:
            print("still closed", flush=True)
    """
    script = run_script(tmp_path, "fd", body)
    assert script.stdout == b"out\nstill closed\n"
    assert script.recorded("stdout") == "out\n"


def test_descriptors_are_given_back(tmp_path: Path) -> None:
    body = """
        before = sorted(os.listdir("/proc/self/fd"))
        for _ in range(3):
            with capture:
                print("x", flush=True)
        while any(thread.name.startswith("cloister") for thread in threading.enumerate()):
            time.sleep(0.01)
        assert sorted(os.listdir("/proc/self/fd")) == before
    """
    script = run_script(tmp_path, "fd", body)
    assert script.exit_code == 0, script.stderr
    assert script.recorded("stdout") == "x\n" * 3


# Pieces --------------------------------------------------------------------------------------------------------------

WRITES = st.lists(
    st.tuples(
        st.text(alphabet="ab\r\n", min_size=1, max_size=4), st.sampled_from([0.0, 0.01, 0.3, 1.1]), st.booleans()
    ),
    max_size=12,
)


@given(WRITES)
def test_the_pieces_show_what_the_terminal_shows_however_they_are_timed(writes: list[tuple[str, float, bool]]) -> None:
    maker, now, pieces = PieceMaker(), 0.0, []
    for text, pause, is_due in writes:
        pieces += maker.add(text, now)
        now += pause
        pieces += maker.take_due(now) if is_due else []
    pieces += maker.take_all(now)
    printed = "".join(text for text, _, _ in writes)
    assert fold_carriage_returns("".join(pieces)) == fold_carriage_returns(printed)
    assert maker.take_all(now) == []


def test_a_progress_bar_gives_one_state_a_second_and_its_last() -> None:
    maker = PieceMaker()
    pieces = [piece for n in range(500) for piece in maker.add(f"\r{n:03d}", now=n / 100)]
    assert pieces == ["000\r", "100\r", "200\r", "300\r", "400\r"]
    assert maker.due == 5.0
    assert maker.take_due(5.0) == ["499\r"]
    assert maker.due == NEVER
    assert maker.add("\n", 5.1) == []
    assert maker.take_due(maker.due) == ["\n"]
    assert maker.take_all(6.0) == []


def test_a_line_printed_behind_a_finished_progress_bar_does_not_wait() -> None:
    maker = PieceMaker()
    assert maker.add("\r100%", 0.0) == ["100%\r"]
    assert maker.add("\n", 0.1) == []
    assert maker.add("epoch done\n", 0.1) == ["\nepoch done\n"]
    assert maker.add("windows\r\n", 0.2) == ["windows\n"]


def test_nested_bars_are_one_line_until_they_end() -> None:
    maker = PieceMaker()
    pieces = maker.add("\repoch 0/2", 0.0)
    for batch in range(100):
        for text in ("\n", f"\rbatch {batch}", "\x1b[A"):
            pieces += maker.add(text, batch / 100)
    assert pieces == ["epoch 0/2\r"]
    pieces = maker.take_due(1.0)
    assert pieces == ["epoch 0/2  batch 99\r"]
    for text in ("\n", "\r        \r", "\x1b[A", "\repoch 1/2", "\repoch 2/2", "\n"):
        pieces += maker.add(text, 1.5)
    pieces += maker.take_due(1.6)
    assert fold_carriage_returns("".join(pieces)) == "epoch 2/2\n"
    assert maker.due == NEVER


def test_lines_beyond_the_rate_wait_for_no_longer_than_said() -> None:
    maker = PieceMaker()
    at_once = [maker.add("x\n", 0.0) for _ in range(IMMEDIATE_PIECES_PER_SECOND)]
    assert at_once == [["x\n"]] * IMMEDIATE_PIECES_PER_SECOND
    assert maker.add("y\n", 0.5) == []
    assert maker.due == 0.5 + GATHER_SECONDS
    assert maker.add("z", 0.51) == []
    assert maker.take_due(maker.due) == ["y\n"]
    assert maker.add("\n", 1.5) == ["z\n"]


@given(st.lists(st.text(alphabet="a€\U0001f733\n\r", max_size=40_000), max_size=4))
def test_no_piece_is_larger_than_its_limit(texts: list[str]) -> None:
    maker = PieceMaker()
    pieces = [piece for text in texts for piece in maker.add(text * 5, 0.0)] + maker.take_all(0.0)
    assert all(0 < len(piece.encode("utf-8")) <= PIECE_LIMIT_BYTES for piece in pieces)


def test_a_carriage_return_line_without_end_stays_bounded() -> None:
    maker = PieceMaker()
    for _ in range(1000):
        maker.add("\r" + "x" * 60_000, 0.0)
        assert sum(map(len, maker._parts)) <= 2 * PIECE_LIMIT_BYTES
