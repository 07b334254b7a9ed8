"""Which proxies may say for whom they ask: declared by address, and nobody else is believed (THREATS R13, R20)."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ..observer.errors import CloisterError

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

PEER_KEY = "cloister.peer"  # in the WSGI environment: who is at the other end of the connection, whatever headers say
FORWARDED_LIMIT = 20  # hops that are looked at; nobody has as many proxies
WIDEST_IPV4_PREFIX, WIDEST_IPV6_PREFIX = 8, 16  # 10.0.0.0/8 is the widest network that one organisation has


class BadProxyAddress(CloisterError, ValueError):
    """What was given as a trusted proxy is none."""

    def __init__(self, given: str, reason: str) -> None:
        super().__init__(
            f"--trusted-proxy {given!r} {reason}. Pass the address from which the proxy connects, such as 10.0.0.5, or "
            "its network, such as 10.0.0.0/29. Whoever connects from there may say who is asking."
        )


@dataclass(frozen=True)
class Sender:
    """For whom a request is made. `scheme` is what the browser spoke: "http" or "https"."""

    address: str
    scheme: str


@dataclass(frozen=True)
class TrustedProxies:
    """The networks whose X-Forwarded-For and X-Forwarded-Proto count."""

    networks: tuple[Network, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.networks)

    def includes(self, address: str) -> bool:
        """Whether a connection from `address` is a declared proxy's."""
        found = _parse_address(address)
        return found is not None and any(found in network for network in self.networks)

    def sender(self, peer: str, scheme: str, headers: Mapping[str, str]) -> Sender:
        """Who asks, for a request that came from `peer` by `scheme`. Headers of anyone but a proxy say nothing."""
        if not self.includes(peer):
            return Sender(peer, scheme)
        said = headers.get("X-Forwarded-Proto", "").rpartition(",")[2].strip().lower()
        return Sender(
            self._client(peer, headers.get("X-Forwarded-For", "")), said if said in ("http", "https") else scheme
        )

    def _client(self, peer: str, forwarded_for: str) -> str:
        """The nearest hop that is no proxy of ours: what stands left of it was written by whoever it is."""
        nearest = peer
        for text in reversed(forwarded_for.split(",")[-FORWARDED_LIMIT:]):
            address = _parse_address(text.strip())
            if address is None:
                return nearest
            nearest = str(address)
            if not self.includes(nearest):
                return nearest
        return nearest


NO_PROXIES = TrustedProxies()


def parse_trusted_proxies(given: Iterable[str]) -> TrustedProxies:
    """Proxies as people name them: an address or a network each.

    Raises:
        BadProxyAddress: one is neither, or as good as everybody.
    """
    return TrustedProxies(tuple(_parse_network(text) for text in given))


def _parse_network(text: str) -> Network:
    try:
        network = ipaddress.ip_network(text.strip())
    except ValueError as error:
        raise BadProxyAddress(text, f"is no address and no network ({error})") from None
    widest = WIDEST_IPV4_PREFIX if network.version == 4 else WIDEST_IPV6_PREFIX
    if network.prefixlen < widest:
        raise BadProxyAddress(text, f"takes in {network.num_addresses:,} addresses, which is no proxy")
    return network


def _parse_address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        found = ipaddress.ip_address(text)
    except ValueError:
        return None
    # A server that listens on "::" sees IPv4 neighbours as ::ffff:10.0.0.5.
    return (found.ipv4_mapped or found) if isinstance(found, ipaddress.IPv6Address) else found
