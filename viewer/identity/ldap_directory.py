"""Asking an LDAP server whose password it is: search, then sign in there as the one who was found (THREATS R20)."""

from __future__ import annotations

import logging
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ...observer.errors import CloisterError
from ...observer.identity_settings import LdapSettings
from .outside import OutsideIdentity

if TYPE_CHECKING:
    from ldap.ldapobject import LDAPObject

logger = logging.getLogger("cloister")

TIMEOUT_SECONDS = 3  # for each answer: somebody waits in front of the login page
AT_ONCE = 4  # a directory that hangs must not take all threads of the viewer
LONGEST_NAME = 256
LONGEST_PASSWORD = 1024

Attributes = dict[str, list[bytes]]

_FREE = threading.BoundedSemaphore(AT_ONCE)


class DirectoryFailed(CloisterError, ConnectionError):
    """The LDAP server could not be asked. Nobody is let in then."""

    def __init__(self, settings: LdapSettings, reason: object) -> None:
        super().__init__(
            f"The LDAP server {settings.uri} could not be asked: {reason}. Local accounts can sign in meanwhile; "
            "docs/identity.md says how to look for the cause."
        )


class LdapMissing(CloisterError, ImportError):
    """[ldap] is configured and python-ldap is not installed."""

    def __init__(self) -> None:
        super().__init__(
            "Signing in through LDAP needs python-ldap: pip install 'cloister[ldap]' (on Debian after apt-get install "
            "gcc python3-dev libldap2-dev libsasl2-dev)."
        )


def require_ldap() -> None:
    """Raises `LdapMissing` where python-ldap is not installed."""
    try:
        import ldap  # noqa: F401
    except ImportError:
        raise LdapMissing from None


def find_person(settings: LdapSettings, name: str, password: str) -> OutsideIdentity | None:
    """Who signs in with this name and password; None when either is wrong.

    Raises:
        DirectoryFailed: the server does not answer, cannot be trusted, or refuses to be searched.
    """
    import ldap

    # An empty password is an "unauthenticated bind", which servers answer with success for every name (RFC 4513).
    if not password or not name or len(name) > LONGEST_NAME or len(password) > LONGEST_PASSWORD or "\0" in name:
        return None
    if not _FREE.acquire(timeout=TIMEOUT_SECONDS):
        raise DirectoryFailed(settings, "others wait for it")
    try:
        with _searching(settings) as searcher:
            found = _search_person(searcher, settings, name)
            # For an unknown name somebody who does not exist signs in, so that both cost the same.
            dn = found[0] if found else f"cn={secrets.token_hex(8)},{settings.user_base}"
            if not _can_sign_in(settings, dn, password) or found is None:
                return None
            return _identity(settings, *found, _groups_of(searcher, settings, *found))
    except ldap.LDAPError as error:
        raise DirectoryFailed(settings, _reason(error)) from error
    finally:
        _FREE.release()


def check_directory(settings: LdapSettings) -> str:
    """Nothing when the server can be searched, else why not. For `cloister doctor` and the start of the viewer."""
    import ldap

    try:
        with _searching(settings) as searcher:
            searcher.search_ext_s(settings.user_base, ldap.SCOPE_BASE, "(objectClass=*)", ["1.1"])
    except (ldap.LDAPError, DirectoryFailed) as error:
        return str(DirectoryFailed(settings, _reason(error)))
    return ""


@contextmanager
def _connected(settings: LdapSettings) -> Iterator[LDAPObject]:
    """A connection over which nothing was said before TLS stood and the server had proved who it is."""
    import ldap

    connection = ldap.initialize(settings.uri)
    connection.set_option(ldap.OPT_PROTOCOL_VERSION, 3)
    connection.set_option(ldap.OPT_REFERRALS, 0)  # it would go, with the password, wherever the answer says
    connection.set_option(ldap.OPT_NETWORK_TIMEOUT, TIMEOUT_SECONDS)
    connection.set_option(ldap.OPT_TIMEOUT, TIMEOUT_SECONDS)
    connection.set_option(ldap.OPT_X_TLS_REQUIRE_CERT, ldap.OPT_X_TLS_DEMAND)
    connection.set_option(ldap.OPT_X_TLS_PROTOCOL_MIN, ldap.OPT_X_TLS_PROTOCOL_TLS1_2)
    if settings.ca_file is not None:
        connection.set_option(ldap.OPT_X_TLS_CACERTFILE, str(settings.ca_file))
    connection.set_option(ldap.OPT_X_TLS_NEWCTX, 0)  # last: only this makes the options above count
    try:
        if settings.uri.startswith("ldap://"):
            connection.start_tls_s()
        yield connection
    finally:
        connection.unbind_ext_s()


