"""Saved views as the menu above a table lists them, Omniboard's columns of an adopted database among them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, quote

from ..observer.access.seen_database import unfiltered
from ..observer.field_names import encode_field_name
from ..observer.query.fields import UnknownField
from ..observer.saved_views import SavedView, list_views
from .accounts.current import current_principal
from .column_keys import find_column
from .runs_address import RunsAddress, join_columns
from .store_access import current_database, current_store, home_database

if TYPE_CHECKING:
    from pymongo.database import Database

VIEWER_SETTINGS, OMNIBOARD = "viewer_settings", "omniboard"


@dataclass(frozen=True)
class ShownView:
    """A view in the menu. `note` says whose it is, where it is not one's own."""

    id: str
    name: str
    address: str
    note: str
    is_shared: bool
    changeable: bool
    is_shown: bool


@dataclass(frozen=True)
class ShownViews:
    own: tuple[ShownView, ...]
    shared: tuple[ShownView, ...]


def list_saved(shown: RunsAddress) -> ShownViews:
    """The views of this table that whoever asks may see; the one that `shown` is stands out."""
    principal = current_principal()
    own: list[ShownView] = []
    shared: list[ShownView] = []
    for view in list_views(home_database(), principal, shown.project, place=current_database().path):
        (own if view.is_own(principal) else shared).append(_shown(view, shown))
    omniboards = _omniboards(unfiltered(current_store().database), shown)
    shared += [omniboards] if omniboards is not None else []
    return ShownViews(tuple(own), tuple(shared))


def name_of(shown: RunsAddress) -> str:
    """What the view is called that this address is; "" for none."""
    if not shown.query_string(page=1, drawn=None):
        return ""
    saved = list_saved(shown)
    return next((view.name for view in (*saved.own, *saved.shared) if view.is_shown), "")


def _shown(view: SavedView, shown: RunsAddress) -> ShownView:
    principal = current_principal()
    own = view.is_own(principal)
    note = "shared" if own and view.shared else "" if own else f"by {view.owner}" if view.owner else ""
    return ShownView(
        view.id,
        view.name,
        view.address,
        note,
        view.shared,
        view.may_be_changed_by(principal),
        _same(view.address, shown),
    )


def _same(address: str, shown: RunsAddress) -> bool:
    """Whether it is the same table; which page of it, and which runs are drawn, is no part of a view."""
    left_out = ("page", "draw")
    one, other = (
        sorted((name, value) for name, value in parse_qsl(each, keep_blank_values=True) if name not in left_out)
        for each in (address, shown.query_string())
    )
    return one == other


def _omniboards(database: Database[dict[str, Any]], shown: RunsAddress) -> ShownView | None:
    """The columns that people had made in Omniboard, as a view; None where none was adopted."""
    document = database[VIEWER_SETTINGS].find_one({"_id": OMNIBOARD}) or {}
    keys = []
    for entry in document.get("columns") or ():
        key = _key_of(entry) if isinstance(entry, dict) else None
        if key is not None:
            keys.append(key)
    if not keys:
        return None
    address = f"columns={_escaped(join_columns((*dict.fromkeys(keys), 'started', 'tags')))}"
    return ShownView("", "Columns of Omniboard", address, "adopted", False, False, _same(address, shown))


def _key_of(entry: dict[str, Any]) -> str | None:
    """The column of ours that shows what one of Omniboard's did."""
    if entry.get("kind") == "metric":
        name = str(entry.get("metric") or "")
        figure = entry.get("value") if entry.get("value") in ("min", "max") else "last"
        return find_column(f"metrics.{name}").figure_keys().get(str(figure)) if name else None
    path = str(entry.get("path") or "")
    dotted = ".".join(encode_field_name(part) for part in path.removeprefix("config.").split("."))
    try:
        return find_column(f"config.{dotted}").key
    except UnknownField:
        return None


def _escaped(text: str) -> str:
    return quote(text, safe=",/")
