"""The collection `views`: addresses of run tables that people have named, for themselves or for their project.

They stand in the first database of a viewer, as accounts do, for all that it shows: `place` is the path of the one
whose runs the table lists, "" for the first.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from .errors import CloisterError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pymongo.database import Database

    from .access.principal import Principal

VIEWS = "views"
NAME_LIMIT = 80
ADDRESS_LIMIT = 8_000
VIEWS_LIMIT = 200  # of one person in one project: a menu of more is none


class BadView(CloisterError, ValueError):
    """A view has a name, or an address, that cannot be kept."""


class ViewNotFound(CloisterError, LookupError):
    """No view has this id, or the reader may not know of it."""

    def __init__(self, view_id: str) -> None:
        super().__init__(
            f"There is no saved view {view_id[:40]!r}. It may have been deleted, or is not shared with you."
        )


class MayNotChangeView(CloisterError, ValueError):
    """A view is somebody else's."""

    status = 403

    def __init__(self, view: SavedView) -> None:
        whom = "an admin of the project" if view.project is not None else "an admin of the site"
        super().__init__(
            f"The view {view.name!r} is {view.owner or 'somebody'}'s. Only its owner, or {whom}, changes it."
        )


@dataclass(frozen=True)
class SavedView:
    """A run table as somebody has set it up.

    Attributes:
        project: whose table; None for that of all projects.
        owner: the account; "" where nobody signs in.
        shared: whether it is for everybody with a role in the project; else for its owner alone.
        address: the query of the table's address, without "?": `q=status+%3D+failed&columns=...`.
    """

    id: str
    project: str | None
    name: str
    owner: str
    shared: bool
    address: str
    made_at: datetime | None

    def may_be_seen_by(self, principal: Principal) -> bool:
        if self.is_own(principal):
            return True
        if not self.shared or not principal.sees_runs or principal.kind == "share":
            return False
        return self.project is None or principal.role_in(self.project) is not None

    def may_be_changed_by(self, principal: Principal) -> bool:
        if not principal.is_signed_in or principal.viewed_by or not principal.scopes & {"admin", "record"}:
            return False
        if self.is_own(principal):
            return True
        if not self.may_be_seen_by(principal):
            return False
        return principal.may("site") if self.project is None else principal.may("manage", project=self.project)

    def is_own(self, principal: Principal) -> bool:
        """Of somebody who only looks at the site as its owner it is not."""
        return principal.is_signed_in and not principal.viewed_by and self.owner == principal.name


def list_views(
    database: Database[dict[str, Any]], principal: Principal, project: str | None, *, place: str = ""
) -> tuple[SavedView, ...]:
    """The views of a project's table (None: of all projects') that the principal sees, by name, their own first."""
    asked = {
        "project": {"$eq": project},
        "place": {"$eq": place},
        "$or": [{"owner": {"$eq": principal.name}}, {"shared": True}],
    }
    found = [_read(document) for document in database[VIEWS].find(asked)]
    seen = [view for view in found if view.may_be_seen_by(principal)]
    return tuple(sorted(seen, key=lambda view: (not view.is_own(principal), view.name.casefold(), view.id)))


def find_view(database: Database[dict[str, Any]], principal: Principal, view_id: str, *, place: str = "") -> SavedView:
    """One view.

    Raises:
        ViewNotFound: there is none, or none that the principal sees.
    """
    document = database[VIEWS].find_one({"_id": {"$eq": view_id}, "place": {"$eq": place}})
    view = _read(document) if document is not None else None
    if view is None or not view.may_be_seen_by(principal):
        raise ViewNotFound(view_id)
    return view


def save_view(
    database: Database[dict[str, Any]],
    principal: Principal,
    *,
    project: str | None,
    name: str,
    address: str,
    shared: bool = False,
    place: str = "",
) -> SavedView:
    """Keep a table's address under a name; one that the principal has by this name is replaced.

    Raises:
        BadView: the name or the address cannot be kept, or there are too many.
    """
    name, address = _checked_name(name), _checked_address(address)
    mine = {"project": {"$eq": project}, "place": {"$eq": place}, "owner": {"$eq": principal.name}}
    if database[VIEWS].count_documents(mine, limit=VIEWS_LIMIT) >= VIEWS_LIMIT:
        raise BadView(f"You have {VIEWS_LIMIT} views here already. Delete one that is not needed.")
    fresh = {"address": address, "shared": shared, "made_at": datetime.now(timezone.utc)}
    key = {"project": project, "place": place, "owner": principal.name, "name": name}
    same = {field: {"$eq": value} for field, value in key.items()}
    made = {"_id": uuid.uuid4().hex, **key}
    document = database[VIEWS].find_one_and_update(
        same, {"$set": fresh, "$setOnInsert": made}, upsert=True, return_document=True
    )
    return _read(document or {**made, **fresh})


def change_view(
    database: Database[dict[str, Any]],
    principal: Principal,
    view_id: str,
    *,
    name: str | None = None,
    address: str | None = None,
    shared: bool | None = None,
    place: str = "",
) -> SavedView:
    """Change what is given of a view.

    Raises:
        ViewNotFound, MayNotChangeView, BadView.
    """
    view = _changeable(database, principal, view_id, place)
    changes: dict[str, Any] = {}
    if name is not None:
        changes["name"] = _checked_name(name)
    if address is not None:
        changes["address"] = _checked_address(address)
    if shared is not None:
        changes["shared"] = shared
    if not changes:
        return view
    document = database[VIEWS].find_one_and_update({"_id": view.id}, {"$set": changes}, return_document=True)
    if document is None:  # deleted meanwhile
        raise ViewNotFound(view_id)
    return _read(document)


def delete_view(
    database: Database[dict[str, Any]], principal: Principal, view_id: str, *, place: str = ""
) -> SavedView:
    """Delete a view and return it as it was.

    Raises:
        ViewNotFound, MayNotChangeView.
    """
    view = _changeable(database, principal, view_id, place)
    database[VIEWS].delete_one({"_id": view.id})
    return view


def _changeable(database: Database[dict[str, Any]], principal: Principal, view_id: str, place: str) -> SavedView:
    view = find_view(database, principal, view_id, place=place)
    if not view.may_be_changed_by(principal):
        raise MayNotChangeView(view)
    return view


def _checked_name(name: str) -> str:
    name = " ".join(name.split())
    if not name or len(name) > NAME_LIMIT or not name.isprintable():
        raise BadView(f"{name[:NAME_LIMIT]!r} cannot be the name of a view. Take 1 to {NAME_LIMIT} letters and signs.")
    return name


def _checked_address(address: str) -> str:
    address = address.removeprefix("?")
    if len(address) > ADDRESS_LIMIT or not address.isascii() or not address.isprintable():
        raise BadView(
            f"The address of a view is the query of a table's address, ASCII of at most {ADDRESS_LIMIT:,} signs. "
            f"This one has {len(address):,}: {address[:60]!r}."
        )
    return address


def _read(document: Mapping[str, Any]) -> SavedView:
    project, made_at = document.get("project"), document.get("made_at")
    return SavedView(
        id=str(document.get("_id")),
        project=project if isinstance(project, str) else None,
        name=str(document.get("name") or "without a name"),
        owner=str(document.get("owner") or ""),
        shared=document.get("shared") is True,
        address=str(document.get("address") or ""),
        made_at=made_at if isinstance(made_at, datetime) else None,
    )