@contextmanager
def _searching(settings: LdapSettings) -> Iterator[LDAPObject]:
    with _connected(settings) as connection:
        if settings.bind_dn:
            connection.simple_bind_s(settings.bind_dn, settings.bind_password)
        yield connection


def _can_sign_in(settings: LdapSettings, dn: str, password: str) -> bool:
    """On a connection of its own: the searcher's rights must not end with a stranger's attempt, nor begin with it."""
    import ldap

    with _connected(settings) as connection:
        try:
            connection.simple_bind_s(dn, password)
        except (ldap.INVALID_CREDENTIALS, ldap.NO_SUCH_OBJECT, ldap.INAPPROPRIATE_AUTH):
            return False
        except (ldap.UNWILLING_TO_PERFORM, ldap.CONSTRAINT_VIOLATION, ldap.INSUFFICIENT_ACCESS):
            return False  # locked, expired, or an entry that nobody signs in as
        # A server that did not check the password says "nobody" here.
        return bool(connection.whoami_s())


def _search_person(searcher: LDAPObject, settings: LdapSettings, name: str) -> tuple[str, Attributes] | None:
    """The one entry with this name; None when there is none, or more than one."""
    import ldap
    from ldap.filter import escape_filter_chars

    filter_text = settings.user_filter.replace("{name}", escape_filter_chars(name))
    wanted = [
        settings.name_attribute,
        settings.full_name_attribute,
        settings.email_attribute,
        settings.id_attribute,
        settings.member_of_attribute,
    ]
    found = _entries(searcher, settings.user_base, filter_text, [one for one in wanted if one], ldap.SCOPE_SUBTREE, 2)
    if len(found) > 1:
        logger.warning("LDAP has several entries for the name %r, so none of them is let in. Narrow user_filter.", name)
    return found[0] if len(found) == 1 else None


def _groups_of(searcher: LDAPObject, settings: LdapSettings, dn: str, person: Attributes) -> frozenset[str]:
    """The names of the groups that have the person as a member; DNs where they come from `member_of_attribute`."""
    import ldap
    from ldap.filter import escape_filter_chars

    if not settings.group_base:
        return frozenset(_decoded(person.get(settings.member_of_attribute, ())))
    filter_text = settings.group_filter.replace("{dn}", escape_filter_chars(dn))
    attribute = settings.group_name_attribute
    found = _entries(searcher, settings.group_base, filter_text, [attribute], ldap.SCOPE_SUBTREE, 0)
    return frozenset(name for _, group in found for name in _decoded(group.get(attribute, ())))


def _entries(
    searcher: LDAPObject, base: str, filter_text: str, attributes: list[str], scope: int, limit: int
) -> list[tuple[str, Attributes]]:
    import ldap

    try:
        found = searcher.search_ext_s(base, scope, filter_text, attributes, sizelimit=limit, timeout=TIMEOUT_SECONDS)
    except ldap.SIZELIMIT_EXCEEDED:
        return [("", {})] * (limit + 1)  # more than anybody wants
    # Entries without a DN are referrals, which are not followed. Attribute names come in the server's spelling.
    asked = {name.lower(): name for name in attributes}
    return [
        (dn, {asked.get(name.lower(), name): values for name, values in entry.items()}) for dn, entry in found if dn
    ]


def _identity(settings: LdapSettings, dn: str, person: Attributes, groups: frozenset[str]) -> OutsideIdentity:
    subject = _subject(person.get(settings.id_attribute, []))
    names = _decoded(person.get(settings.name_attribute, ()))
    if not subject or not names:
        lacking = settings.id_attribute if not subject else settings.name_attribute
        raise DirectoryFailed(settings, f"the entry {dn!r} has no readable {lacking}")
    return OutsideIdentity(
        source="ldap",
        subject=subject,
        name=names[0],
        full_name=_first(person, settings.full_name_attribute),
        email=_first(person, settings.email_attribute),
        groups=groups,
    )


def _subject(values: list[bytes]) -> str:
    """The identity as text: entryUUID is one, objectGUID of Active Directory is 16 bytes."""
    if not values:
        return ""
    try:
        return values[0].decode("ascii") if values[0].isascii() and len(values[0]) != 16 else values[0].hex()
    except UnicodeDecodeError:
        return values[0].hex()


def _first(person: Attributes, attribute: str) -> str:
    return next(iter(_decoded(person.get(attribute, ()))), "")[:300]


def _decoded(values: Any) -> list[str]:
    return [value.decode("utf-8", "replace") for value in values]


def _reason(error: BaseException) -> str:
    """What libldap says, as one line."""
    said = error.args[0] if error.args else error
    if isinstance(said, dict):
        return ", ".join(str(said[key]) for key in ("desc", "info") if said.get(key)) or str(said)
    return str(said)
