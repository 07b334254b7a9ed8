"""The hardware metrics: every name that the sampler records, with the title and the unit that charts show."""

from __future__ import annotations

import re
from typing import Literal

Unit = Literal["%", "bytes", "B/s", "W", "°C", ""]

# "*" stands for the index of a GPU, or for the number of a process of the run: 0 is the training itself.
# Names never change once released: they are stored with every run.
HARDWARE_METRICS: dict[str, tuple[str, Unit]] = {
    "cpu.percent": ("CPU of the run", "%"),  # process tree; 100 is all usable cores (affinity, cgroup quota)
    "cpu.host.percent": ("CPU of the host", "%"),  # of the container where one limits the cores
    "memory.used": ("Memory of the run", "bytes"),  # resident, process tree; pages shared by workers count in each
    "memory.percent": ("Memory of the run", "%"),  # of the cgroup's limit, else of the machine
    "memory.host.used": ("Memory of the host", "bytes"),  # of the container where one limits memory; without caches
    "memory.host.percent": ("Memory of the host", "%"),
    "disk.read": ("Disk read by the run", "B/s"),  # what reached the disk; page cache hits are not in it
    "disk.write": ("Disk written by the run", "B/s"),
    "disk.free": ("Disk free in the working folder", "bytes"),
    "network.sent": ("Network sent by the host", "B/s"),  # all interfaces but loopback
    "network.received": ("Network received by the host", "B/s"),
    "processes": ("Processes of the run", ""),
    "threads": ("Threads of the run", ""),
    "process.*.cpu": ("Process {} CPU", "%"),  # 100 is all usable cores; only where the run has several processes
    "process.*.memory": ("Process {} memory", "bytes"),  # resident
    "gpu.*.utilization": ("GPU {} utilization", "%"),
    "gpu.*.memory.used": ("GPU {} memory", "bytes"),
    "gpu.*.memory.percent": ("GPU {} memory", "%"),
    "gpu.*.memory.run": ("GPU {} memory of the run", "bytes"),  # only where the driver sees our process ids
    "gpu.*.power": ("GPU {} power", "W"),
    "gpu.*.temperature": ("GPU {} temperature", "°C"),
}

SYSTEM_PREFIX = "system/"  # hardware metrics are stored as metrics under this prefix
_RANK = re.compile(r"^rank/\d{1,7}/", re.ASCII)
_NUMBER = re.compile(r"(?<=\.)(\d{1,4})(?=\.)", re.ASCII)


def describe_hardware_metric(name: str) -> tuple[str, Unit]:
    """The title and the unit of a hardware metric, with or without its "system/" prefix and that of its rank.

    A name that this version does not know (from a newer one, or a foreign database) is its own title, without a unit.
    """
    bare, pattern, number = _parse(name)
    if pattern not in HARDWARE_METRICS:
        return bare, ""
    title, unit = HARDWARE_METRICS[pattern]
    return title.format(number), unit


def is_hardware_metric(name: str) -> bool:
    """Whether the sampler records a metric of this name; a training may log others under "system/"."""
    return name.startswith(SYSTEM_PREFIX) and _parse(name)[1] in HARDWARE_METRICS


def _parse(name: str) -> tuple[str, str, str]:
    """A name without prefix and rank, the pattern that it follows, and the index in it."""
    bare = _RANK.sub("", name.removeprefix(SYSTEM_PREFIX), count=1)
    number = _NUMBER.search(bare)
    if number is None:
        return bare, bare, ""
    return bare, bare[: number.start()] + "*" + bare[number.end() :], number.group()
