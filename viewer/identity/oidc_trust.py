"""What of an OpenID provider's words is believed: its configuration, its answer, the claims of its ID token."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from typing import Any
from urllib.parse import urlsplit

from ...observer.errors import CloisterError
from ...observer.identity_settings import OidcSettings
from .outside import text

LEEWAY_SECONDS = 60  # between its clock and ours
OLDEST_TOKEN_SECONDS = 600  # a token that was issued for this sign-in is fresh
# What only the holder of a private key can sign. With HS256 the client's secret could, and "none" anybody.
ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519")
ENDPOINTS = ("authorization_endpoint", "token_endpoint", "jwks_uri", "userinfo_endpoint")


class ProviderFailed(CloisterError, ConnectionError):
    """The provider does not answer, or with something that no provider says. Nobody is let in then."""

    def __init__(self, settings: OidcSettings, reason: object) -> None:
        self.reason = reason
        super().__init__(f"The OpenID provider {settings.issuer} could not be asked: {reason}.")


class SignInRefused(CloisterError, PermissionError):
    """What came back from the provider does not prove who somebody is."""


def check_metadata(settings: OidcSettings, metadata: dict[str, Any]) -> dict[str, Any]:
    """The provider's own configuration, if it is that of this provider and leads nowhere else.

    Raises:
        ProviderFailed: it is another provider's, or names a host that is not among those in the identity file.
    """
    if metadata.get("issuer") != settings.issuer:
        raise ProviderFailed(
            settings, f"it calls itself {text(metadata.get('issuer'))!r}; [oidc] issuer must be the same text"
        )
    own = urlsplit(settings.issuer)
    hosts = {own.hostname, *settings.further_hosts}
    for name in ENDPOINTS:
        address = metadata.get(name)
        if address is None and name == "userinfo_endpoint":
            continue
        if not _is_at(text(address, limit=2000), own.scheme, hosts):
            raise ProviderFailed(
                settings,
                f"its {name} is {text(address)!r}, which is on no host of [oidc] issuer and further_hosts",
            )
    return metadata


def _is_at(address: str, scheme: str, hosts: Collection[str | None]) -> bool:
    try:
        parts = urlsplit(address)
    except ValueError:
        return False
    return parts.scheme == scheme and parts.hostname in hosts


def check_answer(settings: OidcSettings, answer: Mapping[str, str], metadata: Mapping[str, Any]) -> None:
    """The parameters with which a browser came back say that its sign-in at this provider worked.

    Raises:
        SignInRefused: it did not, or the answer is another provider's.
    """
    issuer = answer.get("iss")  # RFC 9207: another provider's answer cannot be passed off as this one's
    if issuer != settings.issuer and (
        issuer is not None or metadata.get("authorization_response_iss_parameter_supported") is True
    ):
        raise SignInRefused("The answer comes from another provider.")
    if "error" in answer:
        said = text(answer.get("error_description") or answer["error"])
        raise SignInRefused(f"The provider said: {said}.")
    if not answer.get("code"):
        raise SignInRefused("The provider's answer has no code.")


def check_claims(settings: OidcSettings, decoded: Any, *, nonce: str, access_token: Any) -> dict[str, Any]:
    """The claims of an ID token whose signature was checked, if they are for us, now, and for this sign-in.

    Raises:
        SignInRefused: they name nobody, or are old.
        JoseError, TypeError, ValueError, KeyError: something else in them is not as it must be.
    """
    from authlib.oidc.core import CodeIDToken

    options = {
        "iss": {"essential": True, "value": settings.issuer},
        "aud": {"essential": True, "value": settings.client_id},
        "nonce": {"essential": True, "value": nonce},
    }
    parameters = {"nonce": nonce, "client_id": settings.client_id, "access_token": access_token}
    claims = CodeIDToken(decoded.claims, decoded.header, options, parameters)
    claims.validate(leeway=LEEWAY_SECONDS)
    if not isinstance(claims["sub"], str) or not 0 < len(claims["sub"]) <= 255:
        raise SignInRefused("The provider's ID token names nobody.")
    if claims["iat"] < time.time() - OLDEST_TOKEN_SECONDS:
        raise SignInRefused("The provider's ID token is an old one.")
    return dict(claims)
