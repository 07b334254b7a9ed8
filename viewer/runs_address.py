"""The address of a table of runs: all that the page shows can be read from it, so links are complete."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, cast, get_args
from urllib.parse import quote, unquote, urlencode

from ..observer.query.fields import UnknownField
from ..observer.run_query import BadRunQuery, RunQuery
from .column_keys import find_column, is_free_column
from .query_text import read_search
from .run_colours import DrawnRuns, parse_drawn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from werkzeug.datastructures import MultiDict

    from .column_keys import ColumnKey
    from .query_text import Search

PAGE_SIZE = 50
MOST_COLUMNS = 60
MOST_SORTS = 5
MOST_GROUPED = 3
MOST_OPEN = 12  # groups whose runs are shown: each is a query of its own
NARROWEST, WIDEST = 40, 800  # px that a column can be
DEFAULT_SORT = "-started"
Archived = Literal["without", "with", "only"]
View = Literal["split", "table", "charts"]
GroupKeys = tuple[Any, ...]  # what the runs of a group have in common: text, number, true, false or nothing


@dataclass(frozen=True)
class RunsAddress:
    """What a table of runs shows.

    Attributes:
        project: whose runs; None for those of all projects.
        text: what stands in the bar: a query, or words to look for.
        columns: keys of columns in their order; None leaves the choice to the page.
        pinned: those of the columns that stay in sight, beside the name.
        widths: of columns that somebody has made wider or narrower, in px.
        group: by which columns the runs are grouped; then the rows are groups.
        opened: the groups whose runs are shown.
        differing: only columns in which the runs of the page differ.
        drawn: the runs in the charts; None leaves the choice to the page.
        charts: what the charts beside the table keep in the address: parameters whose name begins with "chart".
        root: where the database lies on this server, "" or a path.
    """

    project: str | None
    text: str = ""
    sort: tuple[str, ...] = (DEFAULT_SORT,)
    page: int = 1
    columns: tuple[str, ...] | None = None
    pinned: tuple[str, ...] = ()
    widths: tuple[tuple[str, int], ...] = ()
    group: tuple[str, ...] = ()
    opened: tuple[GroupKeys, ...] = ()
    differing: bool = False
    archived: Archived = "without"
    view: View = "split"
    drawn: DrawnRuns | None = None
    charts: tuple[tuple[str, str], ...] = ()
    root: str = ""

    def search(self) -> Search:
        """What is looked for; `error` says what is wrong with it."""
        return read_search(self.text)

    def query(self, *, page_size: int = PAGE_SIZE, **changes: Any) -> RunQuery:
        """What the store is asked for. Raises BadRunQuery for a sort key, text or page that cannot be."""
        found = self.search()
        asked: dict[str, Any] = {
            "text": found.words,
            "where": found.where,
            "sort": self.sort if len(self.sort) > 1 else self.sort[0],
            "page": self.page,
            "page_size": page_size,
            "archived": self.archived,
        }
        return RunQuery(self.project, **{**asked, **changes})

    @property
    def path(self) -> str:
        return f"{self.root}/runs" if self.project is None else f"{self.root}/p/{quote(self.project, safe='')}"

    def query_string(self, **changes: Any) -> str:
        """What stands behind the "?", with some fields changed; what is as by default is left out."""
        return urlencode(_parameters(replace(self, **changes)), safe=",/:", quote_via=quote)

    def url(self, **changes: Any) -> str:
        """This address with some fields changed."""
        behind = self.query_string(**changes)
        return f"{self.path}?{behind}" if behind else self.path

    def kept_fields(self) -> list[tuple[str, str]]:
        """What a form that changes the search sends along, by name."""
        return [(name, value) for name, value in _parameters(self).items() if name not in ("q", "page", "open")]

    def sorted_by(self, key: str) -> str:
        """The address after a click on the header of `key`: descending first, as the best is looked for at the top."""
        first, second = (key, f"-{key}") if key in ("name", "tags", "status") else (f"-{key}", key)
        return self.url(sort=(second if self.sort == (first,) else first,), page=1)

    @property
    def sort_keys(self) -> tuple[str, ...]:
        return tuple(key.removeprefix("-") for key in self.sort)

    def with_direction(self, key: str, direction: str) -> str:
        word = f"-{key}" if direction == "down" else key
        return self.url(sort=tuple(word if each.removeprefix("-") == key else each for each in self.sort), page=1)

    def without_sort(self, key: str) -> str:
        rest = tuple(each for each in self.sort if each.removeprefix("-") != key)
        return self.url(sort=rest or (DEFAULT_SORT,), page=1)

    def sorted_also_by(self, key: str) -> str:
        """Sorted by `key` within what is sorted alike; the default order is no choice of anybody's, and goes."""
        first = () if self.sort == (DEFAULT_SORT,) else self.sort
        word = key if key in ("name", "tags", "status") else f"-{key}"
        return self.url(sort=(*first, word)[-MOST_SORTS:], page=1)

    def grouped_without(self, key: str) -> str:
        return self.url(group=tuple(each for each in self.group if each != key), opened=(), page=1)

    def export_url(self, name: str) -> str:
        """Where the whole table, all its pages, is downloaded in a format."""
        behind = self.query_string(page=1, opened=(), drawn=None, view="split")
        of = "" if self.project is None else f"project={quote(self.project, safe='')}&"
        return f"{self.root}/export/runs.{name}?{of}{behind}"

    def toggling_group(self, keys: GroupKeys) -> str:
        opened = tuple(each for each in self.opened if each != keys)
        return self.url(opened=opened if len(opened) < len(self.opened) else (*opened, keys)[-MOST_OPEN:])

    def direction(self, key: str) -> Literal["up", "down", ""]:
        return "up" if key in self.sort else "down" if f"-{key}" in self.sort else ""

    def sort_place(self, key: str) -> int:
        """Which of several columns it sorts by, counted from 1; 0 where the runs are not, or by one alone, sorted."""
        keys = self.sort_keys
        return keys.index(key) + 1 if key in keys and len(keys) > 1 else 0

    def width_of(self, key: str) -> int | None:
        return dict(self.widths).get(key)


