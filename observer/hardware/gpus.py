"""GPUs through NVML: what each one does now. A value that NVML refuses is left out, the others stay."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection
from typing import Any

import pynvml

from .causes import Causes

# The device is gone until a reset or reboot. Asking on may block in the driver, so it is not asked again.
_GONE = frozenset({pynvml.NVML_ERROR_GPU_IS_LOST, pynvml.NVML_ERROR_RESET_REQUIRED})


class Gpus:
    """All GPUs that the driver shows to this process. Belongs to one thread."""

    def __init__(self, causes: Causes) -> None:
        """Opens NVML; a machine without GPU or driver simply has none."""
        self._causes = causes
        self._handles: dict[int, Any] = {}
        self._opened = False
        try:
            pynvml.nvmlInit()
            self._opened = True
            count = pynvml.nvmlDeviceGetCount()
        except pynvml.NVMLError as error:
            causes.report("nvml", f"No GPU is sampled: {error}.", level=logging.DEBUG)
            return
        for index in range(count):
            try:
                self._handles[index] = pynvml.nvmlDeviceGetHandleByIndex(index)
            except pynvml.NVMLError as error:
                causes.report(f"gpu {index}", f"GPU {index} is not sampled: {error}.")

    def measure(self, pids: Collection[int]) -> dict[str, float]:
        """Every value of every GPU that can be had. `pids` are the run's own, to find its share of memory."""
        values: dict[str, float] = {}
        for index in list(self._handles):
            self._measure_one(index, pids, values)
        return values

    def close(self) -> None:
        """Let go of NVML."""
        self._handles = {}
        if self._opened:
            self._opened = False
            try:
                pynvml.nvmlShutdown()
            except pynvml.NVMLError as error:
                self._causes.report("nvml shutdown", f"NVML did not shut down: {error}.", level=logging.DEBUG)

    def _measure_one(self, index: int, pids: Collection[int], values: dict[str, float]) -> None:
        handle = self._handles[index]
        readers: tuple[tuple[str, Callable[[], dict[str, float]]], ...] = (
            ("utilization", lambda: _utilization(handle)),
            ("memory", lambda: _memory(handle)),
            ("memory of the run", lambda: _memory_of(handle, pids)),
            ("power", lambda: _power(handle)),
            ("temperature", lambda: _temperature(handle)),
        )
        for what, read in readers:
            try:
                found = read()
            except pynvml.NVMLError as error:
                # MIG, vGPUs and consumer cards each refuse something: that value is missing, no more.
                if getattr(error, "value", None) in _GONE:
                    del self._handles[index]
                    message = f"GPU {index} stopped answering ({error}); it is no longer sampled."
                    self._causes.report(f"gpu {index} gone", message, level=logging.WARNING)
                    return
                self._causes.report(f"gpu {index} {what}", f"GPU {index} does not tell its {what}: {error}.")
                continue
            values.update({f"gpu.{index}.{name}": value for name, value in found.items()})


def _utilization(handle: Any) -> dict[str, float]:
    return {"utilization": float(pynvml.nvmlDeviceGetUtilizationRates(handle).gpu)}


def _memory(handle: Any) -> dict[str, float]:
    memory = pynvml.nvmlDeviceGetMemoryInfo(handle)
    if not memory.total:
        return {}
    return {"memory.used": float(memory.used), "memory.percent": 100.0 * memory.used / memory.total}


def _memory_of(handle: Any, pids: Collection[int]) -> dict[str, float]:
    # In a container the driver tells the host's process ids, none of which is ours: then the value is left out, not 0.
    mine = [process for process in pynvml.nvmlDeviceGetComputeRunningProcesses(handle) if process.pid in pids]
    if not mine:
        return {}
    return {"memory.run": float(sum(process.usedGpuMemory or 0 for process in mine))}


def _power(handle: Any) -> dict[str, float]:
    return {"power": pynvml.nvmlDeviceGetPowerUsage(handle) / 1000.0}  # milliwatts


def _temperature(handle: Any) -> dict[str, float]:
    return {"temperature": float(pynvml.nvmlDeviceGetTemperature(handle, pynvml.NVML_TEMPERATURE_GPU))}
