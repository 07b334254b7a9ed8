"""Settings of projects: who has which role, and who sees runs that say nothing themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

from flask import Blueprint, Response, redirect, render_template, request

from ..observer.access.groups import list_groups
from ..observer.access.principal import ALL_PROJECTS, ROLES, VISIBILITIES
from ..observer.access.project_settings import ProjectSettings, list_settings, load_settings_of, parse_member
from ..observer.errors import CloisterError
from .accounts.current import current_principal
from .accounts.users import list_users
from .project_naming import change_project_name
from .rights_changes import change_default_visibility, change_member, take_member
from .store_access import current_store, home_database, root

if TYPE_CHECKING:
    from ..observer.runs import ProjectSummary

bp = Blueprint("project_settings", __name__, url_prefix="/privacy/projects")

VISIBILITY_WORDS = {
    "private": ("Private", "A run is seen by its owner and by whom it is shared with."),
    "project": ("Members of the project", "A run is seen by everybody with a role in the project."),
    "site": ("Everybody signed in", "A run is seen by everybody who has an account here."),
}
ROLE_WORDS = {
    "viewer": "sees the project's runs",
    "editor": "also changes what is written beside runs",
    "admin": "also manages members, settings and who sees a run",
}


@bp.get("")
def show_projects() -> str:
    """The projects that the one who asks manages, with their settings."""
    principal = current_principal()
    counted = {project.name: project for project in current_store().list_projects()}
    settings = list_settings(home_database())
    names = sorted((set(counted) | set(settings)) - {ALL_PROJECTS}, key=str.casefold)
    rows = [
        (settings.get(name, ProjectSettings(name)), _run_count(counted.get(name)))
        for name in names
        if principal.may("manage", project=name)
    ]
    return render_template("privacy/projects.html", rows=rows, visibility_words=VISIBILITY_WORDS)


@bp.get("/<path:project>")
def show_project(project: str) -> str:
    return _render(project)


@bp.post("/<path:project>/visibility")
def set_visibility(project: str) -> Response | tuple[str, int]:
    return _change(project, lambda: change_default_visibility(project, request.form.get("visibility", "")))


@bp.post("/<path:project>/name")
def set_name(project: str) -> Response | tuple[str, int]:
    """Give the project another name; its old addresses lead to the new ones."""
    name = request.form.get("name", "").strip()
    try:
        change_project_name(project, name)
    except CloisterError as error:
        if not isinstance(error, ValueError):
            raise
        return _render(project, problem=str(error)), getattr(error, "status", 400)
    return redirect(f"{root()}/privacy/projects/{quote(name, safe='')}", 303)  # type: ignore[return-value]


@bp.post("/<path:project>/members")
def set_member(project: str) -> Response | tuple[str, int]:
    """Give a person or a group a role: the form's `who` is `person:ana` or `group:vision`."""

    def change() -> None:
        kind, _, name = _who(request.form.get("who", ""))
        change_member(project, parse_member(kind, name, request.form.get("role")))

    return _change(project, change)


@bp.post("/<path:project>/members/remove")
def remove_member(project: str) -> Response | tuple[str, int]:
    kind, _, name = _who(request.form.get("who", ""))
    return _change(project, lambda: take_member(project, kind, name))


def _who(text: str) -> tuple[str, str, str]:
    """Kind, colon and name; what is typed without a kind is a person's name."""
    kind, colon, name = text.strip().partition(":")
    return (kind, colon, name) if kind in ("person", "group") and colon else ("person", ":", text.strip())


def _change(project: str, act: object) -> Response | tuple[str, int]:
    try:
        act()  # type: ignore[operator]
    except CloisterError as error:
        if not isinstance(error, ValueError):
            raise
        return _render(project, problem=str(error)), 400
    return redirect(f"{root()}/privacy/projects/{quote(project, safe='')}", 303)  # type: ignore[return-value]


def _render(project: str, problem: str = "") -> str:
    principal = current_principal()
    members = {(member.kind, member.name) for member in load_settings_of(home_database(), project).members}
    # Names of all accounts are for those who manage accounts; others type the name that they were told.
    people = [user for user in list_users(home_database()) if not user.is_disabled] if principal.may("site") else []
    groups = [*list_groups(home_database())] if principal.may("site") else []
    return render_template(
        "privacy/project.html",
        settings=load_settings_of(home_database(), project),
        people=[user for user in people if ("person", user.name) not in members],
        groups=[group for group in groups if ("group", group.name) not in members],
        roles=ROLES,
        role_words=ROLE_WORDS,
        visibilities=VISIBILITIES,
        visibility_words=VISIBILITY_WORDS,
        problem=problem,
    )


def _run_count(summary: ProjectSummary | None) -> int:
    return 0 if summary is None else summary.run_count
