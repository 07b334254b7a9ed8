"""Somebody whom another system vouches for, and letting them in as one of our accounts."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ...observer.audit import record_entry
from ...observer.errors import CloisterError
from ...observer.identity_settings import GroupRules, IdentitySettings
from ..accounts.users import USERS, OtherSource, Source, User, UserExists, find_user, provision_user

if TYPE_CHECKING:
    from pymongo.database import Database

logger = logging.getLogger("cloister")

GROUPS = "groups"
MOST_GROUPS = 2000  # of one person; more are a mistake of the other system, or an attack by it


class NotAdmitted(CloisterError, PermissionError):
    """Another system knows somebody, and its groups or the state of the account keep them out."""


@dataclass(frozen=True)
class OutsideIdentity:
    """What another system says of somebody.

    Attributes:
        subject: what identifies the person there for ever. Names and e-mail addresses change hands; this does not.
        groups: the groups there, as they are called there.
    """

    source: Source
    subject: str
    name: str
    full_name: str = ""
    email: str = ""
    groups: frozenset[str] = frozenset()


def admit(database: Database[dict[str, Any]], identity: OutsideIdentity, rules: GroupRules, *, address: str) -> User:
    """The account of `identity`, made at its first time, with the groups and site roles that follow from its groups.

    Raises:
        NotAdmitted: it is in none of the groups that let people in, or its account is disabled.
        OtherSource: its name belongs to somebody from elsewhere.
        BadAccountName: its name cannot be the name of an account.
    """
    if rules.required_groups and not identity.groups & set(rules.required_groups):
        raise NotAdmitted(f"{identity.name!r} is in none of the groups that may use this viewer.")
    groups = {rules.groups[group] for group in identity.groups if group in rules.groups} if rules.groups else None
    try:
        user = _provision(database, identity, groups)
    except (UserExists, OtherSource):
        # Somebody's first two requests at once: the other one has just made the account.
        if database[USERS].find_one({"source": identity.source, "subject": identity.subject}) is None:
            raise
        user = _provision(database, identity, groups)
    if user.is_disabled:
        raise NotAdmitted(f"The account {user.name!r} is disabled.")
    return _with_site_roles(database, user, identity, rules, address)


def _provision(database: Database[dict[str, Any]], identity: OutsideIdentity, groups: set[str] | None) -> User:
    return provision_user(
        database,
        name=identity.name,
        source=identity.source,
        subject=identity.subject,
        full_name=identity.full_name,
        email=identity.email,
        groups=groups,
    )


def _with_site_roles(
    database: Database[dict[str, Any]], user: User, identity: OutsideIdentity, rules: GroupRules, address: str
) -> User:
    if not rules.rules_site:
        return user
    named = {"admin": rules.admin_groups, "auditor": rules.auditor_groups}
    site = sorted(role for role, groups in named.items() if identity.groups & set(groups))
    if site == sorted(user.site):
        return user
    record_entry(
        database,
        actor=identity.source,
        action="rights-changed",
        target=f"user {user.name}",
        details={"site": site, "before": sorted(user.site)},
        address=address,
    )
    database[USERS].update_one({"_id": user.name, "source": identity.source}, {"$set": {"site": site}})
    return find_user(database, user.name) or user


def prepare_groups(database: Database[dict[str, Any]], settings: IdentitySettings) -> None:
    """Make the groups that another system fills, so that they can be given roles before anybody has signed in."""
    ways: tuple[tuple[Source, GroupRules | None], ...] = (
        ("oidc", settings.oidc),
        ("ldap", settings.ldap),
        ("proxy", settings.proxy),
    )
    for source, rules in ways:
        for name in sorted(set(rules.groups.values())) if rules else ():
            new: dict[str, Any] = {"$setOnInsert": {"source": source, "people": []}}
            known = database[GROUPS].find_one_and_update({"_id": name}, new, upsert=True)
            if known is not None and known.get("source") != source:
                logger.warning(
                    "%s maps groups of [%s] to %r, whose members are decided elsewhere (%s): they stay as they are.",
                    settings.path,
                    source,
                    name,
                    known.get("source") or "by hand",
                )


def texts(value: Any) -> frozenset[str]:
    """Group names in whatever shape a provider sends them; what is no text is left out."""
    if isinstance(value, str):
        value = [value]
    if not isinstance(value, (list, tuple)):
        return frozenset()
    return frozenset(one for one in value[:MOST_GROUPS] if isinstance(one, str) and one)


def text(value: Any, limit: int = 300) -> str:
    """A name or address that a provider sends; "" for what is no text."""
    return value.strip()[:limit] if isinstance(value, str) else ""
