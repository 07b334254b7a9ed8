"""Who asks, who sees a run and why, and changing that; groups and settings of projects."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from flask import g

from ...observer.access import groups as stored_groups
from ...observer.access.principal import ROLES, VISIBILITIES
from ...observer.access.project_settings import ProjectSettings, load_settings_of, parse_member
from ...observer.access.run_sharing import Sharing
from ..accounts.current import current_identity, current_principal
from ..looking_page import begin_looking, stop_looking
from ..rights_changes import (
    add_group,
    change_default_visibility,
    change_group,
    change_members,
    change_sharing,
    remove_group,
)
from ..store_access import current_store, home_database
from .route import NOTHING, Route
from .run_json import TEXT, TEXTS, either_null, list_schema, map_schema, object_schema
from .runs import NO_RUN

if TYPE_CHECKING:
    from ...observer.run_record import RunId

NAME: dict[str, Any] = {"type": "string", "minLength": 1, "maxLength": 200}
NAMES: dict[str, Any] = {"type": "array", "items": NAME, "maxItems": 200}
VISIBILITY: dict[str, Any] = {"enum": list(VISIBILITIES)}
MEMBER = object_schema(kind={"enum": ["person", "group"]}, name=NAME, role={"enum": list(ROLES)})
SETTINGS_SCHEMA = object_schema(project=TEXT, visibility=VISIBILITY, members=list_schema(MEMBER))
GROUP_SCHEMA = object_schema(name=TEXT, people=TEXTS, source=TEXT)
ME_SCHEMA = object_schema(
    name=TEXT,
    kind={"enum": ["local", "person", "token", "share", "nobody"]},
    groups=TEXTS,
    site=TEXTS,
    roles=map_schema(TEXT),
    scopes=TEXTS,
    projects=either_null(TEXTS),
    viewed_by=TEXT,
)
ACCESS_SCHEMA = object_schema(
    visibility=VISIBILITY,
    from_project={"type": "boolean"},
    reasons=list_schema(object_schema(key=TEXT, words=TEXT)),
    people=either_null(TEXTS),
    groups=either_null(TEXTS),
    may_change={"type": "boolean"},
)


def show_me() -> dict[str, Any]:
    identity = current_identity()
    principal = identity.principal
    return {
        "name": principal.name,
        "kind": principal.kind,
        "groups": sorted(principal.groups),
        "site": sorted(principal.site),
        "roles": dict(principal.roles),
        "scopes": sorted(principal.scopes),
        "projects": None if principal.projects is None else sorted(principal.projects),
        "viewed_by": principal.viewed_by,
    }


def view_as(body: dict[str, Any]) -> dict[str, Any]:
    begin_looking(body["whom"])
    g.pop("identity", None)  # it is another one from here on
    return show_me()


def view_as_oneself() -> None:
    stop_looking()


def show_access(run_id: RunId) -> dict[str, Any]:
    run, why = current_store().explain_visibility(run_id, home_database())
    is_insider = why.project is not None
    return {
        "visibility": why.visibility,
        "from_project": why.from_project,
        "reasons": [asdict(reason) for reason in why.reasons],
        "people": list(run.shared_people) if is_insider else None,
        "groups": list(run.shared_groups) if is_insider else None,
        "may_change": current_principal().may("manage", run=run),
    }


def change_access(run_id: RunId, body: dict[str, Any]) -> dict[str, Any]:
    run = current_store().load_run(run_id)
    visibility = body.get("visibility", run.visibility)
    people, groups = body.get("people", run.shared_people), body.get("groups", run.shared_groups)
    change_sharing(run, Sharing(visibility or "", tuple(people), tuple(groups)))
    return show_access(run_id)


def show_settings(project: str) -> dict[str, Any]:
    return _settings_json(load_settings_of(home_database(), project))


def change_settings(project: str, body: dict[str, Any]) -> dict[str, Any]:
    if "visibility" in body:
        change_default_visibility(project, body["visibility"])
    if "members" in body:
        change_members(project, [parse_member(each["kind"], each["name"], each["role"]) for each in body["members"]])
    return show_settings(project)


def _settings_json(settings: ProjectSettings) -> dict[str, Any]:
    members = [member.as_stored() for member in settings.members]
    return {"project": settings.name, "visibility": settings.visibility, "members": members}


def list_groups() -> dict[str, Any]:
    return {"groups": [_group_json(group) for group in stored_groups.list_groups(home_database())]}


def put_group(name: str, body: dict[str, Any]) -> dict[str, Any]:
    if name not in {group.name for group in stored_groups.list_groups(home_database())}:
        add_group(name)
    return _group_json(change_group(name, body["people"]))


def delete_group(name: str) -> None:
    remove_group(name)


def _group_json(group: stored_groups.Group) -> dict[str, Any]:
    return {"name": group.name, "people": list(group.people), "source": group.source}


ROUTES = (
    Route(
        path="/me",
        name="show_me",
        summary="Who asks, with groups, roles and what a token is limited to",
        handler=show_me,
        answer=ME_SCHEMA,
    ),
    Route(
        path="/me/view-as",
        name="view_as",
        summary="Look at the site as somebody else, in this session, changing nothing",
        handler=view_as,
        answer=ME_SCHEMA,
        statuses={404: "There is nobody like that for whoever asks, or the request has no session."},
        method="PUT",
        body=object_schema(
            whom={
                "type": "string",
                "maxLength": 300,
                "description": "person:ana, group:vision, role:viewer:digits or signed-in:",
            }
        ),
    ),
    Route(
        path="/me/view-as",
        name="view_as_oneself",
        summary="Look at the site as oneself again",
        handler=view_as_oneself,
        answer=NOTHING,
        method="DELETE",
    ),
    Route(
        path="/runs/<run:run_id>/access",
        name="show_access",
        summary="Who sees a run, and why the one who asks does",
        handler=show_access,
        answer=ACCESS_SCHEMA,
        statuses=NO_RUN,
    ),
    Route(
        path="/runs/<run:run_id>/access",
        name="change_access",
        summary="Change who sees a run; a visibility of null leaves it to the project",
        handler=change_access,
        answer=ACCESS_SCHEMA,
        statuses=NO_RUN,
        method="PUT",
        body={
            "type": "object",
            "properties": {"visibility": either_null(VISIBILITY), "people": NAMES, "groups": NAMES},
            "additionalProperties": False,
        },
    ),
    Route(
        path="/projects/<path:project>/settings",
        name="show_settings",
        summary="The members of a project, and who sees its runs by default",
        handler=show_settings,
        answer=SETTINGS_SCHEMA,
        statuses={404: "There is no such project for whoever asks."},
    ),
    Route(
        path="/projects/<path:project>/settings",
        name="change_settings",
        summary="Change the default visibility or the members of a project",
        handler=change_settings,
        answer=SETTINGS_SCHEMA,
        statuses={404: "There is no such project for whoever asks."},
        method="PUT",
        body={
            "type": "object",
            "properties": {"visibility": VISIBILITY, "members": {**list_schema(MEMBER), "maxItems": 2000}},
            "additionalProperties": False,
        },
    ),
    Route(
        path="/groups",
        name="list_groups",
        summary="All groups with their people",
        handler=list_groups,
        answer=object_schema(groups=list_schema(GROUP_SCHEMA)),
    ),
    Route(
        path="/groups/<name>",
        name="put_group",
        summary="Make a group, or change who is in it",
        handler=put_group,
        answer=GROUP_SCHEMA,
        method="PUT",
        body=object_schema(people={**NAMES, "maxItems": 5000}),
    ),
    Route(
        path="/groups/<name>",
        name="delete_group",
        summary="Remove a group from all that it had a right to",
        handler=delete_group,
        answer=NOTHING,
        statuses={404: "There is no such group."},
        method="DELETE",
    ),
)
