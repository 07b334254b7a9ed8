"""The probe: one sample of everything that the machine tells, with rates since the sample before."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Collection
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from .causes import Causes
from .cgroup_limits import load_cpu_limit, load_memory_limit, usable_cores
from .process_tree import ProcessTree, TreeUse

if TYPE_CHECKING:
    from .gpus import Gpus

# CPU time is counted in ticks of 10 ms: over a shorter span a percentage would be mostly rounding.
SHORTEST_SPAN_SECONDS = 0.25


class Rates:
    """Turns totals into amounts per second. A total that falls (a counter was reset, a process left) gives none."""

    def __init__(self) -> None:
        self._last: dict[str, tuple[float, float]] = {}

    def per_second(self, name: str, total: float) -> float | None:
        """How fast `total` grew since the last call; None at the first, after a fall, and over too short a span."""
        now = time.monotonic()
        before = self._last.get(name)
        if before is not None and now - before[0] < SHORTEST_SPAN_SECONDS:
            return None
        self._last[name] = (now, total)
        if before is None or total < before[1]:
            return None
        return (total - before[1]) / (now - before[0])

    def keep_only(self, names: Collection[str]) -> None:
        """Forget all other totals: of what has gone."""
        self._last = {name: last for name, last in self._last.items() if name in names}


class HardwareProbe:
    """Reads the machine, the process tree and the GPUs. Belongs to one thread; `close` lets go of NVML."""

    def __init__(self, pid: int, folder: Path, causes: Causes) -> None:
        self._causes = causes
        self._folder = folder
        self._rates = Rates()
        self._process_rates = Rates()
        self._tree = ProcessTree(pid)
        self._cpu_limit = load_cpu_limit()
        self._memory_limit = load_memory_limit()
        self._cores = usable_cores(self._cpu_limit)
        self._gpus = _open_gpus(causes)

    def measure(self) -> dict[str, float]:
        """All values that can be had now. What cannot be read is left out and said once."""
        values: dict[str, float] = {}
        uses: list[TreeUse] = []
        self._read(values, "the process tree", lambda: self._measure_tree(uses))
        pids = uses[0].pids if uses else frozenset[int]()
        self._read(values, "the CPU", self._measure_cpu)
        self._read(values, "memory", self._measure_memory)
        self._read(values, "the disk", self._measure_disk)
        self._read(values, "the network", self._measure_network)
        gpus = self._gpus
        if gpus is not None:
            self._read(values, "the GPUs", lambda: gpus.measure(pids))
        return values

    def close(self) -> None:
        """Let go of NVML."""
        if self._gpus is not None:
            self._gpus.close()

    def _read(self, values: dict[str, float], what: str, measure: Callable[[], dict[str, float]]) -> None:
        try:
            values.update(measure())
        except Exception as error:
            # Wide on purpose: kernels, containers and drivers refuse in ever new ways; one part costs that part alone.
            self._causes.report(what, f"Use of {what} cannot be sampled here: {type(error).__name__}: {error}")

    def _measure_tree(self, uses: list[TreeUse]) -> dict[str, float]:
        use = self._tree.measure()
        uses.append(use)
        values = {
            "memory.used": float(use.memory_bytes),
            "memory.percent": 100.0 * use.memory_bytes / self._memory_bytes(),
            "processes": float(use.processes),
            "threads": float(use.threads),
        }
        busy = self._rates.per_second("tree cpu", use.cpu_seconds)
        if busy is not None:
            values["cpu.percent"] = 100.0 * busy / self._cores
        for name, total in (("disk.read", use.read_bytes), ("disk.write", use.written_bytes)):
            rate = self._rates.per_second(name, total) if total is not None else None
            if rate is not None:
                values[name] = rate
        return {**values, **self._measure_processes(use)}

    def _measure_processes(self, use: TreeUse) -> dict[str, float]:
        """Each process by itself, once there are several: one alone is the run."""
        values: dict[str, float] = {}
        for process in use.each if use.processes > 1 else ():
            values[f"process.{process.slot}.memory"] = float(process.memory_bytes)
            busy = self._process_rates.per_second(str(process.pid), process.cpu_seconds)
            if busy is not None:
                values[f"process.{process.slot}.cpu"] = 100.0 * busy / self._cores
        self._process_rates.keep_only({str(process.pid) for process in use.each})
        return values

    def _measure_cpu(self) -> dict[str, float]:
        if self._cpu_limit is not None:
            try:
                busy = self._rates.per_second("quota cpu", self._cpu_limit.used_seconds())
                return {} if busy is None else {"cpu.host.percent": 100.0 * busy / self._cpu_limit.cores}
            except (OSError, ValueError):  # the container hides its accounting: fall through to the machine's
                self._cpu_limit = None
        times = psutil.cpu_times()
        # Linux counts a guest's time in user as well.
        total = sum(times) - getattr(times, "guest", 0.0) - getattr(times, "guest_nice", 0.0)
        idle = times.idle + getattr(times, "iowait", 0.0)
        busy = self._rates.per_second("host busy", total - idle)
        elapsed = self._rates.per_second("host total", total)
        return {"cpu.host.percent": 100.0 * busy / elapsed} if busy is not None and elapsed else {}

    def _measure_memory(self) -> dict[str, float]:
        if self._memory_limit is not None:
            used, total = self._memory_limit.used_bytes(), self._memory_limit.limit_bytes
        else:
            memory = psutil.virtual_memory()
            used, total = memory.total - memory.available, memory.total
        return {"memory.host.used": float(used), "memory.host.percent": 100.0 * used / total}

    def _memory_bytes(self) -> int:
        total = int(psutil.virtual_memory().total)
        return min(total, self._memory_limit.limit_bytes) if self._memory_limit is not None else total

    def _measure_disk(self) -> dict[str, float]:
        return {"disk.free": float(shutil.disk_usage(self._folder).free)}

    def _measure_network(self) -> dict[str, float]:
        values = {}
        cards = [card for name, card in psutil.net_io_counters(pernic=True).items() if name not in ("lo", "lo0")]
        totals = {
            "network.sent": sum(c.bytes_sent for c in cards),
            "network.received": sum(c.bytes_recv for c in cards),
        }
        for name, total in totals.items():
            rate = self._rates.per_second(name, total)
            if rate is not None:
                values[name] = rate
        return values


def _open_gpus(causes: Causes) -> Gpus | None:
    try:
        from .gpus import Gpus  # apart from the rest: a broken NVML binding costs the GPUs alone
    except ImportError as error:
        causes.report("pynvml", f"No GPU is sampled: {error}. Install nvidia-ml-py.")
        return None
    return Gpus(causes)
