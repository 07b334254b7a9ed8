"""People and groups: who has an account, what each may do for the whole site, who gets rights together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote

from flask import Blueprint, Response, redirect, render_template, request

from ..observer.access.groups import Group, find_group, list_groups
from ..observer.access.principal import Role
from ..observer.access.project_settings import list_settings
from ..observer.errors import CloisterError
from .accounts.account_changes import (
    change_site_rights,
    check_disabling,
    check_site_rights,
    disable_user,
    enable_user,
    prepare_account,
)
from .accounts.sessions import SESSIONS, end_sessions
from .accounts.users import SITE_RIGHTS, User, list_users, load_user
from .audit_notes import note
from .rights_changes import add_group, change_group, remove_group
from .store_access import home_database, root

if TYPE_CHECKING:
    from datetime import datetime

bp = Blueprint("people", __name__, url_prefix="/privacy")

Answer = Response | tuple[str, int]


@dataclass(frozen=True)
class Person:
    """An account in the list."""

    user: User
    groups: tuple[str, ...]
    roles: tuple[tuple[str, Role], ...]
    last_seen: datetime | None
    session_count: int


@bp.get("/people")
def show_people() -> str:
    return _render_people()


@bp.post("/people")
def add_person() -> Answer:
    """A new local account. Its password is given to the person, who changes it on the profile page."""
    form = request.form

    def add() -> None:
        site = [right for right in SITE_RIGHTS if form.get(right)]
        database = home_database()
        prepared = prepare_account(
            database, form.get("name", ""), full_name=form.get("full_name", ""), email=form.get("email", ""), site=site
        )
        password = form.get("password") or None
        prepared.check(password)
        note("user-added", target=f"user {prepared.name}", site=sorted(prepared.site))
        prepared.make(password)

    return _then(add, _render_people, "/privacy/people")


@bp.post("/people/<name>/rights")
def set_site_rights(name: str) -> Answer:
    """What the person is for the whole site: the form has `admin`, `auditor` where they are ticked."""

    def change() -> None:
        user = load_user(home_database(), name)
        wanted = {right for right in SITE_RIGHTS if request.form.get(right)}
        if wanted != set(user.site):
            check_site_rights(home_database(), user.name, wanted)
            note("rights-changed", target=f"user {user.name}", before=sorted(user.site), after=sorted(wanted))
            change_site_rights(home_database(), user.name, wanted)

    return _then(change, _render_people, "/privacy/people")


@bp.post("/people/<name>/disable")
def disable(name: str) -> Answer:
    def change() -> None:
        user = check_disabling(home_database(), name)
        note("user-disabled", target=f"user {user.name}")
        disable_user(home_database(), user.name)

    return _then(change, _render_people, "/privacy/people")


@bp.post("/people/<name>/enable")
def enable(name: str) -> Answer:
    def change() -> None:
        user = load_user(home_database(), name)
        note("user-enabled", target=f"user {user.name}")
        enable_user(home_database(), user.name)

    return _then(change, _render_people, "/privacy/people")


@bp.post("/people/<name>/sign-out")
def sign_out_everywhere(name: str) -> Answer:
    def change() -> None:
        user = load_user(home_database(), name)
        note("session-revoked", target=f"user {user.name}", sessions="all")
        end_sessions(home_database(), user.name)

    return _then(change, _render_people, "/privacy/people")


@bp.get("/groups")
def show_groups() -> str:
    return _render_groups()


@bp.post("/groups")
def make_group() -> Answer:
    return _then(lambda: add_group(request.form.get("name", "")), _render_groups, "/privacy/groups")


@bp.get("/groups/<name>")
def show_group(name: str) -> str:
    return _render_group(name)


@bp.post("/groups/<name>/people")
def add_to_group(name: str) -> Answer:
    def change() -> None:
        change_group(name, [*find_group(home_database(), name).people, request.form.get("person", "").strip()])

    return _then(change, lambda problem: _render_group(name, problem), _group_path(name))


@bp.post("/groups/<name>/people/remove")
def remove_from_group(name: str) -> Answer:
    def change() -> None:
        known = find_group(home_database(), name).people
        change_group(name, [person for person in known if person != request.form.get("person")])

    return _then(change, lambda problem: _render_group(name, problem), _group_path(name))


@bp.post("/groups/<name>/remove")
def delete_group(name: str) -> Answer:
    return _then(lambda: remove_group(name), _render_groups, "/privacy/groups")


def _group_path(name: str) -> str:
    return f"/privacy/groups/{quote(name, safe='')}"


def _then(act: Callable[[], object], render: Callable[[str], str], path: str) -> Answer:
    """Do it and go to `path`; what the person can mend is said on the page that `render` makes."""
    try:
        act()
    except CloisterError as error:
        if not isinstance(error, ValueError):
            raise
        return render(str(error)), 400
    return redirect(root() + path, 303)  # type: ignore[return-value]  # Werkzeug's response is Flask's here


def _render_people(problem: str = "") -> str:
    return render_template(
        "privacy/people.html", people=_list_people(), problem=problem, typed=request.form if problem else {}
    )


def _render_groups(problem: str = "") -> str:
    return render_template(
        "privacy/groups.html",
        groups=[(group, _roles_of("group", group.name)) for group in list_groups(home_database())],
        problem=problem,
    )


def _render_group(name: str, problem: str = "") -> str:
    group: Group = find_group(home_database(), name)
    others = [user for user in list_users(home_database()) if user.name not in group.people and not user.is_disabled]
    return render_template(
        "privacy/group.html", group=group, others=others, roles=_roles_of("group", name), problem=problem
    )


def _list_people() -> list[Person]:
    database = home_database()
    groups = list_groups(database)
    stages = [{"$group": {"_id": "$user", "last": {"$max": "$last_seen"}, "count": {"$sum": 1}}}]
    seen = {found["_id"]: found for found in database[SESSIONS].aggregate(stages)}
    settings = list_settings(database)
    people = []
    for user in list_users(database):
        roles = tuple(
            (name, member.role)
            for name, each in settings.items()
            for member in each.members
            if (member.kind, member.name) == ("person", user.name)
        )
        session = seen.get(user.name, {})
        mine = tuple(group.name for group in groups if user.name in group.people)
        people.append(Person(user, mine, roles, session.get("last"), session.get("count", 0)))
    return people


def _roles_of(kind: str, name: str) -> list[tuple[str, Role]]:
    return [
        (project, member.role)
        for project, each in list_settings(home_database()).items()
        for member in each.members
        if (member.kind, member.name) == (kind, name)
    ]
