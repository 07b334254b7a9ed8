"""One mongod process: starting it, recognising it again, asking it to end, understanding why it did not start."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import tempfile
import time
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from ..settings import Settings
from .binary import Mongod
from .data_folder import DataFolder
from .errors import MongodDidNotStart, MongodDidNotStop

Role = Literal["member", "alone", "repairing"]

REPLICA_SET = "cloister"
SMALLEST_CACHE_MB = 256  # mongod's own minimum
OPLOG_MB = 256  # the default is 990 MB or 5 % of the disk; change streams need seconds of it, not days
ENGINE_CONFIG = ",".join(
    (
        "log=(file_max=16MB)",  # instead of three of 100 MB each: a laptop's disk matters more than peak throughput
        # By default writes of 10 % of the cache not yet on disk stall the writers, and a document of 16 MB then never
        # gets in: "transaction is too large and will not fit in the storage engine cache" (seen with 256 MB, 6.0.5).
        "eviction_dirty_target=20,eviction_dirty_trigger=50",
        "eviction_updates_target=20,eviction_updates_trigger=50",
    )
)
START_SECONDS = 180.0  # 0.6 s as a rule; replaying a large journal after a power cut takes minutes
STOP_SECONDS = 60.0
POLL_SECONDS = 0.01

# Below the range from which Linux takes ports for outgoing connections, so that our port is still free next time.
PORTS = range(20000, 32000)

# mongod's exit codes (src/mongo/util/exit_code.h).
EXIT_CANNOT_LOCK = 100  # also "unhandled exception"; the log tells which
EXIT_PORT_TAKEN = 48
EXIT_OTHER_VERSION = 62


@dataclass(frozen=True)
class RunningMongod:
    """A live mongod on our data folder."""

    pid: int
    port: int
    role: Role  # of the replica set, or started without one for an edit or a repair


def running_mongod(folder: DataFolder) -> RunningMongod | None:
    """The mongod that runs on this folder, or None. Believes no pid file: the process's own command line decides."""
    pid = _locked_by(folder)
    return None if pid is None else recognise(folder, pid)


def recognise(folder: DataFolder, pid: int) -> RunningMongod | None:
    """The process `pid` as the mongod of this folder, or None: it ended, or its number went to somebody else."""
    import psutil  # 20 ms that only those pay who use the embedded database

    try:
        command = psutil.Process(pid).cmdline()
    except psutil.Error:  # gone, or not ours to look at
        return None
    options = dict(pairwise(command))
    port = options.get("--port", "")
    if options.get("--dbpath") != str(folder.data) or not port.isdigit():
        return None
    role: Role = "repairing" if "--repair" in command else "member" if "--replSet" in command else "alone"
    return RunningMongod(pid, int(port), role)


def spawn(mongod: Mongod, folder: DataFolder, options: list[str]) -> int:
    """Start mongod in the background and return 0 once it takes connections, else its exit code.

    It becomes nobody's child (`--fork`): it outlives us, leaves no zombie, and Ctrl-C does not reach it.
    """
    return run_mongod(mongod, folder, ["--fork", *options])


