"""Where journals may lie: the folders that are tried in turn, who may write there, what kind of disk they are on."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from .errors import CloisterError
from .journal_segments import has_segments
from .settings import Settings

SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 outlives a killed process, not a reboot
MOUNTS = Path("/proc/self/mountinfo")
MEMORY_BOUND_BYTES = 64 * 1024 * 1024  # of journals in memory: the training needs it more than its record does
MEMORY_SHARE = 4  # and never more than a quarter of what is free, so that data loaders keep their share of /dev/shm

Disk = Literal["disk", "memory", "network"]

_IN_MEMORY = {"tmpfs", "ramfs"}
_OVER_NETWORK = {
    "9p", "afs", "beegfs", "ceph", "cifs", "fuse.ceph", "fuse.glusterfs", "fuse.sshfs", "gfs2", "gpfs", "lustre", "nfs",
    "nfs4", "ocfs2", "orangefs", "panfs", "smb3", "smbfs", "wekafs",
}  # fmt: skip


class UnsafeFolder(CloisterError, PermissionError):
    """A folder of the journal could be written by somebody else, who could then read or plant a run's record."""

    def __init__(self, folder: Path, reason: str) -> None:
        # With an errno and a path, an OSError would show those and hide what to do.
        super().__init__(f"{folder} {reason}")


