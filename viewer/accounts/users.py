"""The collection `users`: who may use the viewer."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any, Literal, get_args

from pymongo import ReturnDocument
from pymongo.database import Database
from pymongo.errors import DuplicateKeyError

from ...observer.access.principal import SiteRole
from ...observer.errors import CloisterError
from .account_names import parse_account_name, plain_name

Source = Literal["local", "oidc", "ldap", "proxy"]
SITE_RIGHTS: tuple[SiteRole, ...] = get_args(SiteRole)
USERS = "users"
# Another program's collection of this name has no such field; it must not lock people out of their own runs.
_OURS = {"source": {"$in": ["local", "oidc", "ldap", "proxy"]}}


class UserExists(CloisterError, ValueError):
    """An account is to be made whose name is taken."""

    def __init__(self, name: str) -> None:
        super().__init__(f"There is an account {name!r} already. Take another name; 'cloister user ls' lists them all.")


class UnknownUser(CloisterError, LookupError):
    """A command names an account that does not exist."""

    def __init__(self, name: str) -> None:
        super().__init__(f"There is no account {plain_name(name)!r}. 'cloister user ls' lists those there are.")


class DisabledUser(CloisterError, ValueError):
    """Something is to be done as somebody who is locked out."""

    def __init__(self, name: str) -> None:
        super().__init__(f"The account {name!r} is disabled. 'cloister user enable {name}' lets it in again.")


class LastAdmin(CloisterError, ValueError):
    """Nobody could administer the site any more."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"{name!r} is the only site admin who can sign in. Make another one first: cloister user add NAME --admin"
        )


class OtherSource(CloisterError, ValueError):
    """Somebody comes from an identity provider with a name that belongs to an account from elsewhere."""

    def __init__(self, name: str, source: str) -> None:
        super().__init__(
            f"The account {name!r} belongs to another way of signing in ({source}). An admin can rename one of the two."
        )


@dataclass(frozen=True)
class User:
    """One person's account, without what proves it.

    Attributes:
        name: the one spelling of the name; everything that is owned or granted names it.
        site: what this person is for the whole site, "admin" and "auditor".
        subject: who this is to the identity provider, which may rename people; None for local accounts.
    """

    name: str
    full_name: str = ""
    email: str = ""
    source: Source = "local"
    subject: str | None = None
    site: frozenset[SiteRole] = frozenset()
    disabled_at: datetime | None = None
    created_at: datetime | None = None
    password_changed_at: datetime | None = None
    has_password: bool = False
    has_totp: bool = False

    @property
    def is_disabled(self) -> bool:
        return self.disabled_at is not None

    @property
    def shown_name(self) -> str:
        return self.full_name or self.name


def parse_user(document: dict[str, Any]) -> User:
    """A stored account as one of ours."""
    totp = document.get("totp") or {}
    return User(
        name=document["_id"],
        full_name=document.get("full_name") or "",
        email=document.get("email") or "",
        source=document.get("source") or "local",
        subject=document.get("subject"),
        site=frozenset(right for right in SITE_RIGHTS if right in (document.get("site") or ())),
        disabled_at=document.get("disabled_at"),
        created_at=document.get("created_at"),
        password_changed_at=document.get("password_changed_at"),
        has_password=bool(document.get("password")),
        has_totp=bool(totp.get("confirmed_at")),
    )


def has_users(database: Database[dict[str, Any]]) -> bool:
    """Whether there is any account, disabled ones too: from then on every request needs an identity."""
    return database[USERS].find_one(_OURS, {"_id": 1}) is not None


def find_user(database: Database[dict[str, Any]], name: str) -> User | None:
    """The account of this name, however it is spelled; None where there is none."""
    document = database[USERS].find_one({"_id": plain_name(name), **_OURS})
    return parse_user(document) if document else None


def load_user(database: Database[dict[str, Any]], name: str) -> User:
    """As `find_user`; raises `UnknownUser`."""
    user = find_user(database, name)
    if user is None:
        raise UnknownUser(name)
    return user


