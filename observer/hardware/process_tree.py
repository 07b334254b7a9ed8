"""The process tree of a run: what the training and everything that it started take of CPU, memory and disk."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

SLOTS = 16  # processes that are told apart; all others only count in the sums


@dataclass(frozen=True)
class ProcessUse:
    """One process of the tree. `slot` is its number among them: 0 is the training itself, a free one is given anew."""

    slot: int
    pid: int
    cpu_seconds: float  # its own, without those of children that have ended
    memory_bytes: int


@dataclass(frozen=True)
class TreeUse:
    """What a process tree uses at one moment. CPU time and bytes are totals since the processes began."""

    cpu_seconds: float
    memory_bytes: int
    read_bytes: int | None  # None where the system does not say or does not allow it
    written_bytes: int | None
    processes: int
    threads: int
    pids: frozenset[int]
    each: tuple[ProcessUse, ...] = ()


class ProcessTree:
    """A process and its descendants, measured again and again."""

    def __init__(self, pid: int) -> None:
        self._root = psutil.Process(pid)
        self._known: dict[int, psutil.Process] = {pid: self._root}
        self._slots: dict[int, int] = {pid: 0}
        self._kernel_lists_children = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").exists()

    def measure(self) -> TreeUse:
        """Add up what lives now. A process that vanishes or refuses while it is read is left out, the others stay.

        Totals do not fall when a child ends: the kernel adds its CPU time and bytes to the parent that waits for it.
        """
        cpu_seconds, memory_bytes, threads = 0.0, 0, 0
        read_bytes: int | None = None
        written_bytes: int | None = None
        alive: dict[int, psutil.Process] = {}
        found: list[tuple[int, float, int]] = []
        for pid in self._iter_pids():
            try:
                process = self._known.get(pid) or psutil.Process(pid)
                with process.oneshot():
                    times = process.cpu_times()
                    resident = process.memory_info().rss
                    own_threads = process.num_threads()
            except (psutil.Error, OSError):  # vanished, or of another user
                continue
            alive[pid] = process
            found.append((pid, times.user + times.system, resident))
            cpu_seconds += times.user + times.system + times.children_user + times.children_system
            memory_bytes += resident
            threads += own_threads
            transferred = _transferred(process)
            if transferred is not None:
                read_bytes = (read_bytes or 0) + transferred[0]
                written_bytes = (written_bytes or 0) + transferred[1]
        self._known = alive
        sums = (cpu_seconds, memory_bytes, read_bytes, written_bytes, len(alive), threads)
        return TreeUse(*sums, frozenset(alive), self._in_slots(found))

    def _in_slots(self, found: list[tuple[int, float, int]]) -> tuple[ProcessUse, ...]:
        """Those that have a number, in its order. A data loader's new workers take the numbers of those before them."""
        alive = {pid for pid, _, _ in found}
        self._slots = {pid: slot for pid, slot in self._slots.items() if pid in alive or slot == 0}
        free = iter(sorted(set(range(SLOTS)) - set(self._slots.values())))
        for pid, _, _ in found:
            if pid not in self._slots and (slot := next(free, None)) is not None:
                self._slots[pid] = slot
        uses = [ProcessUse(self._slots[pid], pid, cpu, memory) for pid, cpu, memory in found if pid in self._slots]
        return tuple(sorted(uses, key=lambda use: use.slot))

    def _iter_pids(self) -> Iterator[int]:
        """Process ids of the tree, the root first."""
        if not self._kernel_lists_children:
            # macOS, or Linux without CONFIG_PROC_CHILDREN. This reads every process of the host: second choice.
            yield self._root.pid
            with contextlib.suppress(psutil.Error):
                yield from (child.pid for child in self._root.children(recursive=True))
            return
        waiting = [self._root.pid]
        seen: set[int] = set()
        while waiting:
            pid = waiting.pop()
            if pid in seen:  # a process id was reused while we walked
                continue
            seen.add(pid)
            yield pid
            waiting.extend(_children(pid))


def _transferred(process: psutil.Process) -> tuple[int, int] | None:
    try:
        counters = process.io_counters()
    except (psutil.Error, OSError, AttributeError):  # a setuid child, a hardened kernel, macOS
        return None
    return counters.read_bytes, counters.write_bytes


def _children(pid: int) -> list[int]:
    # A child belongs to the thread that forked it, and data loaders are started from threads too.
    children: list[int] = []
    try:
        for thread in os.listdir(f"/proc/{pid}/task"):  # noqa: PTH208 - half the cost of Path.iterdir, every 2 s
            children += map(int, Path(f"/proc/{pid}/task/{thread}/children").read_bytes().split())
    except (OSError, ValueError):  # it ended
        pass
    return children
