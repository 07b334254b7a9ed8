"""What `make demo` does: the embedded MongoDB, three trainings on real images, the dashboard while the last one runs.

python examples/demo.py
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from cloister import CloisterError
from rich.console import Console

FINISHED = (["lr=0.0003"], ["lr=0.01"])
LIVE = ["lr=0.001", "epochs=120", "pause=0.8"]  # runs for more than a minute and a half
FIRST_PORT = 6390
PORTS_TRIED = 10
GOODBYE_SECONDS = 30  # an interrupted training ships what it has logged before it goes

# 64 neurons are too few to share out among cores: threads would wait for each other longer than they compute.
ONE_THREAD_EACH = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}

terminal = Console(highlight=False)


def main() -> int:
    # The demo is for this machine alone: its runs must not turn up on the dashboard of a team.
    if os.environ.pop("CLOISTER_URI", None):
        terminal.print("CLOISTER_URI is set and not used: the demo records into the embedded database.", style="yellow")
    try:
        start_database()
        with ExitStack() as both:  # side by side: they wait for each other less than for imports and disks
            processes = [both.enter_context(training(config)) for config in FINISHED]
            for process, config in zip(processes, FINISHED, strict=True):
                if exit_code := show(process, f"Training on scikit-learn's digits, {' '.join(config)}"):
                    return exit_code
        terminal.print(f"A third training goes on while you look, {' '.join(LIVE)}\n")
        with training(LIVE, output=subprocess.DEVNULL):
            serve_dashboard()
    except CloisterError as error:
        terminal.print(f"Error: {error}", style="red", markup=False)
        return 1
    except KeyboardInterrupt:
        pass
    terminal.print("\nThe runs stay. 'make demo' shows them again and adds three more.")
    return 0


def start_database() -> None:
    from cloister.observer.embedded.server import EmbeddedServer
    from cloister.observer.settings import load_settings

    settings = load_settings()
    if settings.uri is not None:  # a cloister.toml says so
        return
    server = EmbeddedServer(settings)
    with terminal.status("Starting the embedded MongoDB ..."):
        server.ensure_running()
    terminal.print(f"The embedded MongoDB runs; its data are in {server.folder.path}", soft_wrap=True)


def show(process: subprocess.Popen[str], what: str) -> int:
    """Show the newest line of a training until it ends; its exit code."""
    assert process.stdout is not None
    line = ""
    with terminal.status(what) as status:
        for line in process.stdout:
            status.update(f"{what}: {line.strip()}")
        exit_code = process.wait()
    terminal.print(f"{what}: {line.strip()}", soft_wrap=True)
    return exit_code


@contextmanager
def training(config: list[str], *, output: int = subprocess.PIPE) -> Iterator[subprocess.Popen[str]]:
    """A training in a process of its own; if it still runs when the block ends, it is interrupted."""
    command = [sys.executable, str(Path(__file__).with_name("digits.py")), *config]
    # A session of its own: Ctrl-C reaches it once, through us, and not a second time while it says goodbye.
    environment = {**os.environ, **ONE_THREAD_EACH}
    process = subprocess.Popen(command, stdout=output, text=True, env=environment, start_new_session=True)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(GOODBYE_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()  # loses nothing: the journal has what it logged
                process.wait()


def serve_dashboard() -> None:
    """Serve until Ctrl-C; prints the dashboard's address."""
    from cloister.viewer.serve_command import serve

    port = free_port()
    if port != FIRST_PORT:
        terminal.print(f"Port {FIRST_PORT} is taken, so the dashboard is on another.", style="yellow")
    serve.main(["--port", str(port)], standalone_mode=False)


def free_port() -> int:
    """The first port from 6390 on that nobody listens on; 0, any free one, if all are taken."""
    for port in range(FIRST_PORT, FIRST_PORT + PORTS_TRIED):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the viewer's own socket
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    return 0


if __name__ == "__main__":
    sys.exit(main())