@dataclass(frozen=True)
class Place:
    """A folder for the journals of one destination, or of one run in it.

    Attributes:
        folder: not made before it is used.
        root: holds the journals of all destinations.
        ours_from: `root` or a folder above it: from here on, all folders are ours alone.
        bound_bytes: what may lie below `root` at most, None on a disk.
    """

    folder: Path
    root: Path
    ours_from: Path
    bound_bytes: int | None = None

    def within(self, name: str) -> Place:
        return replace(self, folder=self.folder / name)

    def claim(self) -> None:
        """Make the folder, for us alone (0700), and make sure that nobody else can write there.

        Raises:
            UnsafeFolder: it, or one on the way to it, is a link, belongs to another account or lets others write.
            OSError: it cannot be made.
        """
        try:
            self.ours_from.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        except FileExistsError:
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR)) from None
        below = self.folder.relative_to(self.ours_from).parts
        for depth in range(len(below) + 1):
            part = self.ours_from.joinpath(*below[:depth])
            try:
                part.mkdir(mode=0o700)
            except FileExistsError:
                _refuse_unsafe(part)

    def room_bytes(self) -> int | None:
        """How much more may be written here; None where only the disk's size is a limit."""
        if self.bound_bytes is None:
            return None
        facts = os.statvfs(self.folder)
        free = facts.f_bavail * facts.f_frsize
        return min(self.bound_bytes - used_bytes(self.root), free // MEMORY_SHARE)


def journal_places(settings: Settings) -> tuple[Path, ...]:
    """The folders in which journals for the database of these settings may lie, in the order in which they are tried.

    The same for every process of this user on this host with the same settings and TMPDIR: what one has written there,
    another finds.
    """
    return tuple(place.folder for place in writing_places(settings))


def journal_roots(settings: Settings) -> tuple[Path, ...]:
    """The folders that hold the journals of all destinations, in the same order."""
    return tuple(place.root for place in _roots(settings))


def writing_places(settings: Settings) -> tuple[Place, ...]:
    """The places of `journal_places` with what a writer has to know of them."""
    from .mongo import destination

    name = destination(settings)
    return tuple(place.within(_name_here(name, place.root)) for place in _roots(settings))


def run_folders(places: Iterable[Path]) -> dict[str, tuple[Path, ...]]:
    """The runs with anything left to ship, oldest first: all folders of each, by the run's uid.

    A run has several folders where a disk was full: its segments and its files may lie in any of them.
    """
    folders: dict[str, list[Path]] = {}
    waiting: set[str] = set()
    for place in places:
        for folder in _folders_in(place):
            folders.setdefault(folder.name, []).append(folder)
            if has_segments(folder):
                waiting.add(folder.name)
    return {uid: tuple(folders[uid]) for uid in sorted(waiting)}


def used_bytes(folder: Path) -> int:
    """What the files in and below `folder` hold."""
    total = 0
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                try:
                    if entry.is_dir(follow_symlinks=False):
                        total += used_bytes(Path(entry.path))
                    elif entry.is_file(follow_symlinks=False):
                        total += entry.stat(follow_symlinks=False).st_size
                except OSError:  # shipped and removed meanwhile
                    continue
    except OSError:
        return total
    return total


def disk_kind(folder: Path, mounts: str | None = None) -> Disk:
    """What kind of file system `folder` is on, or will be once it is made.

    Args:
        mounts: the text of /proc/self/mountinfo; read when left out. Without it everything counts as a disk.
    """
    existing = next((path for path in (folder, *folder.parents) if path.exists()), None)
    if existing is None:
        return "disk"
    try:
        device = existing.stat().st_dev
    except OSError:
        return "disk"
    text = _read_mounts() if mounts is None else mounts
    wanted = f" {os.major(device)}:{os.minor(device)} "
    # The line is "36 35 98:0 / /mnt rw ... - ext4 /dev/sda1 rw": the type stands behind the dash.
    kinds = {line.partition(" - ")[2].partition(" ")[0] for line in text.splitlines() if wanted in line}
    if kinds & _OVER_NETWORK:
        return "network"
    return "memory" if kinds & _IN_MEMORY else "disk"


def _roots(settings: Settings) -> list[Place]:
    """The place of each kind, with its root as folder, in the order in which they are tried."""
    mounts = _read_mounts()
    data = settings.data_folder / "journal"
    temporary, shared = _own_folder(_temporary_folder()), _own_folder(SHARED_MEMORY)
    places = [Place(data, data, data)]
    for own in dict.fromkeys((temporary, shared)):
        bound = MEMORY_BOUND_BYTES if disk_kind(own, mounts) == "memory" else None
        places.append(Place(own / "journal", own / "journal", own, bound))
    if settings.home is None and disk_kind(data, mounts) != "disk" and disk_kind(temporary, mounts) == "disk":
        # Nobody chose this data folder. In memory a journal is gone after a reboot; over a network it is slow, and
        # locks may not hold.
        places[0], places[1] = places[1], places[0]
    return places


def _temporary_folder() -> Path:
    # Not tempfile.gettempdir: that writes a file to see whether it can, and on a full disk ends up somewhere else. And
    # rather /var/tmp than /tmp: it outlives a reboot, and is on a disk where /tmp is in memory.
    named = os.environ.get("TMPDIR")
    if named:
        return Path(named).absolute()
    lasting, usual = Path("/var/tmp"), Path("/tmp")  # noqa: S108 only a folder of ours in it is used
    return lasting if lasting.is_dir() else usual


def _own_folder(folder: Path) -> Path:
    return folder / f"cloister-{os.getuid()}"


def _name_here(name: str, root: Path) -> str:
    # Over a network, a lock that is held on one host need not be seen on another: a courier there would take the
    # segments of a living training for left ones. So every host has a folder of its own.
    return f"{name}@{os.uname().nodename}" if disk_kind(root) == "network" else name


def _read_mounts() -> str:
    try:
        return MOUNTS.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _refuse_unsafe(folder: Path) -> None:
    facts = folder.lstat()
    if stat.S_ISLNK(facts.st_mode):
        raise UnsafeFolder(folder, "is a symbolic link, which could lead anywhere. Remove it")
    if not stat.S_ISDIR(facts.st_mode):
        raise UnsafeFolder(folder, "is not a folder. Move it away")
    if facts.st_uid != os.geteuid():
        raise UnsafeFolder(folder, f"belongs to another user (uid {facts.st_uid})")
    if facts.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        mode = stat.S_IMODE(facts.st_mode)
        raise UnsafeFolder(folder, f"can be written by others (mode {mode:04o}). Run: chmod 700 {folder}")


def _folders_in(place: Path) -> Iterator[Path]:
    try:
        with os.scandir(place) as entries:
            found = [Path(entry.path) for entry in entries if _is_our_folder(entry)]
    except OSError:  # not made yet, or not to be read: then nothing of ours is in it
        return
    yield from found


def _is_our_folder(entry: os.DirEntry[str]) -> bool:
    # Another account may have planted one where all may write, to have its runs shipped with our rights.
    try:
        return entry.is_dir(follow_symlinks=False) and entry.stat(follow_symlinks=False).st_uid == os.geteuid()
    except OSError:
        return False
