"""View as: looking at the site as somebody else would see it, and going back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from flask import Blueprint, Flask, Response, redirect, render_template, request

from ..observer.access.groups import list_groups
from ..observer.access.looking_as import CannotViewAs, describe_choice
from ..observer.access.principal import ROLES
from ..observer.access.project_settings import list_settings
from ..observer.run_record import OWNER, SHARED_GROUPS, SHARED_PEOPLE
from .accounts.current import current_identity, identity_if_known
from .accounts.sessions import SESSIONS
from .accounts.users import list_users
from .audit_notes import note
from .store_access import current_store, home_database, shared_root

if TYPE_CHECKING:
    from ..observer.access.principal import Principal

bp = Blueprint("looking", __name__)


@dataclass(frozen=True)
class Choices:
    """As whom somebody may look at the site."""

    people: tuple[str, ...]
    groups: tuple[str, ...]
    projects: tuple[str, ...]

    def allow(self, choice: Mapping[str, str]) -> bool:
        kind = choice["kind"]
        if kind == "person":
            return choice["name"] in self.people
        if kind == "group":
            return choice["name"] in self.groups
        if kind == "role":
            return choice["project"] in self.projects and choice["role"] in ROLES
        return kind == "signed-in"


@bp.record_once
def _register(state: Any) -> None:
    app: Flask = state.app
    app.jinja_env.globals["looking_as"] = looking_as


def looking_as() -> str:
    """As whom the one who asks looks at the site, in words; "" for as itself."""
    identity = identity_if_known()
    if identity is None or identity.session is None or not identity.session.view_as:
        return ""
    return describe_choice(identity.session.view_as)


@bp.get("/view-as")
def show_choices() -> str:
    return _render(_find_choices(current_identity().own))


@bp.post("/view-as")
def begin() -> Response:
    """Look at the site as the form says, until `stop` or the session's end."""
    begin_looking(request.form.get("whom", ""))
    return redirect(shared_root() + "/", 303)  # type: ignore[return-value]  # Werkzeug's response is Flask's here


@bp.post("/view-as/stop")
def stop() -> Response:
    """Be oneself again."""
    stop_looking()
    return redirect(f"{shared_root()}/view-as", 303)  # type: ignore[return-value]  # as above


def begin_looking(whom: str) -> None:
    """Have this session look at the site as `whom`: "person:ana", "group:vision", "role:viewer:digits", "signed-in:".
    What is seen is never more than before.

    Raises:
        CannotViewAs: there is nobody like that for whoever asks, or the request has no session.
    """
    identity = current_identity()
    choice = _read_choice(whom)
    if identity.session is None or not _find_choices(identity.own).allow(choice):
        raise CannotViewAs(describe_choice(choice))
    note("viewed-as", target=describe_choice(choice), project=choice["project"], kind=choice["kind"])
    _store(identity.session.key, choice)


def stop_looking() -> None:
    """Have this session see the site as itself."""
    session = current_identity().session
    if session is not None and session.view_as:
        note("viewed-as", target="themselves", kind="end")
        _store(session.key, None)


def _store(session_key: str, choice: Mapping[str, str] | None) -> None:
    home_database()[SESSIONS].update_one({"_id": session_key}, {"$set": {"view_as": choice}})


def _read_choice(whom: str) -> dict[str, str]:
    kind, _, rest = whom.partition(":")
    role, _, project = rest.partition(":") if kind == "role" else ("", "", "")
    return {"kind": kind, "name": "" if kind == "role" else rest, "role": role, "project": project}


def _find_choices(own: Principal) -> Choices:
    """All for an admin of the site; for others what belongs to projects that they manage, and whom they share with."""
    database = home_database()
    settings = list_settings(database)
    projects = {each.name for each in current_store().seen_by(own).list_projects()} | set(own.roles)
    if "admin" in own.site:
        people = [user.name for user in list_users(database)]
        return _choices(people, [group.name for group in list_groups(database)], projects | set(settings))
    members = [member for name, each in settings.items() if own.may("manage", project=name) for member in each.members]
    shared = current_store().seen_by(own).database["runs"]
    people = [member.name for member in members if member.kind == "person"]
    people += shared.distinct(SHARED_PEOPLE, {OWNER: {"$in": list(own.owner_names)}})
    groups = [member.name for member in members if member.kind == "group"]
    groups += shared.distinct(SHARED_GROUPS, {OWNER: {"$in": list(own.owner_names)}})
    return _choices(people, groups, {name for name in projects if own.role_in(name) is not None})


def _choices(people: Any, groups: Any, projects: Any) -> Choices:
    return Choices(
        *(tuple(sorted({name for name in names if isinstance(name, str)})) for names in (people, groups, projects))
    )


def _render(choices: Choices) -> str:
    return render_template(
        "privacy/view_as.html", choices=choices, roles=ROLES, now=looking_as(), has_session=current_identity().session
    )
