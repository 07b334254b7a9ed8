"""Talking to an OpenID provider: where it is, which keys it signs with, what it says of who has signed in there."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ...observer.errors import CloisterError
from ...observer.identity_settings import OidcSettings
from .oidc_trust import ALGORITHMS, ProviderFailed, SignInRefused, check_answer, check_claims, check_metadata
from .outside import OutsideIdentity, text, texts

if TYPE_CHECKING:
    from authlib.integrations.requests_client import OAuth2Session

logger = logging.getLogger("cloister")

TIMEOUT_SECONDS = (3, 4)  # to connect, and between two bytes: somebody waits
EXCHANGES = 4  # at once
TURN_SECONDS = 3
METADATA_SECONDS = 3600
FAILURE_SECONDS = 5  # in which nobody waits for a provider that did not answer
KEYS_AGAIN_SECONDS = 60  # a token with an unknown key makes us look for new keys, but not as often as a stranger likes


class OidcMissing(CloisterError, ImportError):
    """[oidc] is configured and Authlib is not installed."""

    def __init__(self) -> None:
        super().__init__("Signing in through OpenID Connect needs Authlib: pip install 'cloister[oidc]'.")


@dataclass(frozen=True)
class SignIn:
    """What one sign-in is known by again: made when somebody leaves for the provider, held by that browser alone.

    Attributes:
        state: comes back in the address; that the browser brought it shows that it began this sign-in itself.
        nonce: comes back in the signed token, which so belongs to this sign-in and no other.
        verifier: shown to the provider with the code (PKCE), so that a stolen code is worth nothing.
    """

    state: str
    nonce: str
    verifier: str


class OidcProvider:
    """The provider of one viewer. Its answers are kept for a while; all methods may be called from any thread."""

    def __init__(self, settings: OidcSettings, redirect_uri: str) -> None:
        self.settings = settings
        self.redirect_uri = redirect_uri
        self._lock = threading.Lock()
        self._metadata: dict[str, Any] | None = None
        self._metadata_until = 0.0
        self._failure: object = None  # why it could not be asked a moment ago
        self._free = threading.BoundedSemaphore(EXCHANGES)
        self._keys: Any = None
        self._keys_asked = float("-inf")

    def address_to_sign_in(self, sign_in: SignIn) -> str:
        """Where the browser goes now.

        Raises:
            ProviderFailed
        """
        metadata = self._load_metadata()
        with self._exchange() as session:
            address, _ = session.create_authorization_url(
                metadata["authorization_endpoint"],
                state=sign_in.state,
                nonce=sign_in.nonce,
                code_verifier=sign_in.verifier,
            )
        return str(address)

    def identify(self, answer: Mapping[str, str], sign_in: SignIn) -> OutsideIdentity:
        """Who has signed in, from the parameters with which the browser came back; `state` has been compared.

        Raises:
            SignInRefused: something in the answer is not as it must be.
            ProviderFailed
        """
        metadata = self._load_metadata()
        check_answer(self.settings, answer, metadata)
        token = self._fetch_token(metadata, answer["code"], sign_in.verifier)
        claims = self._check_id_token(token, sign_in.nonce, metadata)
        claims = self._with_userinfo(claims, token, metadata)
        return self._identity(claims)

    def _fetch_token(self, metadata: Mapping[str, Any], code: str, verifier: str) -> Mapping[str, Any]:
        from authlib.common.errors import AuthlibBaseError

        offered = metadata.get("token_endpoint_auth_methods_supported")
        with self._exchange() as session:
            if isinstance(offered, list) and "client_secret_basic" not in offered and self.settings.client_secret:
                session.token_endpoint_auth_method = "client_secret_post"  # noqa: S105  # the method's name
            try:
                token = session.fetch_token(
                    metadata["token_endpoint"], grant_type="authorization_code", code=code, code_verifier=verifier
                )
            except AuthlibBaseError as error:
                raise SignInRefused(f"The provider did not accept its own code: {text(str(error))}.") from error
            except (OSError, ValueError) as error:
                raise ProviderFailed(self.settings, error) from error
        if not isinstance(token.get("id_token"), str):
            raise SignInRefused("The provider's answer has no ID token.")
        return dict(token)

    def _check_id_token(self, token: Mapping[str, Any], nonce: str, metadata: Mapping[str, Any]) -> dict[str, Any]:
        """The claims of an ID token that this provider signed, for us, now, for this sign-in."""
        from joserfc.errors import JoseError

        try:
            decoded = self._verify_signature(token["id_token"], metadata)
            return check_claims(self.settings, decoded, nonce=nonce, access_token=token.get("access_token"))
        except (JoseError, ValueError, TypeError, KeyError, RecursionError) as error:
            raise SignInRefused(f"The provider's ID token does not hold: {text(str(error)) or 'damaged'}.") from error

    def _verify_signature(self, id_token: str, metadata: Mapping[str, Any]) -> Any:
        from joserfc import jwt
        from joserfc.errors import BadSignatureError, InvalidKeyIdError
        from joserfc.jws import JWSRegistry

        # The list is ours, whatever the token or the provider's metadata names.
        registry = JWSRegistry(algorithms=list(ALGORITHMS), strict_check_header=False)
        try:
            return jwt.decode(id_token, key=self._load_keys(metadata), registry=registry)
        except (InvalidKeyIdError, BadSignatureError):  # it may have begun to sign with a new key
            return jwt.decode(id_token, key=self._load_keys(metadata, again=True), registry=registry)

    def _with_userinfo(
        self, claims: dict[str, Any], token: Mapping[str, Any], metadata: Mapping[str, Any]
    ) -> dict[str, Any]:
        """The claims, with what the provider tells only when asked again, as some do with names and groups."""
        settings = self.settings
        wanted = [settings.name_claim, *([settings.groups_claim] if settings.groups_claim else [])]
        address = metadata.get("userinfo_endpoint")
        if not address or not token.get("access_token") or all(name in claims for name in wanted):
            return claims
        bearer = {"Authorization": f"Bearer {token['access_token']}"}
        with self._exchange() as session:
            more = self._get_json(session, address, headers=bearer)
        if more.get("sub") != claims["sub"]:
            raise SignInRefused("The provider told about somebody else.")
        return {**more, **claims}

    def _identity(self, claims: Mapping[str, Any]) -> OutsideIdentity:
        settings = self.settings
        name = text(claims.get(settings.name_claim))
        if not name:
            raise SignInRefused(f"The provider does not say {settings.name_claim!r}, which names the account.")
        return OutsideIdentity(
            source="oidc",
            subject=f"{settings.issuer}|{claims['sub']}",
            name=name,
            full_name=text(claims.get("name")),
            email=text(claims.get("email")),
            groups=texts(claims.get(settings.groups_claim)),
        )

    def _load_metadata(self) -> dict[str, Any]:
        """Its OpenID configuration, asked once an hour."""
        with self._turn():
            now = time.monotonic()
            if self._failure is not None and now < self._metadata_until:
                raise ProviderFailed(self.settings, self._failure)
            if self._metadata is None or now > self._metadata_until:
                address = f"{self.settings.issuer.rstrip('/')}/.well-known/openid-configuration"
                try:
                    with self._exchange() as session:
                        self._metadata = check_metadata(self.settings, self._get_json(session, address))
                except ProviderFailed as error:
                    self._failure, self._metadata_until = error.reason, time.monotonic() + FAILURE_SECONDS
                    raise
                self._failure, self._metadata_until = None, time.monotonic() + METADATA_SECONDS
            return self._metadata

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """One of those who look at what is kept of the provider, or ask for it."""
        if not self._lock.acquire(timeout=TURN_SECONDS):
            raise ProviderFailed(self.settings, "others wait for it")
        try:
            yield
        finally:
            self._lock.release()

    def _load_keys(self, metadata: Mapping[str, Any], *, again: bool = False) -> Any:
        from joserfc.jwk import KeySet

        with self._turn():
            now = time.monotonic()
            if self._keys is None or (again and now - self._keys_asked > KEYS_AGAIN_SECONDS):
                self._keys_asked = now
                with self._exchange() as session:
                    found: Any = self._get_json(session, metadata["jwks_uri"])
                self._keys = KeySet.import_key_set(found)
            return self._keys

    def _get_json(self, session: OAuth2Session, address: str, **options: Any) -> dict[str, Any]:
        try:
            answer = session.request("GET", address, withhold_token=True, **options)
            if answer.status_code != 200:
                raise ProviderFailed(self.settings, f"it answered {answer.status_code} for {address}")
            found = json.loads(answer.content)
        except (OSError, ValueError, RecursionError) as error:
            if isinstance(error, ProviderFailed):
                raise
            raise ProviderFailed(self.settings, error) from error
        if not isinstance(found, dict):
            raise ProviderFailed(self.settings, f"{address} has no JSON object")
        return found

    @contextmanager
    def _exchange(self) -> Iterator[OAuth2Session]:
        """A session for one exchange; few at once, so that a provider that hangs does not take all our threads."""
        if not self._free.acquire(timeout=TURN_SECONDS):
            raise ProviderFailed(self.settings, "others wait for it")
        try:
            with self._session() as session:
                yield session
        finally:
            self._free.release()

    def _session(self) -> OAuth2Session:
        """Goes nowhere but where it is told, believes no certificate without reason, and hurries."""
        from .oidc_session import ProviderSession

        settings = self.settings
        session: OAuth2Session = ProviderSession(
            client_id=settings.client_id,
            client_secret=settings.client_secret or None,
            scope=" ".join(settings.scopes),
            redirect_uri=self.redirect_uri,
            code_challenge_method="S256",
            default_timeout=TIMEOUT_SECONDS,
        )
        session.trust_env = False  # no proxy, no .netrc, no certificates that a variable names
        session.verify = str(settings.ca_file) if settings.ca_file else True
        return session


def require_authlib() -> None:
    """Raises `OidcMissing` where Authlib or requests is not installed."""
    try:
        from . import oidc_session  # noqa: F401
    except ImportError:
        raise OidcMissing from None
