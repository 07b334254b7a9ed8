"""What a column of the table of runs is named by, a field of the query language, and its value in a run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal

from ..observer.field_names import decode_field_name
from ..observer.query.fields import Field, UnknownField, find_field, metric_field

if TYPE_CHECKING:
    from ..observer.run_record import RunRecord

Kind = Literal["metrics", "config", "env", "git", "run", "curve"]
Shape = Literal["value", "number", "time", "duration", "tags", "text", "curve", "status"]
FIGURES = ("last", "best", "min", "max", "count")
FIGURE_WORDS = {"last": "last value", "best": "best", "min": "lowest", "max": "highest", "count": "points"}
_CURVE_BEGINS, _CURVE_ENDS = "curve(", ")"


@dataclass(frozen=True)
class ColumnKey:
    """A column by its key.

    Attributes:
        key: as addresses have it; but for curves it is a field of the query language, in its one spelling.
        name: the metric's name, the config key as the person wrote it, or the field.
        figure: of a metric what is shown of it: a row of `FIGURES`.
        field: what is asked of the database by it; None for a curve, which can neither be sorted nor grouped by.
    """

    key: str
    kind: Kind
    name: str
    shape: Shape
    figure: str = ""
    field: Field | None = None

    @property
    def title(self) -> str:
        if self.kind in ("run", "git"):
            return RUN_TITLES.get(self.key, self.name.capitalize())
        if self.kind == "curve":
            return "Curve"
        return self.name if self.figure in ("", "last") else f"{self.figure} {self.name}"

    @property
    def hint(self) -> str:
        """What the title of a header says."""
        if self.kind == "metrics":
            return f"{self.name}, {FIGURE_WORDS[self.figure]}"
        if self.kind == "curve":
            return f"Curve of {self.name}"
        return {"config": f"{self.name}, config", "env": f"{self.name}, environment"}.get(self.kind, self.title)

    @property
    def can_group(self) -> bool:
        """Whether runs are grouped by it: by what several of them may have in common."""
        return self.field is not None and self.field.kind in ("any", "text", "status", "list")

    def figure_keys(self) -> dict[str, str]:
        """The keys of all that can be shown of the same metric."""
        keys = {}
        for figure in FIGURES:
            try:
                keys[figure] = metric_field(self.name, figure).key
            except UnknownField:  # which end is the better one cannot be told from its name
                continue
        return keys


RUN_TITLES = {
    "id": "Id",
    "git.commit": "Commit",
    "git.branch": "Branch",
    "updated": "Updated",
    "heartbeat": "Last sign of life",
    "archived": "Archived",
}
# Beside name and status, which every table has.
RUN_COLUMNS = (
    "started",
    "duration",
    "ended",
    "tags",
    "notes",
    "owner",
    "host",
    "experiment",
    "project",
    "id",
    "command",
    "git.commit",
    "git.branch",
)


ENVIRONMENT_COLUMNS = ("env.python", "env.os", "env.cpu", "env.memory", "env.gpus", "env.cuda_driver")


def is_free_column(column: ColumnKey) -> bool:
    """Whether it can be shown or hidden: name and status stand in every table."""
    return column.key not in ("name", "status")


@lru_cache(maxsize=4096)
def find_column(key: str) -> ColumnKey:
    """The column of a key.

    Raises:
        UnknownField: there is none.
    """
    if key.startswith(_CURVE_BEGINS) and key.endswith(_CURVE_ENDS):
        inner = find_field(key[len(_CURVE_BEGINS) : -len(_CURVE_ENDS)])
        if inner.family != "metrics" or inner.figure:
            raise UnknownField(key, "curve() takes a metric, as in curve(metrics.val/acc).")
        return ColumnKey(curve_key(inner.title), "curve", inner.title, "curve")
    field = find_field(key)
    if field.family == "metrics":
        name, figure = _metric_of(field)
        return ColumnKey(field.key, "metrics", name, "number", figure, field)
    if field.family in ("config", "env", "git"):
        return ColumnKey(field.key, field.family, field.title, "value", field=field)
    return ColumnKey(field.key, "run", field.key, _SHAPES.get(field.kind, "text"), field=field)


_SHAPES: dict[str, Shape] = {
    "time": "time",
    "duration": "duration",
    "list": "tags",
    "id": "value",
    "status": "status",
    "number": "number",
}


def curve_key(metric: str) -> str:
    return f"{_CURVE_BEGINS}{metric_field(metric).key}{_CURVE_ENDS}"


def config_key(dotted: str) -> str:
    """The key of a config entry by its dotted path, its parts encoded as stored."""
    return find_field(f"config.{dotted}").key


def _metric_of(field: Field) -> tuple[str, str]:
    if not field.figure:
        return field.title, "last"
    return field.title.removeprefix(f"{field.figure} of "), field.figure


# ---- values


def find_value(run: RunRecord, key: str) -> Any:
    """The value of a run in the column of this key; None where it has none.

    Raises:
        UnknownField: there is no such column.
    """
    column = find_column(key)
    if column.kind == "metrics":
        return _figure_of(run, column)
    if column.kind == "config":
        return _value_at(run.config, column, "config")
    if column.kind == "env":
        return _value_at(run.environment, column, "cloister.environment")
    if column.kind == "git":
        return _value_at(run.git, column, "cloister.git")
    return None if column.kind == "curve" else _RUN_VALUES[column.key](run)


def _figure_of(run: RunRecord, column: ColumnKey) -> float | int | None:
    summary = run.summary.get(column.name)
    if summary is None:
        return None
    assert column.field is not None
    # "best" is the lowest or the highest, as the field knows.
    stored = column.field.paths[0].rsplit(".", 1)[-1]
    found: float | int | None = getattr(summary, stored)
    return found


def _value_at(values: Mapping[str, Any], column: ColumnKey, root: str) -> Any:
    assert column.field is not None
    return find_config_value(values, column.field.paths[0].removeprefix(f"{root}."))


def find_config_value(config: Mapping[str, Any], key: str) -> Any:
    """The value at a dotted key whose parts are encoded as stored; None without one."""
    value: Any = config
    for part in key.split("."):
        name = decode_field_name(part)
        if not isinstance(value, Mapping) or name not in value:
            return None
        value = value[name]
    return value


def _tags(run: RunRecord) -> Sequence[str] | None:
    return run.tags or None


_RUN_VALUES: dict[str, Callable[[RunRecord], Any]] = {
    "id": lambda run: run.id,
    "name": lambda run: run.name,
    "project": lambda run: run.project,
    "experiment": lambda run: run.experiment,
    "status": lambda run: run.status,
    "started": lambda run: run.start_time,
    "ended": lambda run: run.stop_time,
    "updated": lambda run: run.updated_at,
    "heartbeat": lambda run: run.heartbeat,
    "duration": lambda run: run.duration,
    "tags": _tags,
    "notes": lambda run: run.notes or None,
    "owner": lambda run: run.owner or None,
    "host": lambda run: run.host or None,
    "command": lambda run: run.command or None,
    "archived": lambda run: run.archived_at,
}
