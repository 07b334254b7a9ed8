"""What a table of runs shows at an address: the runs or groups, the columns, and what its templates are given."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ..observer.project_lists import Columns
from ..observer.query.fields import metric_field
from ..observer.run_query import RunQuery
from ..observer.runs import RunPage
from .column_choice import choose_columns, differing_columns, rank_metrics
from .column_keys import config_key, curve_key, find_column
from .nearest_miss import find_nearest
from .run_colours import DrawnRuns
from .runs_address import PAGE_SIZE, RunsAddress, join_columns
from .runs_groups import GroupTable, load_groups
from .runs_table import RunsTable, build_table
from .shown_views import name_of
from .wording import count_noun

if TYPE_CHECKING:
    from ..observer.run_record import RunRecord
    from ..observer.runs import RunStore

DRAWN_AT_FIRST = 5
MOST_METRIC_CHOICES = 40
ALL_PROJECTS_COLUMNS = ("project", "started", "duration", "owner", "host", "tags")
GROUPED_OFTEN = ("status", "tags", "owner", "host", "experiment", "project", "git.branch", "git.commit")


@dataclass(frozen=True)
class RunsList:
    """A table of runs.

    Attributes:
        address: the one that the page's links start from, without what nobody has chosen.
        shown: the same with all that is shown.
        known: config keys and metrics of the newest runs.
        total_without_search: how many runs there are without what is looked for.
        seconds: how long the runs were looked for.
    """

    address: RunsAddress
    shown: RunsAddress
    page: RunPage
    table: RunsTable
    known: Columns
    total_without_search: int
    queued_count: int
    seconds: float
    groups: GroupTable | None = None
    nearest_words: str = ""
    view_name: str = ""

    @property
    def found_words(self) -> str:
        """What the bar says at its right."""
        return f"{count_noun(self.page.total, 'run')} · {max(1, round(self.seconds * 1000)):,} ms"

    @property
    def group_choices(self) -> tuple[str, ...]:
        """Columns that the runs could be grouped by: what is shown first, then all config."""
        config = [config_key(key) for key in self.known.config]
        keys = [*(self.shown.columns or ()), *config, *GROUPED_OFTEN]
        free = dict.fromkeys(key for key in keys if find_column(key).can_group and key not in self.address.group)
        return tuple(free)

    @property
    def sort_choices(self) -> tuple[str, ...]:
        keys = [*(self.shown.columns or ()), "name", "status", "started", "duration"]
        return tuple(
            dict.fromkeys(key for key in keys if find_column(key).field is not None and not self.address.direction(key))
        )

    @property
    def metric_choices(self) -> tuple[str, ...]:
        """Metrics that a phone can show of each run."""
        return tuple(rank_metrics(self.known.metrics)[:MOST_METRIC_CHOICES])

    def with_first_metric(self, name: str) -> str:
        """The address whose first metric is this one."""
        columns = self.shown.columns or ()
        metric = next(key for key in columns if find_column(key).kind == "metrics")
        replaced = {metric: metric_field(name).key, curve_key(find_column(metric).name): curve_key(name)}
        return self.address.url(columns=tuple(dict.fromkeys(replaced.get(key, key) for key in columns)))

    @property
    def drawn(self) -> DrawnRuns:
        return self.shown.drawn or DrawnRuns()

    @property
    def live_url(self) -> str:
        given = (("columns", self.address.columns), ("draw", self.address.drawn))
        defaults = [name for name, value in given if value is None]
        url = self.shown.url()
        return f"{url}{'&' if '?' in url else '?'}default={','.join(defaults)}" if defaults else url

    def context(self) -> dict[str, object]:
        """What the templates of the page are given."""
        return {
            "project_name": self.address.project,
            "nav_active": "runs",
            "runs_list": self,
            "address": self.address,
            "search": self.address.search(),
            "shown": self.shown,
            "page": self.page,
            "live_url": self.live_url,
            "project_path": self.address.path,
            "columns_text": join_columns(self.shown.columns or ()),
            "no_runs_drawn": DrawnRuns(),
            "groups": self.groups,
            "page_count": max(1, -(-(self.groups.total if self.groups else self.page.total) // PAGE_SIZE)),
            "project_total": self.total_without_search,
            "known": self.known,
            "queued_count": self.queued_count,
            "drawn": self.drawn,
            "table": self.table,
        }


def load_list(store: RunStore, asked: RunsAddress, defaults: str = "") -> RunsList:
    """The table at an address.

    Args:
        defaults: which of what is asked for nobody has chosen: a live refresh names all that is shown, so that neither
            columns nor colours change under the pointer when a new run would change the defaults.

    Raises:
        ProjectNotFound: there is no such project.
    """
    address = _without_defaults(asked, defaults.split(","))
    begun = time.perf_counter()
    page = _find_page(store, asked)
    seconds = time.perf_counter() - begun
    newest = _newest_runs(store, asked, address, page.runs)
    if not newest and asked.project is not None:
        store.find_project(asked.project)  # raises ProjectNotFound, which knows the nearest name
    known = _known_columns(store, asked.project)
    columns = _choose_columns(asked, page.runs, newest, known)
    shown = replace(asked, columns=columns, drawn=_choose_drawn(asked, address, newest))
    groups, table = _build(store, shown, page.runs)
    is_searched = not asked.search().is_empty or asked.archived != "without"
    return RunsList(
        address,
        shown,
        page,
        table,
        known,
        total_without_search=_count(store, asked.project) if is_searched else page.total,
        queued_count=store.count_queued(asked.project) if asked.project is not None and not is_searched else 0,
        seconds=seconds,
        groups=groups,
        view_name=name_of(address),
        nearest_words="" if page.total or groups else find_nearest(store, asked),
    )


def _without_defaults(asked: RunsAddress, names: Sequence[str]) -> RunsAddress:
    return replace(
        asked,
        columns=None if "columns" in names else asked.columns,
        drawn=None if "draw" in names else asked.drawn,
    )


def _build(store: RunStore, shown: RunsAddress, runs: Sequence[RunRecord]) -> tuple[GroupTable | None, RunsTable]:
    """The groups, where there are some, and the table that they, or the runs, stand in."""
    drawn, columns = shown.drawn or DrawnRuns(), shown.columns or ()
    if shown.group and shown.search().error is None:
        return load_groups(store, shown, columns, drawn)
    runs = tuple(with_environment(store, runs, columns))
    return None, build_table(runs, columns, drawn, pinned=shown.pinned, widths=dict(shown.widths))


def _find_page(store: RunStore, asked: RunsAddress) -> RunPage:
    if asked.search().error is not None:
        return RunPage((), 0, asked.page, PAGE_SIZE)
    if asked.group:  # its pages are those of groups; the runs say how many there are, and what columns show
        return replace(store.list_runs(asked.query(page=1)), page=asked.page)
    return store.list_runs(asked.query())


def with_environment(store: RunStore, runs: Iterable[RunRecord], columns: Iterable[str]) -> Iterator[RunRecord]:
    """The runs with what such columns show: lists leave the environment out, which is most of a run's bytes."""
    if not any(find_column(key).kind == "env" for key in columns):
        yield from runs
        return
    for run in runs:
        yield replace(run, environment=store.load_run(run.id).environment)


