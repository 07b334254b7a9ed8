"""Which ways in from outside a viewer has: bound to its app when it starts, offered by its login page."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from flask import Flask, current_app, has_request_context, request

from ...observer.errors import CloisterError
from ...observer.identity_settings import IdentitySettings, LdapSettings
from ..accounts.current import accounts_of
from . import ldap_directory, oidc_provider
from .outside import admit
from .proxy_header import ProxyHeader
from .proxy_session import open_sessions_for_browsers

if TYPE_CHECKING:
    from pymongo.database import Database

    from ..accounts.users import User

logger = logging.getLogger("cloister")

_EXTENSION = "cloister.identity"
OIDC_PATH = "/login/oidc"
OIDC_BACK_PATH = "/login/oidc/back"


@dataclass(frozen=True)
class OfferedWay:
    """A button on the login page. `path` is below the viewer's root."""

    label: str
    path: str


@dataclass(frozen=True)
class Ways:
    """The ways in from outside of one viewer."""

    settings: IdentitySettings
    provider: oidc_provider.OidcProvider | None = None


def bind_identity(app: Flask, settings: IdentitySettings) -> None:
    """Give `app`, which has accounts, the ways in that `settings` name.

    Raises:
        OidcMissing, LdapMissing: a library for one of them is not installed.
    """
    accounts = accounts_of(app.extensions)
    provider = None
    if settings.oidc is not None:
        oidc_provider.require_authlib()
        provider = oidc_provider.OidcProvider(settings.oidc, settings.address + OIDC_BACK_PATH)
    if settings.ldap is not None:
        ldap_directory.require_ldap()
        accounts.password_checkers.append(LdapPasswords(settings.ldap))
    if settings.proxy is not None:
        accounts.request_identities.append(ProxyHeader(settings.proxy))
        open_sessions_for_browsers(app)
    app.extensions[_EXTENSION] = Ways(settings, provider)


def bound_ways(extensions: Mapping[str, Any]) -> Ways | None:
    """The ways of the app with these `extensions`; None where it has local accounts only."""
    return extensions.get(_EXTENSION)


def offered_ways() -> tuple[OfferedWay, ...]:
    """The ways that the login page of the current app offers beside name and password."""
    ways = bound_ways(current_app.extensions)
    if ways is None or ways.settings.oidc is None:
        return ()
    return (OfferedWay(ways.settings.oidc.label, OIDC_PATH),)


@dataclass(frozen=True)
class LdapPasswords:
    """Checks passwords of people who have no local account."""

    settings: LdapSettings

    def __call__(self, database: Database[dict[str, Any]], name: str, password: str) -> User | None:
        """The account that name and password belong to in the directory; None for whatever is wrong."""
        address = (request.remote_addr or "") if has_request_context() else ""
        try:
            identity = ldap_directory.find_person(self.settings, name, password)
            return None if identity is None else admit(database, identity, self.settings, address=address)
        except CloisterError as error:
            # Whoever stands at the login page hears no more than that it did not work; whoever looks after it, why.
            # The audit log gets its entry from the login page.
            logger.warning("Signing in through LDAP: %s", error)
            return None
