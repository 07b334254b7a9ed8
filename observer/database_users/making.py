"""Making database users: their role first, as it has to be today, then the user with that role and no other."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from ..errors import CloisterError
from ..run_collections import Collections
from .kinds import KINDS, Kind, find_kind

if TYPE_CHECKING:
    from pymongo import MongoClient
    from pymongo.database import Database

SACREDS_OWN = Collections()
X509_DATABASE = "$external"  # where MongoDB keeps those whom a certificate proves
PASSWORD_BYTES = 24
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,30}")  # a part of a database's name, of which MongoDB takes 63 bytes
USER_EXISTS, ROLE_EXISTS, UNAUTHORIZED = 51003, 51002, 13  # MongoDB's error codes
# What says in a URI how somebody else proves who they are.
_LOGIN_OPTIONS = ("authsource", "authmechanism", "authmechanismproperties", "tlscertificatekeyfile")
_LOGIN_PASSWORD_OPTION = "tlscertificatekeyfilepassword"  # noqa: S105  # an option's name


class BadUserName(CloisterError, ValueError):
    """A database user is to have a name that does not do."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"{name!r} cannot be the name of a database user. Take up to 31 letters, digits, '-' and '_', such as ana "
            "or gpu-node-7."
        )


class UserExists(CloisterError, ValueError):
    """There is such a database user already."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"There is a database user {name!r} already. 'cloister db users remove {name}' takes its access away; then "
            "make it anew, with a new password."
        )


class NoSuchUser(CloisterError, LookupError):
    """There is no such database user of ours."""

    def __init__(self, name: str) -> None:
        super().__init__(f"There is no database user {name!r} of Cloister's. 'cloister db users ls' lists them.")


class MayNotMakeUsers(CloisterError, PermissionError):
    """The account that makes users may not."""

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"MongoDB does not let this account manage users: {reason}. Pass --uri with an account that may (the roles "
            "userAdminAnyDatabase or root), for this command alone."
        )


@dataclass(frozen=True)
class DatabaseUser:
    """A user that MongoDB knows.

    Attributes:
        name: as it logs in; the certificate's subject where a certificate proves it.
        database: whose runs it is for.
        password: only of one that was made just now.
    """

    name: str
    kind: str
    database: str
    password: str | None = None

    @property
    def is_x509(self) -> bool:
        return "=" in self.name

    def uri(self, admin_uri: str) -> str:
        """How this user connects, by the servers and the TLS options of the URI that made it."""
        scheme, _, rest = admin_uri.partition("://")
        hosts = re.split("[/?]", rest.rpartition("@")[2])[0]
        kept = [option for option in re.split("[&;]", rest.partition("?")[2]) if option and not _is_login(option)]
        if self.is_x509:
            kept += ["authMechanism=MONGODB-X509", "authSource=%24external", "tlsCertificateKeyFile=CLIENT.pem"]
            return f"{scheme}://{hosts}/{self.database}?{'&'.join(kept)}"
        login = f"{quote(self.name, safe='')}:{quote(self.password or 'PASSWORD', safe='')}"
        return f"{scheme}://{login}@{hosts}/{self.database}?{'&'.join([*kept, f'authSource={self.database}'])}"


def add_user(
    client: MongoClient[dict[str, Any]],
    home: str,
    name: str,
    kind_name: str,
    *,
    subject: str | None = None,
    collections: Collections = SACREDS_OWN,
) -> DatabaseUser:
    """Make a database user of this kind, and what its rights need.

    Args:
        home: the team's database.
        subject: of an x.509 certificate, as `openssl x509 -subject -nameopt RFC2253` prints it; no password then.

    Raises:
        UnknownKind, BadUserName, UserExists: as they say.
        MayNotMakeUsers: the client's account lacks the right.
    """
    kind = find_kind(kind_name)
    if not _NAME.fullmatch(name):
        raise BadUserName(name)
    database = f"{home}_{name}" if kind.own_database else home
    password = None if subject else secrets.token_urlsafe(PASSWORD_BYTES)
    roles = [{"role": role, "db": database} for role in kind.built_in or (kind.role,)]
    with _explained(subject or name):
        if not kind.built_in:
            grant_role(client[database], kind, collections)
        if subject is None:
            client[database].command("createUser", name, pwd=password, roles=roles, mechanisms=["SCRAM-SHA-256"])
        else:
            client[X509_DATABASE].command("createUser", subject, roles=roles)
    return DatabaseUser(subject or name, kind.name, database, password)


def grant_role(database: Database[dict[str, Any]], kind: Kind, collections: Collections = SACREDS_OWN) -> None:
    """Make the role of this kind in `database`, or give it the rights that this version of Cloister needs."""
    from pymongo.errors import OperationFailure

    privileges = kind.privileges(database.name, collections)
    try:
        database.command("createRole", kind.role, privileges=privileges, roles=[])
    except OperationFailure as error:
        if error.code != ROLE_EXISTS:
            raise
        database.command("updateRole", kind.role, privileges=privileges, roles=[])


def renew_roles(client: MongoClient[dict[str, Any]], home: str, collections: Collections = SACREDS_OWN) -> list[str]:
    """Give every role of ours the rights of this version; returns the databases whose roles were renewed."""
    renewed = []
    with _explained(""):
        for database in {user.database for user in list_users(client, home)}:
            known = {found["role"] for found in client[database].command("rolesInfo", 1)["roles"]}
            for kind in KINDS:
                if kind.role in known:
                    grant_role(client[database], kind, collections)
            renewed.append(database)
    return sorted(renewed)


def list_users(client: MongoClient[dict[str, Any]], home: str) -> list[DatabaseUser]:
    """The database users of the team's database and of the recorders' own ones, by name."""
    with _explained(""):
        found = client.admin.command("usersInfo", {"forAllDBs": True})["users"]
    return sorted(
        (user for each in found for user in _users_of(each, home)), key=lambda user: (user.database, user.name)
    )


def remove_user(client: MongoClient[dict[str, Any]], home: str, name: str) -> DatabaseUser:
    """Take a database user's access away; its runs stay. Connections that it has open end with their next command.

    Raises:
        NoSuchUser: there is none of this name.
    """
    known = [user for user in list_users(client, home) if user.name == name]
    if not known:
        raise NoSuchUser(name)
    with _explained(name):
        client[X509_DATABASE if known[0].is_x509 else known[0].database].command("dropUser", name)
    return known[0]


def _users_of(document: dict[str, Any], home: str) -> Iterator[DatabaseUser]:
    for kind in KINDS:
        for role in document["roles"]:
            ours = role["db"] == home or (kind.own_database and role["db"].startswith(f"{home}_"))
            if ours and role["role"] == (kind.built_in[-1] if kind.built_in else kind.role):
                yield DatabaseUser(document["user"], kind.name, role["db"])


def _is_login(option: str) -> bool:
    name = option.partition("=")[0].lower()
    return name in _LOGIN_OPTIONS or name == _LOGIN_PASSWORD_OPTION


@contextmanager
def _explained(name: str) -> Iterator[None]:
    """What MongoDB says of users, in our errors."""
    from pymongo.errors import OperationFailure

    try:
        yield
    except OperationFailure as error:
        if error.code == USER_EXISTS:
            raise UserExists(name) from error
        if error.code == UNAUTHORIZED:
            raise MayNotMakeUsers((error.details or {}).get("errmsg", "")) from error
        raise
