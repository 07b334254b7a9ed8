"""The address of a project's list of runs: all that the page shows can be read from it, so links are complete."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote, urlencode

from ..observer.run_query import BadRunQuery, RunQuery
from .run_colours import DrawnRuns, parse_drawn

if TYPE_CHECKING:
    from werkzeug.datastructures import MultiDict

PAGE_SIZE = 50
MOST_COLUMNS = 30
DEFAULT_SORT = "-started"


@dataclass(frozen=True)
class RunsAddress:
    """What a list of runs shows.

    Attributes:
        columns: `config.<key>` and `metrics.<name>`; None leaves the choice to the page.
        drawn: the runs in the charts; None leaves the choice to the page.
        root: where the database lies on this server, "" or a path.
    """

    project: str
    text: str = ""
    sort: str = DEFAULT_SORT
    page: int = 1
    columns: tuple[str, ...] | None = None
    drawn: DrawnRuns | None = None
    root: str = ""

    def query(self) -> RunQuery:
        """Raises BadRunQuery for a sort key, text or page that cannot be."""
        return RunQuery(self.project, text=self.text, sort=self.sort, page=self.page, page_size=PAGE_SIZE)

    def url(self, **changes: Any) -> str:
        """This address with some fields changed; what is as by default is left out."""
        address = replace(self, **changes)
        parameters: dict[str, str] = {}
        if address.text:
            parameters["q"] = address.text
        if address.sort != DEFAULT_SORT:
            parameters["sort"] = address.sort
        if address.page != 1:
            parameters["page"] = str(address.page)
        if address.columns is not None:
            parameters["columns"] = join_columns(address.columns)
        if address.drawn is not None:
            parameters["draw"] = str(address.drawn)
        path = f"{self.root}/p/{quote(address.project, safe='')}"
        return f"{path}?{urlencode(parameters, safe=',/', quote_via=quote)}" if parameters else path

    def sorted_by(self, key: str) -> str:
        """The address after a click on the header of `key`: descending first, as the best is looked for at the top."""
        first, second = (key, f"-{key}") if key in ("name", "tags", "status") else (f"-{key}", key)
        return self.url(sort=second if self.sort == first else first, page=1)


def parse_address(project: str, parameters: MultiDict[str, str], *, root: str = "") -> RunsAddress:
    """The address behind a request.

    Raises:
        BadRunQuery: a parameter has no meaning.
    """
    page = parameters.get("page", "1")
    if not (page.isascii() and page.isdigit() and len(page) < 8):
        raise BadRunQuery(f"Page {page[:40]!r} does not exist. The first page is 1.")
    return RunsAddress(
        project,
        text=parameters.get("q", "").strip(),
        sort=parameters.get("sort", DEFAULT_SORT),
        page=int(page),
        columns=_parse_columns(parameters),
        drawn=parse_drawn(parameters["draw"]) if "draw" in parameters else None,
        root=root,
    )


def join_columns(columns: tuple[str, ...]) -> str:
    """Columns as one parameter; a comma inside a name is escaped."""
    return ",".join(column.replace("%", "%25").replace(",", "%2C") for column in columns)


def _parse_columns(parameters: MultiDict[str, str]) -> tuple[str, ...] | None:
    if "columns" in parameters:
        columns = [unquote(column) for column in parameters["columns"].split(",")]
    elif "column" in parameters:  # the dialog's checkboxes
        columns = parameters.getlist("column")
    else:
        return None
    known = [column for column in columns if column.startswith(("config.", "metrics."))]
    return tuple(dict.fromkeys(known))[:MOST_COLUMNS]


def find_config_value(config: Mapping[str, Any], key: str) -> Any:
    """The value at a dotted key whose parts are encoded as stored; None without one."""
    from ..observer.field_names import decode_field_name

    value: Any = config
    for part in key.split("."):
        name = decode_field_name(part)
        if not isinstance(value, Mapping) or name not in value:
            return None
        value = value[name]
    return value
