"""One's own sessions and tokens; everybody's accounts, for admins of the site."""

from __future__ import annotations

from typing import Any

from ..accounts import own_changes
from ..accounts.account_changes import (
    change_site_rights,
    check_disabling,
    check_site_rights,
    disable_user,
    enable_user,
    prepare_account,
)
from ..accounts.current import current_accounts, session_key, session_limits
from ..accounts.sessions import Session, list_sessions
from ..accounts.tokens import DEFAULT_DAYS, LONGEST_DAYS, SCOPES, Token, list_tokens
from ..accounts.users import SITE_RIGHTS, User, list_users, load_user
from ..audit_notes import note
from .json_values import json_time
from .route import NOTHING, Route
from .run_json import TEXT, TEXTS, TIME, either_null, list_schema, object_schema

NAME: dict[str, Any] = {"type": "string", "minLength": 1, "maxLength": 200}
YES_OR_NO: dict[str, Any] = {"type": "boolean"}
RIGHTS: dict[str, Any] = {"type": "array", "items": {"enum": list(SITE_RIGHTS)}, "maxItems": len(SITE_RIGHTS)}
TOKEN_SCHEMA = object_schema(
    key=TEXT,
    name=TEXT,
    scopes=TEXTS,
    projects=either_null(TEXTS),
    created_at=TIME,
    expires_at=TIME,
    last_used_at=TIME,
    last_address=TEXT,
)
SESSION_SCHEMA = object_schema(
    key=TEXT, created_at=TIME, last_seen=TIME, address=TEXT, agent=TEXT, how=TEXT, is_this=YES_OR_NO
)
USER_SCHEMA = object_schema(
    name=TEXT,
    full_name=TEXT,
    email=TEXT,
    source=TEXT,
    site=TEXTS,
    disabled=YES_OR_NO,
    second_factor=YES_OR_NO,
    created_at=TIME,
)


def list_own_tokens() -> dict[str, Any]:
    user = own_changes.own_account()
    return {"tokens": [_token_json(token) for token in list_tokens(current_accounts().database, user.name)]}


def make_own_token(body: dict[str, Any]) -> dict[str, Any]:
    text, token = own_changes.make_own_token(
        name=body["name"],
        scopes=body.get("scopes", ["read"]),
        projects=body.get("projects"),
        days=body.get("days", DEFAULT_DAYS),
    )
    return {"token": text, **_token_json(token)}


def revoke_own_token(key: str) -> None:
    own_changes.revoke_own_token(key)


def list_own_sessions() -> dict[str, Any]:
    user, database = own_changes.own_account(), current_accounts().database
    return {"sessions": [_session_json(one) for one in list_sessions(database, user.name, session_limits(database))]}


def end_own_session(key: str) -> None:
    own_changes.end_own_session(key)


def list_accounts() -> dict[str, Any]:
    return {"users": [_user_json(user) for user in list_users(current_accounts().database)]}


def add_account(body: dict[str, Any]) -> dict[str, Any]:
    database, password = current_accounts().database, body.get("password")
    facts = {"full_name": body.get("full_name", ""), "email": body.get("email", "")}
    prepared = prepare_account(database, body["name"], **facts, site=body.get("site", ()))
    prepared.check(password)
    note("user-added", target=f"user {prepared.name}", site=sorted(prepared.site))
    return _user_json(prepared.make(password))


def change_account(name: str, body: dict[str, Any]) -> dict[str, Any]:
    database = current_accounts().database
    user = load_user(database, name)
    if "site" in body and set(body["site"]) != set(user.site):
        check_site_rights(database, user.name, body["site"])
        note("rights-changed", target=f"user {user.name}", before=sorted(user.site), after=sorted(body["site"]))
        change_site_rights(database, user.name, body["site"])
    if body.get("disabled") is True and not user.is_disabled:
        check_disabling(database, user.name)
        note("user-disabled", target=f"user {user.name}")
        disable_user(database, user.name)
    if body.get("disabled") is False and user.is_disabled:
        note("user-enabled", target=f"user {user.name}")
        enable_user(database, user.name)
    return _user_json(load_user(database, user.name))


