"""What `cloister top` shows: the runs that go on, and the charts of the chosen one, in as many cells as there are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING

from rich.console import Group
from rich.table import Table
from rich.text import Text

from ..amounts import count_of
from ..metric_summary import SYSTEM_PREFIX
from ..query.fields import metric_field
from ..run_ids import format_run_id
from ..run_query import RunQuery
from ..wording import MISSING, format_ago, format_duration, format_number
from .curves import metric_chart
from .run_fields import read_field
from .safe_text import status_text, words

if TYPE_CHECKING:
    from rich.console import RenderableType

    from ..run_record import RunId, RunRecord
    from ..runs import RunStore

CHART_CELLS, CHART_ROWS = 44, 9
RUNS_SHOWN = 12
GAP = 2
HELP = "j k run   tab more charts   h hardware   l log axis   q quit"
# What of the hardware is looked at first.
_HARDWARE = ("gpu.", "cpu.percent", "memory.used", "disk.", "network.")


@dataclass(frozen=True)
class Look:
    """What somebody has chosen to see.

    Attributes:
        chosen: the run whose charts are drawn; the first one when None.
        page: which of its charts, as many at once as there is room for.
    """

    chosen: RunId = None
    page: int = 0
    log: bool = False
    hardware: bool = False

    def after(self, key: str, runs: Sequence[RunRecord]) -> Look:
        """The look after a key; one that means nothing changes nothing."""
        if key in ("j", "down", "k", "up") and runs:
            place = _place(runs, self.chosen) + (1 if key in ("j", "down") else -1)
            return replace(self, chosen=runs[max(0, min(place, len(runs) - 1))].id, page=0)
        if key in ("tab", " "):
            return replace(self, page=self.page + 1)
        if key == "l":
            return replace(self, log=not self.log)
        if key == "h":
            return replace(self, hardware=not self.hardware, page=0)
        return self


@dataclass
class Watched:
    """What is watched: runs by their ids, else those that go on and the newest.

    `where` is a query. Charts are read anew only once their run has changed.
    """

    store: RunStore
    ids: tuple[RunId, ...] = ()
    where: str = ""
    project: str | None = None
    metrics: tuple[str, ...] = ()
    runs: tuple[RunRecord, ...] = ()
    _drawn: dict[tuple[object, ...], list[Text]] = field(default_factory=dict)

    def refresh(self) -> None:
        if self.ids:
            self.runs = tuple(self.store.load_run(run_id) for run_id in self.ids)
            return
        asked = RunQuery(project=self.project, where=self.where)
        going_on = self.store.find_runs(replace(asked, status=("running",)), RUNS_SHOWN)
        known = {run.id for run in going_on}
        newest = () if len(going_on) >= RUNS_SHOWN else self.store.find_runs(asked, RUNS_SHOWN)
        self.runs = (*going_on, *(run for run in newest if run.id not in known))[:RUNS_SHOWN]

    def chart(self, run: RunRecord, metric: str, width: int, height: int, log: bool) -> list[Text]:
        key = (run.id, run.updated_at, metric, width, height, log)
        if key not in self._drawn:
            stale = [each for each in self._drawn if each[0] != run.id or each[1] != run.updated_at]
            for each in stale:
                del self._drawn[each]
            self._drawn[key] = metric_chart(self.store, [run], metric, width=width, height=height, log=log)
        return [line.copy() for line in self._drawn[key]]


def render_screen(watched: Watched, look: Look, *, width: int, height: int) -> RenderableType:
    """All of it, at most `height` rows."""
    runs = watched.runs
    if not runs:
        return Group(_title(runs, width), Text("No runs yet. Start one with: cloister run train.py"))
    chosen = runs[_place(runs, look.chosen)]
    listed = _listed(runs, chosen, max(1, min(len(runs), RUNS_SHOWN, height // 3)))
    room = height - len(listed) - 3
    return Group(
        _title(runs, width),
        _runs_table(listed, chosen, width),
        *_charts(watched, chosen, look, width, room),
        Text(HELP[:width], "bright_black"),
    )


def _title(runs: Sequence[RunRecord], width: int) -> Text:
    going_on = sum(run.status == "running" for run in runs)
    left = Text.assemble(("Cloister  ", "bold"), f"{count_of(going_on, 'run')} going on")
    clock = f"{datetime.now().astimezone():%H:%M:%S}"
    left.append(clock.rjust(max(1, width - len(left))), "bright_black")
    return left


def _place(runs: Sequence[RunRecord], chosen: RunId) -> int:
    return next((place for place, run in enumerate(runs) if run.id == chosen and chosen is not None), 0)


def _listed(runs: Sequence[RunRecord], chosen: RunRecord, most: int) -> Sequence[RunRecord]:
    """As many as there is room for, the chosen one among them."""
    first = max(0, _place(runs, chosen.id) - most + 1)
    return runs[first : first + most]


def _runs_table(runs: Sequence[RunRecord], chosen: RunRecord, width: int) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), show_header=False, width=width)
    for _ in range(6):
        table.add_column(no_wrap=True, overflow="ellipsis")
    metric = _metrics_of(chosen, hardware=False)[:1]
    for run in runs:
        marker = Text("▸ " if run is chosen else "  ", "bold") + Text(words(format_run_id(run.id), 20))
        value = read_field(run, metric_field(metric[0]).key) if metric else None
        last = f"{words(metric[0], 24)} {MISSING if value is None else format_number(value)}" if metric else ""
        ended = run.stop_time or run.start_time
        since = format_duration(run.duration) if run.status == "running" else format_ago(ended)
        style = "bold" if run is chosen else ""
        name = Text(words(run.name, 40), style)
        table.add_row(marker, status_text(run), name, Text(words(run.project, 24)), Text(since), Text(last))
    return table


def _metrics_of(run: RunRecord, *, hardware: bool) -> list[str]:
    if hardware:
        names = sorted(run.system, key=lambda name: next((r for r, p in enumerate(_HARDWARE) if name.startswith(p)), 9))
        return [f"{SYSTEM_PREFIX}{name}" for name in names]
    return sorted(run.summary, key=lambda name: (not name.startswith(("val", "test", "eval")), name))


def _charts(watched: Watched, run: RunRecord, look: Look, width: int, room: int) -> list[Text]:
    """Rows of charts side by side that fill the room; the page turns round after the last one."""
    whole = watched.store.load_run(run.id) if look.hardware and not run.system else run
    names = _metrics_of(whole, hardware=look.hardware)
    if watched.metrics and not look.hardware:
        names = list(watched.metrics)
    if not names or room < 4:
        what = "hardware metrics" if look.hardware else "metrics"
        return [Text(f"Run {format_run_id(run.id)} has no {what} yet.", "bright_black"), *[Text()] * max(0, room - 1)]
    across = max(1, min(len(names), (width + GAP) // (CHART_CELLS + GAP)))
    down = max(1, room // CHART_ROWS)
    cells, rows = (width + GAP) // across - GAP, min(room // down, 16)
    pages = -(-len(names) // (across * down))
    shown = names[look.page % pages * across * down :][: across * down]
    lines: list[Text] = []
    for begin in range(0, len(shown), across):
        side = [watched.chart(whole, name, cells, rows, look.log) for name in shown[begin : begin + across]]
        lines += [_beside(row, cells) for row in zip(*side, strict=True)]
    return [*lines, *[Text()] * max(0, room - len(lines))]


def _beside(parts: Sequence[Text], cells: int) -> Text:
    row = Text(no_wrap=True)
    for part in parts:
        part.pad_right(max(0, cells + GAP - part.cell_len))
        row.append_text(part)
    return row
