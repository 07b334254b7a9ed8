"""Forks, threads, signals and ends of processes: nothing that was logged is lost, and nothing behaves differently."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from cloister.observer.courier_launch import SHIPPING_FILE, held_lock
from cloister.observer.journal_places import journal_places
from cloister.observer.runs import RunStore
from cloister.observer.settings import load_settings
from conftest import StartRun
from recorded_script import RecordedScript


def test_forks_in_the_first_moments_of_a_run_hang_in_no_import(script: RecordedScript) -> None:
    source = """
        import os, signal, subprocess, sys, time
        import cloister

        subprocess.run(["git", "init", "-q", "."], check=True)
        run = cloister.start_run(project="forks")
        begun, children = time.monotonic(), []
        while time.monotonic() - begun < 0.4:
            pid = os.fork()
            if pid == 0:
                signal.alarm(30)
                import email, git, importlib.metadata, psutil, sysconfig
                sysconfig.get_config_vars()
                run.log({"child": 1.0}, step=os.getpid())
                os._exit(0)
            children.append(pid)
            time.sleep(0.005)
        print(len(children), sum(os.waitpid(pid, 0)[1] != 0 for pid in children))
    """
    finished = script.run(source)
    assert finished.returncode == 0, finished.stderr
    forked, hung = map(int, finished.stdout.split())
    assert hung == 0
    script.wait_until_shipped()
    run = script.only_run()
    assert (run.status, run.summary["child"].count) == ("completed", forked)


def test_many_forks_lose_and_double_nothing(script: RecordedScript) -> None:
    source = """
        import os
        import cloister

        with cloister.start_run(project="forks", hardware=False, capture="none") as run:
            for number in range(200):
                pid = os.fork()
                if pid == 0:
                    run.log({"child": float(number)}, step=number)
                    os._exit(0)
                run.log({"parent": float(number)}, step=number)
                if number % 20 == 19:
                    for _ in range(20):
                        os.wait()
    """
    finished = script.run(source, env={"CLOISTER_EXIT_WAIT": "60"})
    assert finished.returncode == 0, finished.stderr
    script.wait_until_shipped()
    run = script.only_run()
    for name in ("child", "parent"):
        points = script.store.load_points(run.id, name)
        assert sorted(points.steps.tolist()) == list(range(200))
        assert points.steps.tolist() == points.values.tolist()
    assert run.status == "completed"


def test_multiprocessing_pools_and_data_loaders_log_from_their_workers(script: RecordedScript) -> None:
    source = """
        import multiprocessing, os, sys
        import cloister

        def work(number):
            cloister.log({"worker": float(number)}, step=number)
            print("worked on", number)
            return number

        if __name__ == "__main__":
            with cloister.start_run(project="forks", hardware=False) as run:
                with multiprocessing.get_context("fork").Pool(4) as pool:
                    assert pool.map(work, range(200)) == list(range(200))
                    pool.close()
                    pool.join()
                if "torch" in sys.argv:
                    import torch
                    from torch.utils.data import DataLoader, Dataset

                    class Numbers(Dataset):
                        def __len__(self):
                            return 64
                        def __getitem__(self, index):
                            cloister.log({"loaded": float(index)}, step=index)
                            return torch.tensor(index)

                    for _ in DataLoader(Numbers(), batch_size=4, num_workers=2):
                        pass
    """
    with_torch = _has_torch()
    finished = script.run(source, *(["torch"] if with_torch else []))
    assert finished.returncode == 0, finished.stderr
    script.wait_until_shipped()
    run = script.only_run()
    assert sorted(script.store.load_points(run.id, "worker").steps.tolist()) == list(range(200))
    text = "".join(piece.text for piece in script.store.load_console(run.id).pieces)
    assert sorted(map(int, re.findall(r"worked on (\d+)", text))) == list(range(200))
    if with_torch:
        assert sorted(script.store.load_points(run.id, "loaded").steps.tolist()) == list(range(64))


def _has_torch() -> bool:
    return importlib.util.find_spec("torch") is not None


def test_a_hundred_threads_log_at_once_and_one_that_dies_takes_nothing_along(
    start: StartRun, store: RunStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(threading, "excepthook", lambda _hook: None)
    with start() as run:

        def work(number: int) -> None:
            for step in range(50):
                run.log({f"thread {number}": float(step), "all": float(number)}, step=step)
            if number == 7:
                raise RuntimeError("a thread that dies")

        threads = [threading.Thread(target=work, args=(number,)) for number in range(100)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert run.wait_until_stored(60)

    stored = store.load_run(run.id)
    assert stored.status == "completed"
    assert stored.summary["all"].count == 5000
    for number in range(100):
        assert store.load_points(run.id, f"thread {number}").values.tolist() == [float(step) for step in range(50)]


WAITING = """
    import os, signal, sys, time
    import cloister
    {before}
    run = cloister.start_run(project="signals", hardware=False)
    {after}
    run.log({{"loss": 1.0}})
    print("ready", flush=True)
    time.sleep(60)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGXCPU])