def _token_json(token: Token) -> dict[str, Any]:
    return {
        "key": token.key,
        "name": token.name,
        "scopes": sorted(token.scopes),
        "projects": None if token.projects is None else sorted(token.projects),
        "created_at": json_time(token.created_at),
        "expires_at": json_time(token.expires_at),
        "last_used_at": json_time(token.last_used_at) if token.last_used_at else None,
        "last_address": token.last_address,
    }


def _session_json(session: Session) -> dict[str, Any]:
    return {
        "key": session.key,
        "created_at": json_time(session.created_at),
        "last_seen": json_time(session.last_seen),
        "address": session.address,
        "agent": session.agent,
        "how": session.how,
        "is_this": session.key == session_key(),
    }


def _user_json(user: User) -> dict[str, Any]:
    return {
        "name": user.name,
        "full_name": user.full_name,
        "email": user.email,
        "source": user.source,
        "site": sorted(user.site),
        "disabled": user.is_disabled,
        "second_factor": user.has_totp,
        "created_at": json_time(user.created_at) if user.created_at else None,
    }


ROUTES = (
    Route(
        path="/me/tokens",
        name="list_own_tokens",
        summary="One's own tokens, without what opens them",
        handler=list_own_tokens,
        answer=object_schema(tokens=list_schema(TOKEN_SCHEMA)),
        statuses={404: "Nobody has to sign in here."},
    ),
    Route(
        path="/me/tokens",
        name="make_own_token",
        summary="Make a token; its text is in this answer and never again",
        handler=make_own_token,
        answer={**TOKEN_SCHEMA, "properties": {"token": TEXT, **TOKEN_SCHEMA["properties"]}},
        statuses={404: "Nobody has to sign in here."},
        method="POST",
        body={
            "type": "object",
            "properties": {
                "name": NAME,
                "scopes": {"type": "array", "items": {"enum": list(SCOPES)}, "minItems": 1, "maxItems": len(SCOPES)},
                "projects": either_null({"type": "array", "items": NAME, "minItems": 1, "maxItems": 200}),
                "days": {"type": "number", "minimum": 0.001, "maximum": LONGEST_DAYS},
            },
            "required": ["name"],
            "additionalProperties": False,
        },
    ),
    Route(
        path="/me/tokens/<key>",
        name="revoke_own_token",
        summary="Void one of one's own tokens",
        handler=revoke_own_token,
        answer=NOTHING,
        statuses={404: "There is no such token of who asks."},
        method="DELETE",
    ),
    Route(
        path="/me/sessions",
        name="list_own_sessions",
        summary="Where one is signed in",
        handler=list_own_sessions,
        answer=object_schema(sessions=list_schema(SESSION_SCHEMA)),
        statuses={404: "Nobody has to sign in here."},
    ),
    Route(
        path="/me/sessions/<key>",
        name="end_own_session",
        summary="End one of one's own sessions",
        handler=end_own_session,
        answer=NOTHING,
        statuses={404: "There is no such session of who asks."},
        method="DELETE",
    ),
    Route(
        path="/users",
        name="list_accounts",
        summary="Everybody who has an account",
        handler=list_accounts,
        answer=object_schema(users=list_schema(USER_SCHEMA)),
    ),
    Route(
        path="/users",
        name="add_account",
        summary="Make a local account; without a password nobody signs in yet",
        handler=add_account,
        answer=USER_SCHEMA,
        method="POST",
        body={
            "type": "object",
            "properties": {
                "name": NAME,
                "full_name": {"type": "string", "maxLength": 200},
                "email": {"type": "string", "maxLength": 200},
                "site": RIGHTS,
                "password": NAME,
            },
            "required": ["name"],
            "additionalProperties": False,
        },
    ),
    Route(
        path="/users/<name>",
        name="change_account",
        summary="Change what somebody is for the whole site, or lock somebody out and let in again",
        handler=change_account,
        answer=USER_SCHEMA,
        statuses={404: "There is no such account."},
        method="PUT",
        body={
            "type": "object",
            "properties": {"site": RIGHTS, "disabled": YES_OR_NO},
            "additionalProperties": False,
        },
    ),
)
