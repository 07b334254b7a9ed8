"""How people have arranged their charts: each one's own layout of a project, and those that they share by a name."""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from .errors import CloisterError

if TYPE_CHECKING:
    from pymongo.database import Database

LAYOUTS = "layouts"
LONGEST_NAME = 200
LARGEST_BYTES = 256 * 1024  # 2,000 charts with a choice each
MOST_SHARED = 200  # of one project
_APART = "|"  # between person, place and project in an _id; no account's name has it

Layout = dict[str, Any]


class LayoutNotFound(CloisterError, LookupError):
    """There is no shared layout of this id, or the reader may not know of it."""

    def __init__(self, layout_id: str) -> None:
        super().__init__(f"There is no layout {layout_id!r}. Whoever shared it may have deleted it.")


class LayoutTooLarge(CloisterError, ValueError):
    """A layout says more than is kept of one."""

    def __init__(self, size_bytes: int) -> None:
        super().__init__(
            f"This layout takes {size_bytes:,} bytes, {LARGEST_BYTES:,} are kept. Reset what is chosen of charts that "
            "are there no more."
        )


class TooManyLayouts(CloisterError, ValueError):
    """A project has as many shared layouts as are kept."""

    def __init__(self, project: str) -> None:
        super().__init__(f"Project {project!r} has {MOST_SHARED} shared layouts. Delete one that nobody uses.")


@dataclass(frozen=True)
class SharedLayout:
    """A layout under a name, for everybody with a role in its project.

    Attributes:
        place: the address of the database on this viewer, "" for the first one: two may have a project of one name.
    """

    id: str
    place: str
    project: str
    name: str
    owner: str
    changed_at: datetime
    layout: Layout


def load_own(database: Database[dict[str, Any]], person: str, project: str, *, place: str = "") -> Layout | None:
    """The person's layout of a project, None before they have arranged anything. The local person is ""."""
    found = database[LAYOUTS].find_one({"_id": _own_id(person, project, place)})
    return None if found is None else _unpacked(found)


def store_own(
    database: Database[dict[str, Any]], person: str, project: str, layout: Layout, *, place: str = ""
) -> None:
    """Keep `layout` as the person's own.

    Raises:
        LayoutTooLarge: it takes more than `LARGEST_BYTES`.
    """
    # Not "owner": an erasure deletes what has a person, and takes the owner's name out of what others use too.
    fields = {"person": person, "place": place, "project": project, "shared": False, **_packed(layout)}
    database[LAYOUTS].update_one({"_id": _own_id(person, project, place)}, {"$set": fields}, upsert=True)


def forget_own(database: Database[dict[str, Any]], person: str, project: str, *, place: str = "") -> None:
    """The project's charts stand for this person as they do for somebody new."""
    database[LAYOUTS].delete_one({"_id": _own_id(person, project, place)})


def list_shared(database: Database[dict[str, Any]], project: str, *, place: str = "") -> tuple[SharedLayout, ...]:
    """The project's shared layouts by name."""
    condition = {"shared": True, "project": {"$eq": project}, "place": {"$eq": place}}
    found = database[LAYOUTS].find(condition).sort([("name", 1), ("_id", 1)]).limit(MOST_SHARED)
    return tuple(map(_read, found))


def load_shared(database: Database[dict[str, Any]], layout_id: str) -> SharedLayout:
    """One shared layout.

    Raises:
        LayoutNotFound: there is none.
    """
    found = database[LAYOUTS].find_one({"_id": {"$eq": layout_id}, "shared": True})
    if found is None:
        raise LayoutNotFound(layout_id)
    return _read(found)


def share_layout(
    database: Database[dict[str, Any]], person: str, project: str, name: str, layout: Layout, *, place: str = ""
) -> SharedLayout:
    """Keep a copy of `layout` under a name.

    Raises:
        LayoutTooLarge, TooManyLayouts: it is not kept.
    """
    if (
        database[LAYOUTS].count_documents({"shared": True, "project": {"$eq": project}}, limit=MOST_SHARED)
        >= MOST_SHARED
    ):
        raise TooManyLayouts(project)
    layout_id = secrets.token_urlsafe(12)  # it stands in addresses: nobody should find others by counting
    fields = {"owner": person, "place": place, "project": project, "name": name, "shared": True, **_packed(layout)}
    database[LAYOUTS].insert_one({"_id": layout_id, **fields})
    return load_shared(database, layout_id)


def change_shared(database: Database[dict[str, Any]], layout_id: str, name: str, layout: Layout) -> SharedLayout:
    """Keep another layout, or name, under the same id, so that links to it show the new one.

    Raises:
        LayoutNotFound, LayoutTooLarge: it is not kept.
    """
    fields = {"name": name, **_packed(layout)}
    database[LAYOUTS].update_one({"_id": {"$eq": layout_id}, "shared": True}, {"$set": fields})
    return load_shared(database, layout_id)


def delete_shared(database: Database[dict[str, Any]], layout_id: str) -> None:
    database[LAYOUTS].delete_one({"_id": {"$eq": layout_id}, "shared": True})


def _own_id(person: str, project: str, place: str) -> str:
    return _APART.join((person, place, project))


def _packed(layout: Layout) -> dict[str, Any]:
    # As JSON: metrics are called as people like, which MongoDB does not take as keys.
    text = json.dumps(layout, ensure_ascii=False, separators=(",", ":"))
    size = len(text.encode("utf-8", "backslashreplace"))
    if size > LARGEST_BYTES:
        raise LayoutTooLarge(size)
    return {"text": text, "changed_at": datetime.now(timezone.utc)}


def _unpacked(document: dict[str, Any]) -> Layout:
    try:
        layout = json.loads(document.get("text") or "{}")
    except (TypeError, ValueError):  # somebody's hand in the database: as if nothing had been arranged
        return {}
    return layout if isinstance(layout, dict) else {}


def _read(document: dict[str, Any]) -> SharedLayout:
    changed = document.get("changed_at")
    moment = changed if isinstance(changed, datetime) else datetime.fromtimestamp(0, timezone.utc)
    return SharedLayout(
        id=str(document["_id"]),
        place=str(document.get("place", "")),
        project=str(document.get("project", "")),
        name=str(document.get("name", "")),
        owner=str(document.get("owner", "")),
        changed_at=moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc),
        layout=_unpacked(document),
    )