def _parameters(address: RunsAddress) -> dict[str, str]:
    found = {
        "q": address.text,
        "sort": join_columns(address.sort) if address.sort != (DEFAULT_SORT,) else "",
        "page": str(address.page) if address.page != 1 else "",
        "columns": None if address.columns is None else join_columns(address.columns),
        "pin": join_columns(address.pinned),
        "width": join_columns(f"{width}:{key}" for key, width in address.widths),
        "group": join_columns(address.group),
        "open": join_columns(_join_keys(keys) for keys in address.opened) if address.group else "",
        "differing": "1" if address.differing else "",
        "archived": address.archived if address.archived != "without" else "",
        "view": address.view if address.view != "split" else "",
        "draw": None if address.drawn is None else str(address.drawn),
        **dict(address.charts),
    }
    # An empty list of columns is a choice; everything else that is empty is as by default.
    return {
        name: value for name, value in found.items() if value or (name in ("columns", "draw") and value is not None)
    }


def parse_address(project: str | None, parameters: MultiDict[str, str], *, root: str = "") -> RunsAddress:
    """The address behind a request.

    Raises:
        BadRunQuery: a parameter has no meaning.
    """
    page = parameters.get("page", "1")
    if not (page.isascii() and page.isdigit() and len(page) < 8):
        raise BadRunQuery(f"Page {page[:40]!r} does not exist. The first page is 1.")
    group = _known_keys(split_columns(parameters.get("group", "")), lambda column: column.can_group)[:MOST_GROUPED]
    return RunsAddress(
        project,
        text=parameters.get("q", "").strip(),
        sort=_parse_sort(parameters.get("sort", "")),
        page=int(page),
        columns=_parse_columns(parameters),
        pinned=_known_keys(split_columns(parameters.get("pin", "")))[:MOST_COLUMNS],
        widths=_parse_widths(parameters.get("width", "")),
        group=group,
        opened=_parse_opened(parameters.get("open", ""), len(group)),
        differing=parameters.get("differing") == "1",
        archived=cast("Archived", _choice(parameters, "archived", get_args(Archived))),
        view=cast("View", _choice(parameters, "view", get_args(View))),
        drawn=parse_drawn(parameters["draw"]) if "draw" in parameters else None,
        charts=_parse_charts(parameters),
        root=root,
    )


