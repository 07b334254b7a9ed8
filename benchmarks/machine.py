"""Figures on the screen, with the machine that they come from: without it they mean nothing."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from pathlib import Path

import psutil
from rich.console import Console
from rich.table import Table

WIDTH = 140  # where the output is a file: figures that wrap cannot be compared


@dataclass(frozen=True)
class Machine:
    """What a reader of the figures has to know, as it was before the measurement."""

    cores: int
    memory_bytes: int
    processor: str
    python: str
    load: float  # of the last minute

    def in_words(self) -> str:
        busy = "" if self.load < 0.3 * self.cores else ": others were at work, so these figures are no record"
        return (
            f"{self.cores} cores ({self.processor}), {self.memory_bytes / 2**30:.0f} GiB, Python {self.python}; "
            f"load before {self.load:.2f}{busy}"
        )


def look_at_machine() -> Machine:
    return Machine(
        cores=len(os.sched_getaffinity(0)),
        memory_bytes=psutil.virtual_memory().total,
        processor=_processor(),
        python=platform.python_version(),
        load=os.getloadavg()[0],
    )


def print_figures(table: Table, machine: Machine, *remarks: str) -> None:
    """Print the one table of a program, what is to be said about it, and the machine."""
    console = Console()
    if not console.is_terminal:
        console = Console(width=WIDTH)
    console.print(table)
    for remark in remarks:
        console.print(remark)
    console.print(machine.in_words())


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
