"""The system strip of a run's overview: what its hardware did in the last ten minutes, one small area per figure."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from .chart_sections import SYSTEM_PREFIX
from .hardware_sections import GIB, MB, describe_hardware
from .sparks import spark_area, spark_path
from .wording import MISSING, format_number

if TYPE_CHECKING:
    from ..observer.run_record import RunRecord
    from ..observer.runs import RunStore

WINDOW_SECONDS = 600
MOST_CELLS = 6
KB = 1e3
CELL_WIDTH, CELL_HEIGHT, CELL_PIXELS = 160, 32, 70

# Short title and metric, in the order of interest; the first six that the run has are shown.
_CELLS = (
    ("GPU {} use", "gpu.{}.utilization"),
    ("GPU memory", "gpu.{}.memory.used"),
    ("GPU temp", "gpu.{}.temperature"),
    ("CPU", "cpu.percent"),
    ("Memory", "memory.used"),
    ("Disk read", "disk.read"),
    ("Disk write", "disk.write"),
    ("Network in", "network.received"),
    ("Network out", "network.sent"),
)


@dataclass(frozen=True)
class StripCell:
    """One figure: its newest value in words and its last ten minutes as SVG paths."""

    metric: str
    title: str
    shown: str
    path: str
    area: str
    width: int = CELL_WIDTH
    height: int = CELL_HEIGHT


@dataclass(frozen=True)
class SystemStrip:
    """The cells, and whose hardware over which time they show."""

    remark: str
    cells: tuple[StripCell, ...]

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def load_strip(store: RunStore, run: RunRecord) -> SystemStrip | None:
    """The strip of a run; None when no hardware was sampled."""
    gpu = min((name.split(".")[1] for name in run.system if name.startswith("gpu.")), key=_number, default="0")
    wanted = [(title.format(gpu), name.format(gpu)) for title, name in _CELLS if name.format(gpu) in run.system]
    cells = tuple(_load_cell(store, run, title, name) for title, name in wanted[:MOST_CELLS])
    if not cells:
        return None
    span = "last 10 min" if not run.ended else "its last 10 min"
    return SystemStrip(f"{run.host}, {span}" if run.host else span, cells)


def _load_cell(store: RunStore, run: RunRecord, title: str, name: str) -> StripCell:
    metric = f"{SYSTEM_PREFIX}{name}"
    whole = store.load_curve(run.id, metric, pixels=2, axis="wall")
    low = float(whole.x[-1]) - WINDOW_SECONDS if len(whole.x) else None
    curve = store.load_curve(run.id, metric, pixels=CELL_PIXELS, axis="wall", low=low)
    path = spark_path(curve.x, curve.values, width=CELL_WIDTH, height=CELL_HEIGHT, from_zero=True)
    last = float(curve.values[-1]) if len(curve.values) else float("nan")
    shown = _in_words(metric, last, _capacity(run, name))
    return StripCell(metric, title, shown, path, spark_area(path, height=CELL_HEIGHT))


def _in_words(metric: str, value: float, capacity: float | None) -> str:
    spec = describe_hardware(metric)
    if not np.isfinite(value):
        return MISSING
    if spec.unit == "MB/s" and 0 < value < MB:
        return f"{format_number(value / KB, 3)} kB/s"
    number = format_number(round(value / spec.divisor) if spec.unit in ("%", "°C", "W") else value / spec.divisor, 3)
    if spec.unit == "GiB" and capacity:
        return f"{number} of {format_number(round(capacity / GIB))} GiB"
    return f"{number} {spec.unit}".rstrip()


def _capacity(run: RunRecord, name: str) -> float | None:
    """All there is of a memory, in bytes: what is used and how much of all that is were sampled together."""
    used, share = run.system.get(name), run.system.get(name.replace(".used", ".percent"))
    if not name.endswith("memory.used") or used is None or share is None or not share.last > 0:
        return None
    return used.last / (share.last / 100)


def _number(text: str) -> int:
    return int(text) if text.isdigit() else 10**6
