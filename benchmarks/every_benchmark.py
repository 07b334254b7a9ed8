"""All benchmarks, one after the other: python benchmarks/every_benchmark.py > figures.txt

Options are handed on to each program (--quick, --no-peers). Between two programs the machine gets a rest, so that the
load which one leaves is not taken for another's.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time

from tracked_work import HERE

PROGRAMS = (
    *("run_log.py", "end_to_end.py", "drain.py", "start_up.py", "storage.py", "reading.py", "console.py"),
    "redaction.py",
    "rights.py",
    "purging.py",
    "audit_log.py",
    "sign_in.py",
    "fuzz_requests.py",
    *("overhead.py", "many_recorders.py", "omniboard_reading.py", "sacred_observers.py", "encryption.py"),
)
WITHOUT_PEERS = (
    *("reading.py", "console.py", "many_recorders.py", "omniboard_reading.py", "sacred_observers.py"),
    *("encryption.py", "redaction.py", "rights.py", "audit_log.py", "purging.py"),
    "fuzz_requests.py",
)
CALM_LOAD = 0.3
REST_SECONDS = 120.0


def main() -> None:
    failed = []
    for program in PROGRAMS:
        if "--quick" not in sys.argv:
            rest()
        options = [word for word in sys.argv[1:] if not (program in WITHOUT_PEERS and "peers" in word)]
        print(f"\n{program} {' '.join(options)}", flush=True)
        started = time.monotonic()
        if subprocess.run([sys.executable, str(HERE / program), *options]).returncode:
            failed.append(program)
        print(f"{time.monotonic() - started:.0f} s", flush=True)
    if failed:
        raise SystemExit(f"Failed: {', '.join(failed)}")


def rest() -> None:
    """Wait until the machine is calm, at most two minutes."""
    deadline = time.monotonic() + REST_SECONDS
    while os.getloadavg()[0] > CALM_LOAD and time.monotonic() < deadline:
        time.sleep(2.0)


if __name__ == "__main__":
    main()
