"""Run a command and wait for all that it leaves behind, to know what it really cost; `processes.py` starts it.

    python supervise.py RESULT GRACE COMMAND...

A helper that detached itself (a double fork, as couriers and daemons do) is adopted by this process, whose children's
CPU time then is all of the command's. RESULT gets that as JSON. What runs GRACE seconds after the command is ended.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

PR_SET_CHILD_SUBREAPER = 36


def main() -> None:
    result, grace = Path(sys.argv[1]), float(sys.argv[2])
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER)")
    started = time.monotonic()
    code = subprocess.Popen(sys.argv[3:]).wait()
    ended = time.monotonic()
    command = resource.getrusage(resource.RUSAGE_CHILDREN)
    leftovers = wait_for_adopted(ended + grace)
    everything = resource.getrusage(resource.RUSAGE_CHILDREN)
    result.write_text(
        json.dumps(
            {
                "exit_code": code,
                "started_at": started,
                "ended_at": ended,
                "seconds": ended - started,
                "cpu_seconds": everything.ru_utime + everything.ru_stime,
                "helper_cpu_seconds": everything.ru_utime + everything.ru_stime - command.ru_utime - command.ru_stime,
                "peak_bytes": everything.ru_maxrss * 1024,  # of the largest process
                "ended_by_us": leftovers,
            }
        ),
        encoding="utf-8",
    )
    sys.exit(code)


def wait_for_adopted(deadline: float) -> int:
    """Reap all children; returns how many had to be ended."""
    ended: set[int] = set()
    while True:
        try:
            pid, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return len(ended)
        if pid:
            continue
        if time.monotonic() > deadline:
            for child in children():
                os.kill(child, signal.SIGKILL if child in ended else signal.SIGTERM)
                ended.add(child)
            time.sleep(0.5)
        time.sleep(0.01)


def children() -> list[int]:
    return [int(pid) for pid in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()]


if __name__ == "__main__":
    main()
