"""Audit entries of what a request does: who and from where are taken from the request."""

from __future__ import annotations

from typing import Any

from flask import g, request

from ..observer.audit import record_entry
from ..observer.audit.actions import find_action
from .store_access import home_database

_NOTED = "cloister_noted"  # in flask.g: what this request has noted already


def note(action: str, *, target: str = "", project: str = "", actor: str | None = None, **details: Any) -> None:
    """Append an entry to the audit log before the request is answered; what this raises refuses the request.

    Looks are not noted where there are no accounts: nobody is known there, and everybody on the machine sees all.

    Args:
        action: a row of the table in observer/audit/actions.py.
        target: what it was done to, as people know it: "run 42", "user ana".
        actor: whose act it was, where the request does not say so itself, as for a refused sign-in.
        details: names and small values that tell what changed. Never a secret.
    """
    from .accounts.current import current_identity  # accounts note their own events: the import would go in a circle

    identity = current_identity()
    principal = identity.principal
    if principal.kind == "local" and actor is None and find_action(action).is_look:
        return
    if identity.token is not None:
        details = {"token": identity.token.name, **details}
    share = g.get("share")
    if share is not None:
        details = {"link": share.key, **details}
    if principal.viewed_by:
        details = {"viewing_as": principal.name, **details}
    same = (action, target, project, repr(sorted(details.items())))
    noted: set[object] = g.setdefault(_NOTED, set())
    if same in noted:  # a page that reads a run three times was looked at once
        return
    record_entry(
        home_database(),
        actor=(principal.viewed_by or principal.name or _NAMELESS.get(principal.kind, "")) if actor is None else actor,
        action=action,
        target=target,
        project=project,
        details=details,
        address=request.remote_addr or "",
    )
    noted.add(same)


_NAMELESS = {"local": "local", "share": "share link"}