def test_a_signal_ends_the_process_as_without_us_and_is_recorded(
    script: RecordedScript, number: signal.Signals
) -> None:
    process = script.start(WAITING.format(before="", after=""))
    assert process.stdout is not None
    process.stdout.readline()
    process.send_signal(number)
    process.communicate(timeout=30)
    assert process.returncode == -number
    script.wait_until_shipped()
    run = script.only_run()
    assert (run.status, run.exit) == ("interrupted", {"signal": number})


@pytest.mark.parametrize("place", ["before", "after"])
def test_a_handler_of_the_users_stays_theirs(script: RecordedScript, place: str) -> None:
    handler = 'signal.signal(signal.SIGTERM, lambda *_: (run.log({"handled": 1.0}), sys.exit(7)))'
    source = WAITING.format(**{"before": "", "after": "", place: handler})
    process = script.start(source)
    assert process.stdout is not None
    process.stdout.readline()
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)
    assert process.returncode == 7
    script.wait_until_shipped()
    run = script.only_run()
    assert run.summary["handled"].count == 1
    assert run.status in ("failed", "completed")  # sys.exit outside of a with block tells atexit no code


def test_a_handler_that_c_code_has_set_stays_too(script: RecordedScript) -> None:
    source = WAITING.format(before="import faulthandler; faulthandler.register(signal.SIGUSR1)", after="")
    process = script.start(source.replace("time.sleep(60)", "time.sleep(1)"))
    assert process.stdout is not None
    process.stdout.readline()
    process.send_signal(signal.SIGUSR1)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 0
    assert "most recent call first" in err
    script.wait_until_shipped()
    assert script.only_run().status == "completed"


def test_a_forked_child_may_start_a_run_of_its_own(script: RecordedScript) -> None:
    source = """
        import os, sys
        import cloister

        with cloister.start_run(project="forks", name="parent", hardware=False) as run:
            if os.fork() == 0:
                own = cloister.start_run(project="forks", name="child", hardware=False)
                own.log({"loss": 1.0})
                run.log({"from the child": 1.0})
                sys.exit(0)
            os.wait()
    """
    finished = script.run(source)
    assert finished.returncode == 0, finished.stderr
    script.wait_until_shipped()
    runs = {run.name: run for run in script.runs()}
    assert {name: (run.status, set(run.summary)) for name, run in runs.items()} == {
        "parent": ("completed", {"from the child"}),
        "child": ("completed", {"loss"}),
    }


def test_a_signal_reaches_a_main_thread_that_is_inside_c_code(script: RecordedScript) -> None:
    source = """
        import ctypes, time
        import cloister

        run = cloister.start_run(project="signals", hardware=False)
        run.log({"loss": 1.0})
        libc = ctypes.CDLL(None)
        mutex = ctypes.create_string_buffer(64)
        libc.pthread_mutex_lock(mutex)
        print("ready", flush=True)
        libc.pthread_mutex_lock(mutex)  # for ever, in C, without the interpreter's lock
    """
    process = script.start(source)
    assert process.stdout is not None
    process.stdout.readline()
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)
    assert process.returncode == -signal.SIGTERM
    script.wait_until_shipped()
    assert (script.only_run().status, script.only_run().exit) == ("interrupted", {"signal": signal.SIGTERM})


