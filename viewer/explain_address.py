"""The address of the Explain page: everything that its figures show can be read from it, so links are complete."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, get_args
from urllib.parse import quote, urlencode

from ..observer.query.fields import UnknownField, find_field
from ..observer.run_query import RunQuery

if TYPE_CHECKING:
    from werkzeug.datastructures import MultiDict

    from .importance import Method

View = Literal["parallel", "scatter", "matrix", "importance", "boxes", "contour"]
VIEWS: dict[View, str] = {
    "parallel": "Parallel coordinates",
    "scatter": "Scatter",
    "matrix": "Scatter matrix",
    "importance": "Importance",
    "boxes": "Box plots",
    "contour": "Contour",
}
MOST_PARAMETERS = 20


@dataclass(frozen=True)
class ExplainAddress:
    """What is explained, and how.

    Attributes:
        where: the runs, in the query language.
        target: the field that the others are to explain, a metric or another number; "" leaves the choice to the page.
        parameters: the fields that explain it, in the order of their axes; () leaves the choice to the page.
        x, y, by: of scatter and contour; the categories of box plots.
        log: fields that are read by their logarithm, of those for which somebody has `decided`; of others the numbers
            decide.
    """

    project: str
    view: View = "parallel"
    where: str = ""
    target: str = ""
    parameters: tuple[str, ...] = ()
    x: str = ""
    y: str = ""
    by: str = ""
    method: Method = "forest"
    log: tuple[str, ...] = ()
    decided: tuple[str, ...] = ()
    root: str = ""

    def query(self) -> RunQuery:
        """Raises QueryError where `where` cannot be understood."""
        return RunQuery(self.project, where=self.where)

    @property
    def path(self) -> str:
        return f"{self.root}/p/{quote(self.project, safe='')}/explain"

    def url(self, part: str = "", **changes: Any) -> str:
        """This address with some fields changed, or that of a part of the page."""
        found = replace(self, **changes).parameters_of_address()
        path = f"{self.path}/{part}" if part else self.path
        return f"{path}?{urlencode(found, safe=',/', quote_via=quote)}" if found else path

    def parameters_of_address(self) -> list[tuple[str, str]]:
        single = [
            ("view", self.view if self.view != "parallel" else ""),
            ("q", self.where),
            ("target", self.target),
            ("x", self.x),
            ("y", self.y),
            ("by", self.by),
            ("method", self.method if self.method != "forest" else ""),
        ]
        return [
            *((name, value) for name, value in single if value),
            *(("param", key) for key in self.parameters),
            *(("decided", key) for key in self.decided),
            *(("log", key) for key in self.log),
        ]

    def wants_log(self, key: str) -> bool | None:
        return key in self.log if key in self.decided else None


def parse_explain_address(project: str, args: MultiDict[str, str], *, root: str = "") -> ExplainAddress:
    """The address behind a request.

    Raises:
        UnknownField: a field is named that no run can have.
    """
    view, method = args.get("view", "parallel"), args.get("method", "forest")
    if view not in get_args(View):
        raise UnknownField(view, f"There is no figure {view[:40]!r}.", "parallel")
    return ExplainAddress(
        project=project,
        view=view,  # type: ignore[arg-type]  # looked at above
        where=args.get("q", ""),
        target=_key(args.get("target", "")),
        parameters=tuple(dict.fromkeys(_key(key) for key in args.getlist("param") if key))[:MOST_PARAMETERS],
        x=_key(args.get("x", "")),
        y=_key(args.get("y", "")),
        by=_key(args.get("by", "")),
        method="fanova" if method == "fanova" else "forest",
        log=tuple(_key(key) for key in args.getlist("log")[:50]),
        decided=tuple(_key(key) for key in args.getlist("decided")[:50]),
        root=root,
    )


def _key(text: str) -> str:
    """A field's key in its one spelling; empty where none is named."""
    return find_field(text.strip()).key if text.strip() else ""
