"""What a container or batch system allows this process: cgroup CPU quota and memory limit, version 1 and 2."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

# cgroup v1 says "no limit" by the largest multiple of a page that fits a signed 64-bit number.
NO_MEMORY_LIMIT_BYTES = 1 << 60


@dataclass(frozen=True)
class MemoryLimit:
    """The tightest memory limit above this process, and the folder that enforces it."""

    limit_bytes: int
    folder: Path
    version: int

    def used_bytes(self) -> int:
        """What counts against the limit now, without file caches that the kernel would give up first."""
        usage, cache = (
            ("memory.current", "inactive_file")
            if self.version == 2
            else ("memory.usage_in_bytes", "total_inactive_file")
        )
        used = int((self.folder / usage).read_text())
        for line in (self.folder / "memory.stat").read_text().splitlines():
            name, _, value = line.partition(" ")
            if name == cache:
                return max(0, used - int(value))
        return used


@dataclass(frozen=True)
class CpuLimit:
    """The tightest CPU quota above this process, in cores, and the folder that enforces it."""

    cores: float
    folder: Path
    version: int

    def used_seconds(self) -> float:
        """CPU time that everything under the quota has used, ever."""
        if self.version == 1:
            # cpuacct is usually mounted with cpu; where it is not, the file is missing and the host's figure is taken.
            return int((self.folder / "cpuacct.usage").read_text()) / 1e9
        for line in (self.folder / "cpu.stat").read_text().splitlines():
            name, _, value = line.partition(" ")
            if name == "usage_usec":
                return int(value) / 1e6
        raise ValueError(f"{self.folder / 'cpu.stat'} has no usage_usec.")


def usable_cores(limit: CpuLimit | None) -> float:
    """How many cores this process may keep busy: its affinity (and cpuset), or less where a quota says so."""
    try:
        cores = float(len(os.sched_getaffinity(0)))
    except (AttributeError, OSError):  # macOS has no affinity
        cores = float(os.cpu_count() or 1)
    return min(cores, limit.cores) if limit is not None else cores


def load_memory_limit(root: Path = Path("/")) -> MemoryLimit | None:
    """The tightest memory limit of this process' cgroup and those above it; None where nothing limits it.

    Args:
        root: the folder that holds proc/ and the cgroup mounts; tests lay out their own.
    """
    limits = []
    for folder, version in _iter_folders(root, "memory"):
        name = "memory.max" if version == 2 else "memory.limit_in_bytes"
        limit = _read_number(folder / name)
        if limit is not None and 0 < limit < NO_MEMORY_LIMIT_BYTES:
            limits.append(MemoryLimit(limit, folder, version))
    return min(limits, key=lambda limit: limit.limit_bytes, default=None)


def load_cpu_limit(root: Path = Path("/")) -> CpuLimit | None:
    """The tightest CPU quota of this process' cgroup and those above it; None where nothing limits it."""
    limits = []
    for folder, version in _iter_folders(root, "cpu"):
        cores = _read_quota(folder, version)
        if cores is not None:
            limits.append(CpuLimit(cores, folder, version))
    return min(limits, key=lambda limit: limit.cores, default=None)


def _read_quota(folder: Path, version: int) -> float | None:
    if version == 2:
        try:
            quota, period = (folder / "cpu.max").read_text().split()
            return int(quota) / int(period)
        except (OSError, ValueError, ZeroDivisionError):  # "max 100000" is no limit, the root has no such file
            return None
    quota_us, period_us = _read_number(folder / "cpu.cfs_quota_us"), _read_number(folder / "cpu.cfs_period_us")
    return quota_us / period_us if quota_us and period_us and quota_us > 0 and period_us > 0 else None


def _read_number(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None


def _iter_folders(root: Path, controller: str) -> Iterator[tuple[Path, int]]:
    """Folders whose files limit this process, from its own cgroup up to the mount, each with the cgroup version."""
    try:
        memberships = (root / "proc/self/cgroup").read_text().splitlines()
        mounts = (root / "proc/self/mountinfo").read_text().splitlines()
    except OSError:  # not Linux, or /proc is hidden
        return
    for version in (2, 1):
        path = _find_membership(memberships, controller, version)
        mount = _find_mount(mounts, controller, version)
        if path is None or mount is None:
            continue
        mount_root, mount_point = mount
        top = root / mount_point.relative_to("/")
        # Inside a container the path may be the host's, which this mount does not show: its root is our cgroup then.
        below = path.relative_to(mount_root) if path.is_relative_to(mount_root) else PurePosixPath()
        if ".." in below.parts:
            below = PurePosixPath()
        for part in (below, *below.parents) if below.parts else (below,):
            yield top / part, version


def _find_membership(lines: list[str], controller: str, version: int) -> PurePosixPath | None:
    for line in lines:
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if path and ((number == "0" and not controllers) if version == 2 else controller in controllers.split(",")):
            return PurePosixPath(path)
    return None


def _find_mount(lines: list[str], controller: str, version: int) -> tuple[PurePosixPath, PurePosixPath] | None:
    """The root within the hierarchy and the mount point of a controller, out of /proc/self/mountinfo."""
    for line in lines:
        left, _, right = line.partition(" - ")
        fields, (kind, *options) = left.split(), (right.split() or [""])
        if len(fields) < 5 or kind != ("cgroup2" if version == 2 else "cgroup"):
            continue
        if version == 2 or (options and controller in options[-1].split(",")):
            return PurePosixPath(fields[3]), PurePosixPath(fields[4])
    return None