def load_active_user(database: Database[dict[str, Any]], name: str) -> User:
    """As `load_user`; raises `DisabledUser`, too."""
    user = load_user(database, name)
    if user.is_disabled:
        raise DisabledUser(user.name)
    return user


def list_users(database: Database[dict[str, Any]]) -> tuple[User, ...]:
    """All accounts by name, disabled ones too."""
    return tuple(parse_user(document) for document in database[USERS].find(_OURS).sort("_id", 1))


def add_user(
    database: Database[dict[str, Any]],
    name: str,
    *,
    password_hash: str | None = None,
    full_name: str = "",
    email: str = "",
    site: Iterable[str] = (),
    source: Source = "local",
    subject: str | None = None,
) -> User:
    """Make an account. `password_hash` comes from `passwords.hash_password`; None where another system knows it.

    Raises:
        BadAccountName, UserExists
    """
    now = datetime.now(timezone.utc)
    name = parse_account_name(name)
    document = {
        "_id": name,
        "full_name": full_name.strip(),
        "email": email.strip(),
        "source": source,
        "subject": subject,
        "site": sorted(set(site) & set(SITE_RIGHTS)),
        "password": password_hash,
        "password_changed_at": now if password_hash else None,
        "disabled_at": None,
        "created_at": now,
        "totp": None,
        "recovery": [],
    }
    try:
        database[USERS].insert_one(document)
    except DuplicateKeyError:
        raise UserExists(name) from None
    return parse_user(document)


def provision_user(
    database: Database[dict[str, Any]],
    *,
    name: str,
    source: Source,
    subject: str,
    full_name: str = "",
    email: str = "",
    groups: Iterable[str] | None = None,
) -> User:
    """The account of somebody whom an identity provider vouches for: found by `subject`, else made.

    Args:
        groups: the groups of this source that the person is in now; None leaves those as they are.

    Raises:
        OtherSource: the name belongs to an account that another source made; nobody takes that over.
        BadAccountName: the provider's name cannot be one of ours.
    """
    document = database[USERS].find_one({"source": source, "subject": subject})
    if document is None:
        document = _provision_new(database, name, source, subject)
    facts = {"full_name": full_name.strip(), "email": email.strip()}
    updated = database[USERS].find_one_and_update(
        {"_id": document["_id"]}, {"$set": facts}, return_document=ReturnDocument.AFTER
    )
    if groups is not None:
        _join_groups(database, document["_id"], source, frozenset(groups))
    return parse_user(updated or document)


def _provision_new(database: Database[dict[str, Any]], name: str, source: Source, subject: str) -> dict[str, Any]:
    # Unique, so that two first sign-ins at one moment, perhaps under two names, make one account.
    texts = {"subject": {"$type": "string"}}
    database[USERS].create_index([("source", 1), ("subject", 1)], unique=True, partialFilterExpression=texts)
    try:
        add_user(database, name, source=source, subject=subject)
    except UserExists as error:
        document = database[USERS].find_one({"source": source, "subject": subject})
        if document is not None:  # made meanwhile, by another request of the same person
            return document
        existing = load_user(database, name)
        raise OtherSource(existing.name, existing.source) from error
    document = database[USERS].find_one({"source": source, "subject": subject})
    assert document is not None
    return document


def _join_groups(database: Database[dict[str, Any]], name: str, source: Source, groups: frozenset[str]) -> None:
    """Be in exactly these of the groups that `source` rules; those that people made by hand stay as they are."""
    collection = database["groups"]
    collection.update_many(
        {"source": source, "people": name, "_id": {"$nin": sorted(groups)}}, {"$pull": {"people": name}}
    )
    for group in sorted(groups):
        known = collection.find_one({"_id": group}, {"source": 1})
        if known is None:
            collection.update_one({"_id": group}, {"$setOnInsert": {"source": source, "people": []}}, upsert=True)
        if known is None or known.get("source") == source:
            collection.update_one({"_id": group, "source": source}, {"$addToSet": {"people": name}})
