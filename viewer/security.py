"""What every answer carries and what every request must satisfy: headers, Host, Origin (THREATS R13, R17, R18)."""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from flask import Flask, Response, request

from ..observer.errors import CloisterError
from .errors_page import Problem, render_problem

CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'self'",
        "script-src 'self'",
        "style-src 'self' 'unsafe-inline'",  # Bokeh writes inline styles into its shadow roots
        "img-src 'self' data: blob:",
        "connect-src 'self'",
        "object-src 'none'",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    )
)

SECURITY_HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",  # with "no-referrer", our own forms would be sent with "Origin: null"
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=(), browsing-topics=()",
    "Cache-Control": "no-store",
}

STRICT_TRANSPORT = "max-age=31536000"  # a year of TLS only; without subdomains, which may be other people's

LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
_EXTENSION = "cloister.host_rule"
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_OWN_FETCH_SITES = frozenset({"same-origin", "none"})  # "none": typed into the address bar or opened from a bookmark


class BadHostName(CloisterError, ValueError):
    """A name that the viewer is to be reached by is not a host's name."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"--allowed-host {name!r} is not a host name. Pass the name from the address bar, such as tracker.lab, "
            "without http:// and path."
        )


@dataclass(frozen=True)
class HostRule:
    """Which Host headers are ours. Another site's name that resolves to our address (DNS rebinding) is not.

    Attributes:
        names: lower-case host names and addresses, without port and brackets.
        any_address: take every address written in digits. Right for a server that listens on all addresses: only a
            name can be rebound, so an address in digits is always what the person meant.
    """

    names: frozenset[str] = LOOPBACK_NAMES
    any_address: bool = False

    def allows(self, host_header: str | None) -> bool:
        name = parse_host_name(host_header)
        if name is None:
            return False
        return name in self.names or (self.any_address and is_address(name))


def host_rule(*, bound: str = "127.0.0.1", allowed_hosts: Collection[str] = ()) -> HostRule:
    """The rule for a server that listens on `bound` and is also known by the names `allowed_hosts`.

    Raises:
        BadHostName: one of them is not a name.
    """
    extra = {bound.lower()}
    for given in allowed_hosts:
        name = given.strip() if is_address(given.strip()) else parse_host_name(given.strip())
        if name is None:
            raise BadHostName(given)
        extra.add(name.lower())
    wildcard = is_address(bound) and ipaddress.ip_address(bound).is_unspecified
    return HostRule(names=LOOPBACK_NAMES | extra, any_address=wildcard)


def parse_host_name(host_header: str | None) -> str | None:
    """The name in a Host header, lower case, without port, brackets and the root's dot; None if it is not one."""
    if not host_header or any(character in host_header for character in "/\\@?# \t,"):
        return None
    try:
        parts = urlsplit(f"//{host_header}")
        _ = parts.port  # raises for a port that is not a number
    except ValueError:
        return None
    return parts.hostname.rstrip(".") if parts.hostname else None


def is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def find_refusal(
    *,
    method: str,
    host: str | None,
    origin: str | None,
    fetch_site: str | None,
    rule: HostRule,
    own_page_only: bool,
    scheme: str = "http",
) -> Problem | None:
    """Why this request is not answered, or None.

    Args:
        scheme: what the browser spoke, as far as is known; behind a proxy of which nobody told us, "http".
        own_page_only: the answer is for our own pages alone although the method is safe (the live stream).
    """
    if not rule.allows(host):
        return Problem(
            421,
            "This address is not one of this viewer's",
            f"The request was sent to the host {host or ''!r}. Open the viewer by the address that 'cloister serve' "
            f"printed, or start it with --allowed-host {parse_host_name(host) or 'NAME'}.",
        )
    if method in SAFE_METHODS and not own_page_only:
        return None
    if fetch_site is not None and fetch_site not in _OWN_FETCH_SITES:
        return _foreign_page(f"from a page of another site (Sec-Fetch-Site: {fetch_site})")
    # A page that came by plain HTTP may be anybody's between here and there.
    if origin is not None and (not _same_host(origin, host) or (scheme == "https" and not origin.startswith("https:"))):
        return _foreign_page(f"from a page of {origin!r}")
    return None


def _foreign_page(sender: str) -> Problem:
    return Problem(
        403,
        "Only this viewer's own pages may do that",
        f"The request came {sender}. Open the viewer itself and do it there.",
    )


def _same_host(origin: str, host: str | None) -> bool:
    """Whether an Origin names the host and port that were asked. The scheme may differ: a proxy may end TLS."""
    try:
        parts = urlsplit(origin)
        _ = parts.port
    except ValueError:
        return False
    if parts.scheme not in ("http", "https"):  # "null" of a sandboxed frame lands here
        return False
    default_port = {"http": ":80", "https": ":443"}[parts.scheme]
    return (host or "").lower().removesuffix(default_port) == parts.netloc.lower().removesuffix(default_port)


def bound_rule(extensions: dict[str, Any]) -> HostRule:
    """The rule of the app with these `extensions`."""
    rule: HostRule = extensions[_EXTENSION]
    return rule


def find_write(method: str) -> Problem | None:
    """Why a viewer that only reads does not answer this method, or None."""
    if method in SAFE_METHODS:
        return None
    return Problem(
        403,
        "This viewer only reads",
        f"It was started with --read-only, so {method} changes nothing here. Do it in a viewer that may write.",
    )


def headers_for(scheme: str) -> dict[str, str]:
    """What every answer to a request by `scheme` carries. Over plain HTTP browsers rightly ignore the last one."""
    transport = {"Strict-Transport-Security": STRICT_TRANSPORT} if scheme == "https" else {}
    return {**SECURITY_HEADERS, **transport}


def protect(app: Flask, rule: HostRule, *, read_only: bool = False) -> None:
    """Put the checks before and the headers behind every request of `app`."""
    app.extensions[_EXTENSION] = rule

    @app.before_request
    def refuse_foreign_requests() -> Response | None:
        problem = find_refusal(
            method=request.method,
            host=request.headers.get("Host"),
            origin=request.headers.get("Origin"),
            fetch_site=request.headers.get("Sec-Fetch-Site"),
            rule=rule,
            own_page_only=False,
            scheme=request.scheme,
        )
        if problem is None and read_only:
            problem = find_write(request.method)
        return None if problem is None else render_problem(problem)

    @app.after_request
    def add_security_headers(response: Response) -> Response:
        for name, value in headers_for(request.scheme).items():
            response.headers.setdefault(name, value)
        if any(word in response.headers["Cache-Control"] for word in ("no-store", "private")):
            response.vary.add("Cookie")  # for caches that keep even what they are told not to
        return response
