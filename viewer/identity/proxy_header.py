"""People whom a reverse proxy has asked who they are: believed from its addresses, with its secret, else not seen."""

from __future__ import annotations

import hmac
import ipaddress
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from ...observer.audit import record_entry
from ...observer.errors import CloisterError
from ...observer.identity_settings import ProxySettings
from ...observer.policy import STRICTEST, Policy, load_policy
from ..accounts.account_names import plain_name
from ..accounts.users import USERS, User, parse_user
from .outside import MOST_GROUPS, OutsideIdentity, admit, text

if TYPE_CHECKING:
    from pymongo.database import Database

logger = logging.getLogger("cloister")

AGAIN_SECONDS = 60  # how long a change of groups at the proxy, or of the policy, may take to count here
SCRIPT_SECONDS = 12 * 3600
KNOWN_AT_MOST = 10_000


@dataclass
class ProxyHeader:
    """Says who asks, for requests that come from the proxy. Safe from any thread: all that is shared is caches."""

    settings: ProxySettings
    _admitted: dict[OutsideIdentity, float] = field(default_factory=dict)
    _refused: dict[str, float] = field(default_factory=dict)
    _noted: dict[str, float] = field(default_factory=dict)
    _policy: tuple[float, Policy] = (float("-inf"), STRICTEST)

    def __call__(self, headers: Mapping[str, str], peer: str, database: Database[dict[str, Any]]) -> User | None:
        """The account of whom the proxy at `peer` names; None where nobody is named, or it is not the proxy.

        Args:
            peer: who is at the other end of the connection; what X-Forwarded-For says of others does not matter here.
        """
        if self.settings.user_header not in headers or not self._is_proxy(peer, database):
            return None
        secret = headers.get(self.settings.secret_header, "")
        if not hmac.compare_digest(secret.encode("utf-8", "replace"), self.settings.secret.encode()):
            self._refuse(database, peer, "", f"{peer} named somebody in {self.settings.user_header} without the secret")
            return None
        identity = self._identity(headers)
        if identity is None:
            return None
        user = self._known(identity, database) or self._admit(identity, peer, database)
        # A browser's first page opens a session, which is noted there. A script has none.
        if user is not None and "Sec-Fetch-Dest" not in headers:
            self._note_script(user, peer, database)
        return user

    def _is_proxy(self, peer: str, database: Database[dict[str, Any]]) -> bool:
        if not _is_in(peer, self.settings.addresses):
            return False
        policy = self._load_policy(database)
        if policy.require_totp and not self.settings.second_factor:
            reason = (
                "the policy wants a second factor, and [proxy] second_factor does not say that the proxy asks for one"
            )
            self._refuse(database, peer, "", reason)
            return False
        allowed = policy.trusted_proxies
        return not allowed or _is_in(peer, [ipaddress.ip_network(one, strict=False) for one in allowed])

    def _load_policy(self, database: Database[dict[str, Any]]) -> Policy:
        """The site's policy, which may narrow the proxies; one that cannot be understood allows none."""
        read_at, policy = self._policy
        if time.monotonic() - read_at > AGAIN_SECONDS:
            try:
                policy = load_policy(database)
                for one in policy.trusted_proxies:
                    ipaddress.ip_network(one, strict=False)
            except (CloisterError, OSError, ValueError) as error:
                logger.error("%s Until then no proxy is believed.", error)
                policy = replace(STRICTEST, trusted_proxies=("0.0.0.0/32",))  # nobody's
            self._policy = time.monotonic(), policy
        return policy

    def _identity(self, headers: Mapping[str, str]) -> OutsideIdentity | None:
        """Whom the headers name. A header that came twice has a comma, which no name has."""
        settings = self.settings
        name = _decoded(headers.get(settings.user_header, ""))
        if not name:
            return None
        groups = _decoded(headers.get(settings.groups_header, "")) if settings.groups_header else ""
        return OutsideIdentity(
            source="proxy",
            subject=plain_name(name),
            name=name,
            full_name=text(_decoded(headers.get(settings.full_name_header, ""))) if settings.full_name_header else "",
            email=text(_decoded(headers.get(settings.email_header, ""))) if settings.email_header else "",
            groups=frozenset(group.strip() for group in groups.split(",")[:MOST_GROUPS] if group.strip()),
        )

    def _known(self, identity: OutsideIdentity, database: Database[dict[str, Any]]) -> User | None:
        """The account of somebody who was admitted just now with all the same said."""
        if time.monotonic() - self._admitted.get(identity, float("-inf")) > AGAIN_SECONDS:
            return None
        document = database[USERS].find_one({"source": "proxy", "subject": identity.subject})
        user = parse_user(document) if document else None
        return None if user is None or user.is_disabled else user

    def _admit(self, identity: OutsideIdentity, peer: str, database: Database[dict[str, Any]]) -> User | None:
        try:
            user = admit(database, identity, self.settings, address=peer)
        except CloisterError as error:
            self._refuse(database, peer, identity.name, str(error))
            return None
        if len(self._admitted) >= KNOWN_AT_MOST:
            self._admitted.clear()
        self._admitted[identity] = time.monotonic()
        return user

    def _note_script(self, user: User, peer: str, database: Database[dict[str, Any]]) -> None:
        """What a sign-in is for people: once in half a day, for a script asks many times."""
        now = time.monotonic()
        if now - self._noted.get(user.name, float("-inf")) <= SCRIPT_SECONDS:
            return
        if len(self._noted) >= KNOWN_AT_MOST:
            self._noted.clear()
        details = {"how": "proxy, without a session"}
        record_entry(
            database, actor=user.name, action="login", target=f"user {user.name}", details=details, address=peer
        )
        self._noted[user.name] = now

    def _refuse(self, database: Database[dict[str, Any]], peer: str, name: str, reason: str) -> None:
        """Tell the log and the audit log, once a minute each: a proxy may ask many times a second."""
        key, now = f"{peer} {name[:100]}", time.monotonic()
        if now - self._refused.get(key, float("-inf")) <= AGAIN_SECONDS:
            return
        if len(self._refused) >= KNOWN_AT_MOST:
            self._refused.clear()
        self._refused[key] = now
        logger.warning("A proxy's word was not taken: %s", reason.encode("unicode_escape").decode())
        record_entry(
            database,
            actor="",
            action="login-failed",
            target=f"user {name[:100]}" if name else "",
            details={"how": "proxy", "reason": reason},
            address=peer,
        )


def _is_in(address: str, networks: Any) -> bool:
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped is not None:
        found = found.ipv4_mapped  # a server that listens on "::" sees IPv4 neighbours so
    return any(found in network for network in networks)


def _decoded(value: str) -> str:
    """Servers read headers as Latin-1, and proxies write UTF-8."""
    try:
        return value.encode("latin-1").decode("utf-8").strip()
    except UnicodeError:
        return value.strip()
