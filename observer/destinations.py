"""Where what Cloister records goes: every address that the settings name. There are no others in its code."""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from .settings import Settings

DEFAULT_PORT = 27017
# MongoDB in somebody else's building: allowed, and worth a word.
_HOSTED = (".mongodb.net", ".mongodb-dev.net", ".documentdb.amazonaws.com", ".cosmos.azure.com")


@dataclass(frozen=True)
class Destination:
    """A server that something of ours talks to.

    Attributes:
        what: for what, in words.
        host: a name, an address, or the path of a socket.
        encrypted: whether what is sent is protected by TLS.
    """

    what: str
    host: str
    port: int | None
    encrypted: bool

    @property
    def is_here(self) -> bool:
        """Whether it is this machine."""
        address = _as_address(self.host)
        return (
            self.host in ("localhost", "") or self.host.startswith("/") or (address is not None and address.is_loopback)
        )

    @property
    def is_outside(self) -> bool:
        """Whether it is surely no server of one's own network: an address of the internet, or a hosted service."""
        address = _as_address(self.host)
        return self.host.lower().endswith(_HOSTED) or (address is not None and address.is_global)

    @property
    def words(self) -> str:
        place = f"[{self.host}]" if ":" in self.host and not self.host.startswith("/") else self.host
        return f"{place}:{self.port}" if self.port is not None else place

    def addresses(self) -> frozenset[str]:
        """What its name resolves to now; empty where nobody knows."""
        if self.host.startswith("/"):
            return frozenset()
        try:
            return frozenset(str(entry[4][0]) for entry in socket.getaddrinfo(self.host, self.port))
        except OSError:
            return frozenset()


def list_destinations(settings: Settings) -> Iterator[Destination]:
    """Every server that recording and the viewer talk to as they are set up here.

    Raises:
        CloisterError: something that names one cannot be understood.
    """
    if settings.uri is None:
        yield Destination("runs: the embedded database", "127.0.0.1", None, False)
    else:
        yield from _of_uri("runs", settings.uri)
    for further in settings.databases:
        name, scheme, rest = (
            re.split("(mongodb(?:[+]srv)?://)", further, maxsplit=1) if "://" in further else ("", "", "")
        )
        if scheme:  # one without is a database of the first server
            yield from _of_uri(f"further database {name.rstrip('=')}".rstrip(), scheme + rest.partition("#")[0])
    yield from _of_keys(settings)
    yield from _of_identity(settings)


def _of_uri(what: str, uri: str) -> Iterator[Destination]:
    from pymongo import uri_parser
    from pymongo.errors import PyMongoError

    from .mongo import BadMongoUri

    if uri.startswith("mongodb+srv://"):  # asked of DNS when it is connected, and never before
        yield Destination(f"{what}: MongoDB", urlsplit(uri).hostname or "", None, True)
        return
    try:
        parsed = uri_parser.parse_uri(uri, validate=False, warn=False)
    except (PyMongoError, ValueError) as error:
        raise BadMongoUri(uri, error) from None
    encrypted = parsed["options"].get("tls") in (True, "true")
    for host, port in parsed["nodelist"]:
        yield Destination(f"{what}: MongoDB", host, port, encrypted)


def _of_keys(settings: Settings) -> Iterator[Destination]:
    kind, _, address = (settings.keys or "").partition(":")
    parts = urlsplit(address)
    if kind == "vault" and parts.hostname:
        yield Destination("keys: Vault", parts.hostname, parts.port, parts.scheme == "https")


def _of_identity(settings: Settings) -> Iterator[Destination]:
    if settings.identity is None:
        return
    from .identity_file import load_identity

    identity = load_identity(settings.identity)
    if identity.oidc is not None:
        parts = urlsplit(identity.oidc.issuer)
        for host in (parts.hostname or "", *identity.oidc.further_hosts):
            port = parts.port if host == parts.hostname else None
            yield Destination("signing in: OpenID provider", host, port, parts.scheme == "https")
    if identity.ldap is not None:
        parts = urlsplit(identity.ldap.uri)
        yield Destination("signing in: LDAP", parts.hostname or "", parts.port, True)  # nothing is said before StartTLS


def _as_address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None