def _count(store: RunStore, project: str | None) -> int:
    return store.list_runs(RunQuery(project, page_size=1)).total


def _known_columns(store: RunStore, project: str | None) -> Columns:
    return store.discover_columns(project) if project is not None else Columns((), ())


def shown_columns(store: RunStore, asked: RunsAddress, runs: Sequence[RunRecord]) -> tuple[str, ...]:
    """The columns of the table at an address, chosen by somebody or not."""
    newest = _newest_runs(store, asked, asked, tuple(runs))
    return _choose_columns(asked, runs, newest, _known_columns(store, asked.project))


def _choose_columns(
    asked: RunsAddress, runs: Sequence[RunRecord], newest: Sequence[RunRecord], known: Columns
) -> tuple[str, ...]:
    columns = asked.columns
    if columns is None:
        columns = choose_columns(newest, known) if asked.project is not None else ALL_PROJECTS_COLUMNS
    return differing_columns(runs, columns, known.config) if asked.differing else columns


def _choose_drawn(asked: RunsAddress, address: RunsAddress, newest: Sequence[RunRecord]) -> DrawnRuns:
    """The drawn runs: those asked for; where nobody chose, the newest, and what is drawn by now stays as it is."""
    drawn = asked.drawn or DrawnRuns()
    if address.drawn is not None or asked.project is None or (asked.drawn and not _is_plain(asked)):
        return drawn
    for run in newest[:DRAWN_AT_FIRST]:
        if len(drawn.run_keys) < DRAWN_AT_FIRST:
            drawn = drawn.adding(run.id)
    return drawn


def _newest_runs(
    store: RunStore, asked: RunsAddress, address: RunsAddress, runs: tuple[RunRecord, ...]
) -> tuple[RunRecord, ...]:
    """The newest runs of the project whatever is filtered, so that filtering changes neither columns nor colours."""
    if _is_plain(asked):
        return runs
    if asked.columns is not None and address.drawn is not None and runs:
        return runs  # nothing has to be chosen
    return store.list_runs(RunQuery(asked.project, page_size=PAGE_SIZE)).runs


def _is_plain(asked: RunsAddress) -> bool:
    plain: Any = RunsAddress(asked.project).query()
    return bool(asked.search().error is None and asked.query() == plain)
