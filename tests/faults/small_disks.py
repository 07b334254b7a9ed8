"""Disks that are small, full or read-only, made for a row by root and gone with it."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .places import NotHere, Place

PAGE_BYTES = 4096


@contextmanager
def small_disk(path: Path, size_kb: int, *, read_only: bool = False) -> Iterator[None]:
    """A tmpfs of so many KiB at `path`.

    Raises:
        NotHere: this user may not mount.
    """
    path.mkdir(parents=True, exist_ok=True)
    options = f"size={size_kb}k,mode=0700" + (",ro" if read_only else "")
    _run("mount", "-t", "tmpfs", "-o", options, "tmpfs", str(path))
    try:
        yield
    finally:
        _run("umount", "--lazy", str(path))


def fill(path: Path, leave_kb: int) -> Path:
    """Fill the disk at `path` but for so many KiB; the file that does it, to be deleted for space to come back."""
    ballast = path / "ballast"
    with ballast.open("wb", buffering=0) as file:
        try:
            while file.write(bytes(PAGE_BYTES)) == PAGE_BYTES:
                pass
        except OSError:
            pass
        file.truncate(max(0, file.tell() - leave_kb * 1024))
    return ballast


def put_all_on(place: Place, disk: Path) -> None:
    """Have data folder, temporary folder and shared memory of the place's programs on one disk."""
    place.home, place.temporary, place.memory = disk / "home", disk / "tmp", disk / "shm"
    for folder in (place.temporary, place.memory):
        folder.mkdir()
    place.environment.update(CLOISTER_HOME=str(place.home), TMPDIR=str(place.temporary))
    # A mount namespace of its own, in which /dev/shm is ours. What is left there can be seen from outside as well.
    script = f'mount --bind "{place.memory}" /dev/shm && exec "$@"'
    place.wrapper = ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh"]


def _run(*command: str) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True)
    except FileNotFoundError:
        raise NotHere(f"needs the command {command[0]}") from None
    if done.returncode:
        raise NotHere(f"needs to be root and allowed to mount: {done.stderr.strip()}")