def test_ctrl_c_twice_is_recorded_as_an_interruption(script: RecordedScript) -> None:
    source = """
        import time
        import cloister

        with cloister.start_run(project="signals", hardware=False) as run:
            run.log({"loss": 1.0})
            print("ready", flush=True)
            try:
                time.sleep(60)
            finally:
                print("cleaning", flush=True)
                time.sleep(60)
    """
    process = script.start(source)
    assert process.stdout is not None
    for _ in range(2):
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert process.returncode == -signal.SIGINT
    script.wait_until_shipped()
    assert script.only_run().status == "interrupted"


def test_a_childs_death_by_signal_is_no_end_of_its_parents_run(script: RecordedScript) -> None:
    source = """
        import os, signal, time
        import cloister

        with cloister.start_run(project="signals", hardware=False) as run:
            pid = os.fork()
            if pid == 0:
                run.log({"child": 1.0})
                time.sleep(60)
            time.sleep(0.3)
            os.kill(pid, signal.SIGTERM)
            print(os.waitpid(pid, 0)[1])
            time.sleep(1.5)
            run.log({"parent": 1.0})
    """
    finished = script.run(source)
    assert (finished.returncode, finished.stdout) == (0, f"{int(signal.SIGTERM)}\n"), finished.stderr
    script.wait_until_shipped()
    run = script.only_run()
    assert (run.status, run.exit, set(run.summary)) == ("completed", {"code": 0}, {"child", "parent"})


@pytest.mark.parametrize(
    ("last_line", "code"),
    [
        pytest.param("os._exit(3)", 3, id="os._exit"),
        pytest.param("import ctypes; ctypes.string_at(0)", -signal.SIGSEGV, id="segfault"),
        pytest.param("os.abort()", -signal.SIGABRT, id="abort"),
    ],
)
def test_a_process_that_ends_without_a_word_keeps_its_points(script: RecordedScript, last_line: str, code: int) -> None:
    source = f"""
        import os
        import cloister

        run = cloister.start_run(project="ends", hardware=False)
        for step in range(1000):
            run.log({{"loss": 1.0}}, step=step)
        print("last words", flush=True)
        {last_line}
    """
    finished = script.run(source)
    assert finished.returncode == code
    script.wait_until_shipped()
    run = script.only_run()
    assert run.summary["loss"].count == 1000
    assert "last words" in "".join(piece.text for piece in script.store.load_console(run.id).pieces)
    assert run.stop_time is None  # shown as lost once its heartbeat is late


def test_logging_while_the_interpreter_shuts_down_breaks_nothing(script: RecordedScript) -> None:
    source = """
        import atexit, threading, time

        atexit.register(lambda: run.log({"after us": 1.0}))  # registered before us, so called after us
        import cloister

        run = cloister.start_run(project="ends", hardware=False)
        atexit.register(lambda: run.log({"before us": 1.0}))

        class Late:
            def __del__(self):
                run.log({"del": 1.0})

        def spin():
            while True:
                run.log({"daemon": 1.0})
                time.sleep(0.001)

        late = Late()
        late.itself = late
        threading.Thread(target=spin, daemon=True).start()
        threading.Timer(0.2, lambda: run.log({"thread": 1.0})).start()  # Python waits for it before it exits
    """
    finished = script.run(source)
    assert finished.returncode == 0, finished.stderr
    assert "Traceback" not in finished.stderr
    assert finished.stderr.count("has ended; what it logs now is not recorded") <= 1
    script.wait_until_shipped()
    run = script.only_run()
    assert {"before us", "daemon", "thread"} <= set(run.summary)
    assert run.status == "completed"


