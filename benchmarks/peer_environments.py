"""The trackers that we are measured against, each in an environment of its own: python benchmarks/peer_environments.py

Whoever runs a benchmark needs none of them: an environment is made the first time that a table wants it, below
~/.cache/cloister-benchmarks (CLOISTER_BENCHMARKS_CACHE names another folder), and used by all benchmarks. Run by
itself, this program makes them all and says which cannot be had here.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

FOLDER = Path(__file__).parent
INSTALL_SECONDS = 1200
READY_FILE = "cloister-benchmarks-ready"
FAILED_FILE = "cloister-benchmarks-failed"


class PeerUnavailable(Exception):
    """A peer cannot be installed or used here; the message is short enough for a table."""


@dataclass(frozen=True)
class Peer:
    """A tracker that others use. `name` is also that of its recorder in recorders/."""

    name: str
    title: str
    requirements: tuple[str, ...]
    quiet: Mapping[str, str] = field(default_factory=dict)  # its own words for: send nothing anywhere


NO_NETWORK = {
    # Whatever a peer still tries then fails at once instead of leaving the machine.
    "http_proxy": "http://127.0.0.1:9",
    "https_proxy": "http://127.0.0.1:9",
    "HTTP_PROXY": "http://127.0.0.1:9",
    "HTTPS_PROXY": "http://127.0.0.1:9",
    "NO_PROXY": "127.0.0.1,localhost",
    "no_proxy": "127.0.0.1,localhost",
    "DO_NOT_TRACK": "1",
}

PEERS = (
    Peer(
        "sacred",
        "Sacred 0.8.7",
        ("sacred==0.8.7", "pymongo==4.15.5", "numpy==2.3.5", "setuptools==80.9.0"),  # it imports pkg_resources
    ),
    Peer(
        "wandb",
        "W&B 0.31 offline",
        ("wandb==0.31.0",),
        {
            "WANDB_MODE": "offline",
            "WANDB_SILENT": "true",
            "WANDB_ERROR_REPORTING": "false",
            "WANDB_DISABLE_GIT": "true",
        },
    ),
    Peer(
        "trackio",
        "Trackio 0.43",
        ("trackio==0.43.0",),
        {"HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "GRADIO_ANALYTICS_ENABLED": "False"},
    ),
    Peer("tensorboardx", "tensorboardX 2.6", ("tensorboardX==2.6.5", "tensorboard==2.21.0", "setuptools==80.9.0")),
    Peer(
        "tensorboard",
        "TensorBoard (torch)",
        ("torch==2.13.0", "tensorboard==2.21.0", "numpy==2.3.5", "setuptools==80.9.0"),
    ),
    Peer("aim", "Aim 3.29", ("aim==3.29.1", "setuptools==80.9.0")),
    Peer(
        "mlflow",
        "MLflow 3.17 SQLite",
        ("mlflow==3.17.0",),
        {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_ENABLE_ASYNC_LOGGING": "false", "GIT_PYTHON_REFRESH": "quiet"},
    ),
    Peer("dvclive", "DVCLive 3.49", ("dvclive==3.49.1",), {"DVC_NO_ANALYTICS": "1"}),
)


def find_peer(name: str) -> Peer:
    """The peer that a recorder's name begins with: "mlflow_batch" is another way to use "mlflow"."""
    return next(peer for peer in PEERS if peer.name == name.partition("_")[0])


def interpreter_for(peer: Peer) -> Path:
    """The Python of the peer's environment, which is made when it is missing (minutes, once).

    Raises:
        PeerUnavailable: it cannot be installed. Remembered, until the requirements change or this program is run.
    """
    return interpreter_with(peer.name, peer.requirements)


def interpreter_with(name: str, requirements: tuple[str, ...]) -> Path:
    """The Python of an environment that has `requirements`."""
    folder = _cache_folder() / _environment_name(name, requirements)
    interpreter = folder / "bin" / "python"
    with _alone(folder.with_suffix(".lock")):
        if (folder / READY_FILE).exists():
            return interpreter
        if (folder / FAILED_FILE).exists():
            raise PeerUnavailable((folder / FAILED_FILE).read_text(encoding="utf-8"))
        print(f"Installing {', '.join(requirements)} into {folder} (this once)", file=sys.stderr)
        shutil.rmtree(folder, ignore_errors=True)
        try:
            _install(folder, requirements)
        except PeerUnavailable as error:
            (folder / FAILED_FILE).write_text(str(error), encoding="utf-8")
            raise
        (folder / READY_FILE).touch()
    return interpreter


def environment_of(peer: Peer, folder: Path) -> dict[str, str]:
    """The environment variables with which a peer's process runs: its files in `folder`, nothing leaves the machine."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "LC_ALL", "TMPDIR") if name in os.environ}
    return {**kept, "HOME": str(folder / "home"), **NO_NETWORK, **peer.quiet}


def _install(folder: Path, requirements: tuple[str, ...]) -> None:
    folder.mkdir(parents=True)
    pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    for command in ([sys.executable, "-m", "venv", str(folder)], [*pip, *requirements]):
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_SECONDS)
        except subprocess.TimeoutExpired:
            raise PeerUnavailable(f"not installed after {INSTALL_SECONDS} s") from None
        if done.returncode:
            said = [line for line in done.stderr.splitlines() if "ERROR" in line] or done.stderr.splitlines()
            raise PeerUnavailable(f"cannot be installed: {said[-1][:120] if said else done.returncode}")


def _cache_folder() -> Path:
    named = os.environ.get("CLOISTER_BENCHMARKS_CACHE")
    folder = Path(named) if named else Path.home() / ".cache" / "cloister-benchmarks"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _environment_name(name: str, requirements: tuple[str, ...]) -> str:
    fingerprint = hashlib.sha256("\n".join(requirements).encode()).hexdigest()[:8]
    return f"{name}-{sys.version_info.major}{sys.version_info.minor}-{fingerprint}"


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Two benchmarks at once must not install into one folder."""
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def main() -> None:
    for peer in PEERS:
        for failed in _cache_folder().glob(f"{_environment_name(peer.name, peer.requirements)}/{FAILED_FILE}"):
            failed.unlink()
        try:
            print(f"{peer.title}: {interpreter_for(peer)}")
        except PeerUnavailable as error:
            print(f"{peer.title}: {error}")


if __name__ == "__main__":
    main()