def run_mongod(mongod: Mongod, folder: DataFolder, options: list[str], timeout_seconds: float = START_SECONDS) -> int:
    """Run mongod on the folder until it ends or has gone to the background; its exit code.

    Raises:
        MongodDidNotStart: it did neither in time, or the system refused to run it.
    """
    with tempfile.TemporaryFile() as output:  # not a pipe: whoever inherits its end could keep us waiting for ever
        try:
            process = subprocess.run(  # noqa: S603 - the binary and every option are ours, no shell
                [mongod.path, *options],
                cwd=folder.path,
                env=_environment(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                umask=0o077,
                timeout=timeout_seconds,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise MongodDidNotStart(
                mongod.path, f"it was not ready after {timeout_seconds:.0f} s", folder.log
            ) from None
        except OSError as error:
            raise MongodDidNotStart(mongod.path, error.strerror or str(error), folder.log) from error
        if process.returncode != 0 and not folder.log.exists():
            output.seek(0)
            raise MongodDidNotStart(mongod.path, output.read(2000).decode(errors="replace").strip(), folder.log)
        return process.returncode


def server_options(folder: DataFolder, port: int, settings: Settings) -> list[str]:
    """mongod's command line as the member of a replica set of one, which has change streams and transactions."""
    return [*standalone_options(folder, port, settings), "--replSet", REPLICA_SET, "--oplogSize", str(OPLOG_MB)]


def standalone_options(folder: DataFolder, port: int, settings: Settings) -> list[str]:
    """The same outside of a replica set, for repairs. `recognise` reads `--dbpath` and `--port` back."""
    cache_gb = max(settings.cache_mb, SMALLEST_CACHE_MB) / 1024
    options = [
        *("--dbpath", str(folder.data), "--port", str(port)),
        *("--bind_ip", "127.0.0.1", "--nounixsocket"),
        *("--keyFile", str(folder.keyfile)),
        *("--noscripting", "--networkMessageCompressors", "snappy,zstd"),  # zlib: CVE-2025-14847
        *("--wiredTigerCacheSizeGB", f"{cache_gb:.3f}"),
        *("--wiredTigerEngineConfigString", ENGINE_CONFIG),
        *("--logpath", str(folder.log), "--logappend", "--logRotate", "reopen", "--quiet", "--slowms", "1000"),
    ]
    parameters = {
        "diagnosticDataCollectionEnabled": "false",
        # What was deleted stays readable at earlier times, for five minutes by default. Nobody asks for that, and the
        # tails of metrics, written and deleted all the time, would stay on disk for as long.
        "minSnapshotHistoryWindowInSeconds": "5",
        # Until there is a first user, mongod would let anybody on this machine make one; we log in with the key file.
        "enableLocalhostAuthBypass": "false",
        "shutdownTimeoutMillisForSignaledShutdown": "100",  # 15 s by default, for the other members that we do not have
    }
    for name, value in parameters.items():
        options += ["--setParameter", f"{name}={value}"]
    return options


def choose_port(preferred: int | None) -> int:
    """The preferred port if nobody has it, else a free one. Somebody may still be faster than mongod."""
    if preferred is not None and _is_free(preferred):
        return preferred
    for port in random.sample(PORTS, 50):
        if _is_free(port):
            return port
    with socket.socket() as probe:  # so crowded a machine may have one elsewhere
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def terminate(pid: int, folder: DataFolder) -> None:
    """Ask the mongod to shut down cleanly and wait until it has let go of its files and port.

    Raises:
        MongodDidNotStop: it is still there after STOP_SECONDS.
    """
    if recognise(folder, pid) is None:
        return
    os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + STOP_SECONDS
    while _holds_files(pid):
        if time.monotonic() > deadline:
            raise MongodDidNotStop(pid, STOP_SECONDS)
        time.sleep(POLL_SECONDS)


def _holds_files(pid: int) -> bool:
    """Whether the process may still hold its files and its port; both outlive its command line.

    Its first thread can be a zombie while others are being taken apart, and the files go with the last.
    """
    import psutil  # see recognise

    try:
        process = psutil.Process(pid)
        return bool(process.status() not in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD) or process.num_threads() > 1)
    except psutil.Error:
        return False


def rotate_log(folder: DataFolder, running: RunningMongod | None) -> None:
    """Keep the log and one older one, each of a few megabytes. Under the lock only."""
    if not folder.log_is_large():
        return
    folder.log.replace(folder.log.with_suffix(".log.1"))
    if running is not None:
        os.kill(running.pid, signal.SIGUSR1)  # mongod opens its log again


def was_killed(folder: DataFolder) -> bool:
    """Whether the last mongod on this folder ended without shutting down: only a clean end empties its lock file."""
    return _locked_by(folder) is not None


def log_size(folder: DataFolder) -> int:
    try:
        return folder.log.stat().st_size
    except OSError:
        return 0


def _locked_by(folder: DataFolder) -> int | None:
    """The pid in the file that mongod itself writes and locks; it stays behind after a kill."""
    try:
        return int((folder.data / "mongod.lock").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as mongod does: a port in TIME_WAIT is free
        try:
            probe.bind(("127.0.0.1", port))
            probe.listen(1)
        except OSError:
            return False
        return True


def _environment() -> dict[str, str]:
    """What mongod needs of ours. It lives for days: tokens in a training's environment do not belong there."""
    kept = ("PATH", "HOME", "LD_LIBRARY_PATH", "TMPDIR", "TZ", "GLIBC_TUNABLES", "DYLD_LIBRARY_PATH")
    return {"LC_ALL": "C", **{name: os.environ[name] for name in kept if name in os.environ}}
