"""All figures of the viewer, one program after the other: python benchmarks/viewer [--quick] [--uri ...] > viewer.txt

Each program prints a table of its own, and the machine. The big database of 100,000 runs is made once for those that
read it, unless `--uri` names one that `generated_database.py` has filled. Between two programs the machine gets a rest.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent), str(HERE)]

# Program, and whether it reads the generated database. One that is not there (yet) is left out, and said to be.
PROGRAMS = (
    ("table.py", True),
    ("charts.py", False),
    ("console_page.py", False),
    ("browser.py", False),
    ("load.py", True),
    ("peers.py", False),
)
CALM_LOAD = 0.3
REST_SECONDS = 120.0


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="a small size, to see that it works")
    parser.add_argument("--uri", help="a database that generated_database.py has filled")
    parser.add_argument("--only", default="", help="which programs, with commas between: table,load")
    options = parser.parse_args()
    chosen = [name for name in options.only.split(",") if name]
    failed = []
    with ExitStack() as stack:
        uri = options.uri
        for program, reads_generated in PROGRAMS:
            if chosen and program.removesuffix(".py") not in chosen:
                continue
            if not (HERE / program).exists():
                print(f"\n{program} is not here", flush=True)
                continue
            if reads_generated and uri is None and not options.quick:
                uri = stack.enter_context(generated())
            further = ["--quick"] if options.quick else []
            further += ["--uri", uri] if reads_generated and uri else []
            failed += [] if run(program, further, calm=not options.quick) else [program]
    if failed:
        raise SystemExit(f"Failed: {', '.join(failed)}")


def run(program: str, options: list[str], *, calm: bool) -> bool:
    if calm:
        rest()
    print(f"\n{program} {' '.join(options)}", flush=True)
    started = time.monotonic()
    done = subprocess.run([sys.executable, str(HERE / program), *options])
    print(f"{time.monotonic() - started:.0f} s", flush=True)
    return done.returncode == 0


@contextmanager
def generated() -> Iterator[str]:
    """A private database of 100,000 runs, gone afterwards; yields its URI."""
    from cloister.observer.runs import RunStore
    from generated_database import fill_database
    from private_database import private_database

    with private_database() as private:
        with RunStore.connect(private.uri) as store:
            fill_database(store.database)
            name = store.database.name
        private.checkpoint()
        base, _, query = private.uri.partition("?")
        yield f"{base.rstrip('/')}/{name}?{query}"


def rest() -> None:
    """Wait until the machine is calm, at most two minutes."""
    deadline = time.monotonic() + REST_SECONDS
    while os.getloadavg()[0] > CALM_LOAD and time.monotonic() < deadline:
        time.sleep(2.0)


if __name__ == "__main__":
    main()
