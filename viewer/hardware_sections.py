"""Hardware metrics as chart sections: CPU, memory, disk, network, each GPU, in the units that people read."""

from __future__ import annotations

import re
from collections.abc import Iterable

from ..observer.hardware.metric_table import HARDWARE_METRICS, describe_hardware_metric
from .chart_sections import SYSTEM_PREFIX, ChartSection, ChartSpec, natural_order

GIB = 1024.0**3
MB = 1e6
# Unit as recorded -> unit as drawn and what divides the recorded value.
DRAWN_UNITS: dict[str, tuple[str, float]] = {"bytes": ("GiB", GIB), "B/s": ("MB/s", MB)}
_SECTIONS = {
    "cpu": "CPU",
    "processes": "CPU",
    "threads": "CPU",
    "process": "Processes",
    "memory": "Memory",
    "disk": "Disk",
    "network": "Network",
}
_SECTION_ORDER = ("GPU", "CPU", "Memory", "Processes", "Disk", "Network")


def group_hardware(names: Iterable[str]) -> tuple[ChartSection, ...]:
    """Sections of the hardware metrics among `names`; GPUs first and by number, unknown ones last."""
    groups: dict[str, list[ChartSpec]] = {}
    for name in sorted(dict.fromkeys(names), key=_metric_order):
        if name.startswith(SYSTEM_PREFIX):
            groups.setdefault(hardware_section(name), []).append(describe_hardware(name))
    return tuple(ChartSection(name, tuple(groups[name])) for name in sorted(groups, key=_section_order))


def describe_hardware(name: str) -> ChartSpec:
    title, recorded_unit = describe_hardware_metric(name)
    unit, divisor = DRAWN_UNITS.get(recorded_unit, (recorded_unit, 1.0))
    ceiling = 100.0 if unit == "%" else None
    return ChartSpec(name, title, unit=unit, divisor=divisor, smooth=False, from_zero=True, ceiling=ceiling)


def hardware_section(name: str) -> str:
    rank = re.match(r"rank/(\d{1,7})/", name[len(SYSTEM_PREFIX) :], re.ASCII)
    if rank:
        return f"Rank {int(rank[1])}"
    first, *rest = name[len(SYSTEM_PREFIX) :].split(".")
    if first == "gpu" and rest and rest[0].isdigit():
        return f"GPU {int(rest[0])}"
    return _SECTIONS.get(first, "Other")


def _section_order(name: str) -> tuple[int, list[tuple[int, str]]]:
    kind = name.split(" ")[0]
    return (_SECTION_ORDER.index(kind) if kind in _SECTION_ORDER else len(_SECTION_ORDER)), natural_order(name)


def _metric_order(name: str) -> tuple[int, list[tuple[int, str]]]:
    """As the table of the sampler has them: use before memory before power; unknown ones last."""
    pattern = re.sub(r"(?<=\.)\d{1,4}(?=\.)", "*", name.removeprefix(SYSTEM_PREFIX))
    known = list(HARDWARE_METRICS)
    return (known.index(pattern) if pattern in known else len(known)), natural_order(name)