def test_a_notebook_may_start_a_second_run_without_having_ended_the_first(script: RecordedScript) -> None:
    cells = """
        import code, sys
        console = code.InteractiveConsole()
        for cell in [
            "import cloister",
            "run = cloister.start_run(project='notebook', name='first', hardware=False)",
            "run.log({'loss': 1.0})",
            "1 / 0",
            "run = cloister.start_run(project='notebook', name='second', hardware=False)",
            "run.log({'loss': 2.0})",
            "cloister.log({'more': 1.0})",
            "print('in the second')",
        ]:
            console.push(cell)
    """
    finished = script.run(cells)
    assert finished.returncode == 0
    assert "ZeroDivisionError" in finished.stderr
    script.wait_until_shipped()
    first, second = script.runs()
    assert [(run.name, run.status) for run in (first, second)] == [("first", "completed"), ("second", "completed")]
    assert [run.summary["loss"].last for run in (first, second)] == [1.0, 2.0]
    assert set(second.summary) == {"loss", "more"}


def test_a_kernel_that_is_killed_and_started_again_goes_on_with_its_run(script: RecordedScript) -> None:
    cell = """
        import sys, time
        import cloister

        run = cloister.start_run(project="notebook", resume=sys.argv[1] if len(sys.argv) > 1 else None, hardware=False)
        run.log({"loss": 1.0})
        print(run.uid, run.next_step, flush=True)
        time.sleep(60 if len(sys.argv) < 3 else 0)
    """
    process = script.start(cell)
    assert process.stdout is not None
    uid, step = process.stdout.readline().split()
    process.kill()
    process.communicate()
    again = script.run(cell, uid, "end")
    assert again.returncode == 0, again.stderr
    assert (step, again.stdout) == ("1", f"{uid} 2\n")
    script.wait_until_shipped()
    assert (script.only_run().status, len(script.only_run().resumed)) == ("completed", 1)


def test_at_a_terminal_a_long_wait_at_the_end_is_shown_and_ctrl_c_leaves_it(script: RecordedScript, home: Path) -> None:
    source = """
        import cloister

        with cloister.start_run(project="ends", hardware=False) as run:
            run.log({"loss": 1.0})
        print("done", flush=True)
    """
    path = script.write(source)
    destination = journal_places(load_settings(uri=script.uri))[0]
    destination.mkdir(parents=True, mode=0o700)
    leader, follower = os.openpty()
    with held_lock(destination, SHIPPING_FILE) as is_ours:  # the database answers, and nobody ships
        assert is_ours
        process = subprocess.Popen(
            [sys.executable, str(path)],
            cwd=script.folder,
            env={**os.environ, "CLOISTER_URI": script.uri, "CLOISTER_EXIT_WAIT": "40"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=follower,
        )
        os.close(follower)
        shown = b""
        while b"Ctrl-C leaves it to the next run on this machine" not in shown:
            shown += os.read(leader, 4096)
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=20)
    with contextlib.suppress(OSError):  # a terminal whose other side is closed
        while more := os.read(leader, 4096):
            shown += more
    os.close(leader)
    assert (process.returncode, out) == (0, b"done\n")
    assert b"Traceback" not in shown
    assert shown.count(b"'cloister sync' does") == 1
    script.wait_until_shipped()
    assert script.only_run().status == "completed"


def test_sources_are_kept_as_they_were_when_the_run_started(script: RecordedScript) -> None:
    (script.folder / "model.py").write_text("LAYERS = 2\n")
    source = """
        import pathlib, subprocess, time
        import cloister, model

        subprocess.run(["git", "init", "-q", "."], check=True)
        for number in range(500):
            pathlib.Path(f"notes-{number}.txt").write_text("untracked")
        with cloister.start_run(project="sources") as run:
            time.sleep(0.6)
            pathlib.Path("model.py").write_text("LAYERS = 3\\n")
            run.log({"loss": 1.0})
    """
    finished = script.run(source)
    assert finished.returncode == 0, finished.stderr
    script.wait_until_shipped()
    run = script.only_run()
    kept = {entry.path: script.store.open_blob(entry.file_id).read() for entry in run.sources}
    # On a machine that was too busy to read it within the half second, the run says so.
    assert kept["model.py"] == b"LAYERS = 2\n" or "model.py was changed in the run's first moments" in str(
        run.source_notes
    )
    assert "train.py" in kept