def join_columns(columns: Iterable[str]) -> str:
    """Columns as one parameter; a comma inside a name is escaped."""
    return ",".join(column.replace("%", "%25").replace(",", "%2C") for column in columns)


def split_columns(text: str) -> tuple[str, ...]:
    return tuple(unquote(column) for column in text.split(",") if column)


def _parse_columns(parameters: MultiDict[str, str]) -> tuple[str, ...] | None:
    if "columns" in parameters:
        return _known_keys(split_columns(parameters["columns"]))[:MOST_COLUMNS]
    if "column" in parameters:  # the dialog's fields
        return _known_keys(parameters.getlist("column"))[:MOST_COLUMNS]
    return None


def _known_keys(keys: Iterable[str], allowed: Callable[[ColumnKey], bool] = is_free_column) -> tuple[str, ...]:
    """Those of the keys that name such columns, each in its one spelling. A link from elsewhere may have others."""
    found = []
    for key in keys:
        try:
            column = find_column(key)
        except UnknownField:
            continue
        if allowed(column):
            found.append(column.key)
    return tuple(dict.fromkeys(found))


def _parse_sort(text: str) -> tuple[str, ...]:
    found: dict[str, str] = {}
    for each in split_columns(text)[:MOST_SORTS]:
        key = each.removeprefix("-")
        try:
            column = find_column(key)
        except UnknownField as error:
            raise BadRunQuery(f"Runs cannot be sorted by {key[:80]!r}. {error}") from error
        if column.field is None:
            raise BadRunQuery(f"Runs cannot be sorted by {key[:80]!r}: a curve is no single value.")
        found.setdefault(column.key, f"-{column.key}" if each.startswith("-") else column.key)
    return tuple(found.values()) or (DEFAULT_SORT,)


def _parse_widths(text: str) -> tuple[tuple[str, int], ...]:
    found: dict[str, int] = {}
    for each in split_columns(text)[: MOST_COLUMNS + 1]:
        pixels, _, key = each.partition(":")
        known = ("name",) if key == "name" else _known_keys([key])
        if known and pixels.isascii() and pixels.isdigit() and len(pixels) < 5:
            found[known[0]] = max(NARROWEST, min(int(pixels), WIDEST))
    return tuple(found.items())


def _parse_opened(text: str, size: int) -> tuple[GroupKeys, ...]:
    found = []
    for each in split_columns(text)[:MOST_OPEN]:
        try:
            keys = json.loads(each)
        except (ValueError, RecursionError):
            continue
        if isinstance(keys, list) and len(keys) == size and all(_is_plain(key) for key in keys):
            found.append(tuple(tuple(key) if isinstance(key, list) else key for key in keys))
    return tuple(found)


def _is_plain(key: object) -> bool:
    if isinstance(key, list):  # what several tags have in common
        return all(isinstance(each, str) for each in key)
    return key is None or isinstance(key, (str, bool, int, float))


def _join_keys(keys: GroupKeys) -> str:
    return json.dumps(keys, separators=(",", ":"), ensure_ascii=False, default=str)


def _choice(parameters: MultiDict[str, str], name: str, choices: tuple[str, ...]) -> str:
    given = parameters.get(name, choices[0])
    if given not in choices:
        raise BadRunQuery(f"{name}={given[:40]!r} has no meaning. It is one of {', '.join(choices)}.")
    return given


def _parse_charts(parameters: MultiDict[str, str]) -> tuple[tuple[str, str], ...]:
    kept = [(name, value) for name, value in parameters.items() if name.startswith("chart") and len(name) < 40]
    return tuple((name, value) for name, value in kept[:20] if len(value) <= 4000)
