"""Other people's programs that read our databases, installed once below XDG_CACHE_HOME and found there again."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

OMNIBOARD = "omniboard@2.16.1"
AXE = "axe-core@4.10.3"
# Without its own requirements: JupyterLab is one, 300 MB for a notebook that no test opens. These are what it imports.
INCENSE = ("incense==0.0.15", "sacred==0.8.7")
INCENSE_IMPORTS = (
    "docopt-ng==0.9.0", "gitpython==3.1.46", "ipython==8.37.0", "jsonpickle==4.1.1", "munch==4.0.0", "numpy==2.2.6",
    "packaging==25.0", "pandas==2.3.3", "py-cpuinfo==9.0.0", "pymongo==4.15.5", "pyrsistent==0.20.0", "colorama==0.4.6",
    "setuptools==80.9.0", "wrapt==1.17.3",
)  # fmt: skip
# Sacred with all that its observers need, beside an environment whose setuptools is too new for it.
SACRED = (
    "sacred==0.8.7", "docopt-ng==0.9.0", "gitpython==3.1.46", "hashfs==0.7.2", "jsonpickle==4.1.1", "munch==4.0.0",
    "numpy==2.2.6", "packaging==25.0", "py-cpuinfo==9.0.0", "pymongo==4.15.5", "colorama==0.4.6", "setuptools==80.9.0",
    "tinydb==4.9.0", "tinydb-serialization==2.2.0", "wrapt==1.17.3",
)  # fmt: skip
INSTALL_SECONDS = 900
_READY = "ready"


class NpmMissing(Exception):
    """There is nothing to install or run Omniboard with."""

    def __init__(self) -> None:
        super().__init__("This needs npm and node, which are not here. On Debian: apt-get install npm")


def omniboard_program() -> Path:
    """Omniboard's start script for node. Installs it the first time: a minute, half a gigabyte.

    Raises:
        NpmMissing: it cannot be installed here.
    """
    if shutil.which("npm") is None or shutil.which("node") is None:
        raise NpmMissing
    folder = installed(OMNIBOARD, lambda folder: _install_by_npm(folder, OMNIBOARD))
    return folder / "node_modules" / "omniboard" / "dist" / "start.js"


def axe_script() -> Path:
    """The script of axe-core, which judges how accessible a page is. Fetched the first time: 3 MB.

    Raises:
        NpmMissing: it cannot be installed here.
    """
    if shutil.which("npm") is None:
        raise NpmMissing
    return installed(AXE, lambda folder: _install_by_npm(folder, AXE)) / "node_modules" / "axe-core" / "axe.min.js"


def incense_interpreter() -> Path:
    """The Python of an environment that has Incense. Makes it the first time: half a minute."""
    version = f"{sys.version_info.major}{sys.version_info.minor}"
    return installed(f"incense-0.0.15-python{version}", _install_incense) / "bin" / "python"


def sacred_interpreter() -> Path:
    """The Python of an environment that has Sacred and tinydb. Makes it the first time: half a minute."""
    version = f"{sys.version_info.major}{sys.version_info.minor}"
    return installed(f"sacred-0.8.7-python{version}", _install_sacred) / "bin" / "python"


def _install_by_npm(folder: Path, package: str) -> None:
    folder.mkdir()
    (folder / "package.json").write_text('{"private": true}', encoding="utf-8")
    # No script of a package is run: what is published is built already.
    quiet = ("--ignore-scripts", "--no-audit", "--no-fund", "--omit=dev", "--save-exact", "--loglevel=error")
    _run(["npm", "install", *quiet, package], folder)


def _install_incense(folder: Path) -> None:
    _install_packages(folder, INCENSE_IMPORTS)
    _run([*_pip(folder), "--no-deps", *INCENSE], folder)


def _install_sacred(folder: Path) -> None:
    _install_packages(folder, SACRED)


def _install_packages(folder: Path, packages: Sequence[str]) -> None:
    _run([sys.executable, "-m", "venv", str(folder)], folder.parent)
    _run([*_pip(folder), *packages], folder)


def _pip(folder: Path) -> list[str]:
    return [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]


def installed(name: str, install: Callable[[Path], None]) -> Path:
    """The folder of an install that is whole, made if it is missing; several test processes may ask at once."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "cloister-peers"
    cache.mkdir(parents=True, exist_ok=True)
    folder = cache / name.replace("@", "-")
    with _alone(folder.with_name(f"{folder.name}.lock")):
        if not (folder / _READY).exists():
            shutil.rmtree(folder, ignore_errors=True)
            install(folder)
            (folder / _READY).touch()
    return folder


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _run(command: list[str], folder: Path) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=INSTALL_SECONDS)
    assert done.returncode == 0, f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}"
