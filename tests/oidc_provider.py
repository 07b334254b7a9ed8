"""An OpenID provider on this machine, over TLS: the server part of Authlib, which can be told to cheat."""

from __future__ import annotations

import base64
import hmac
import json
import logging
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from authlib.integrations.flask_oauth2 import AuthorizationServer
from authlib.oauth2.rfc6749.grants import AuthorizationCodeGrant
from authlib.oauth2.rfc7636 import CodeChallenge
from authlib.oidc.core import OpenIDCode, UserInfo
from flask import Flask, Response, jsonify, request
from joserfc import jwt
from joserfc.jwk import RSAKey
from tls_certificates import Authority
from werkzeug.serving import make_server

CLIENT_ID = "cloister"
CLIENT_SECRET = "a secret with : and & in it"

Claims = dict[str, Any]


@dataclass
class Client:
    """The one client that the provider knows."""

    redirect_uri: str

    def get_client_id(self) -> str:
        return CLIENT_ID

    def check_redirect_uri(self, redirect_uri: str) -> bool:
        return redirect_uri == self.redirect_uri

    def get_default_redirect_uri(self) -> None:
        return None

    def get_allowed_scope(self, scope: str) -> str:
        return scope

    def check_client_secret(self, secret: str) -> bool:
        return secret == CLIENT_SECRET

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
        return method == "client_secret_basic"

    def check_response_type(self, kind: str) -> bool:
        return kind == "code"

    def check_grant_type(self, kind: str) -> bool:
        return kind == "authorization_code"


@dataclass
class Code:
    """A code that was given out."""

    code: str
    redirect_uri: str
    scope: str
    nonce: str | None
    code_challenge: str | None
    code_challenge_method: str | None

    def get_redirect_uri(self) -> str:
        return self.redirect_uri

    def get_scope(self) -> str:
        return self.scope

    def get_nonce(self) -> str | None:
        return self.nonce

    def get_auth_time(self) -> int:
        return int(time.time())

    def get_acr(self) -> None:
        return None

    def get_amr(self) -> None:
        return None


@dataclass
class OidcProvider:
    """A running provider, at which `person` has signed in.

    Attributes:
        forge: makes the ID token from its honest claims; None for the honest one.
        metadata, userinfo: what these endpoints say beside or instead of what they should.
        names_keys: whether its tokens say which key they are signed with.
        answer: what is added to the address with which it sends the browser back.
        asked: the paths that were asked, in order.
    """

    issuer: str
    ca: str
    client: Client
    person: Claims = field(default_factory=dict)
    forge: Callable[[Claims], str] | None = None
    metadata: Claims = field(default_factory=dict)
    userinfo: Claims = field(default_factory=dict)
    answer: dict[str, str] = field(default_factory=dict)
    names_keys: bool = True
    key: RSAKey = field(default_factory=lambda: RSAKey.generate_key(2048, {"kid": "first", "use": "sig"}))
    codes: dict[str, Code] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def be_honest(self) -> None:
        self.forge = None
        self.names_keys = True
        self.person = {"sub": "1001", "preferred_username": "ana", "name": "Ana Silva", "email": "ana@lab.example"}
        for told in (self.metadata, self.userinfo, self.answer, self.asked):
            told.clear()

    def sign(self, claims: Claims, *, key: RSAKey | None = None) -> str:
        key = key or self.key
        return jwt.encode({"alg": "RS256", "kid": key.kid}, claims, key, ["RS256"])

    def honest_metadata(self) -> Claims:
        return {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/authorize",
            "token_endpoint": f"{self.issuer}/token",
            "jwks_uri": f"{self.issuer}/keys",
            "userinfo_endpoint": f"{self.issuer}/userinfo",
            "id_token_signing_alg_values_supported": ["none", "HS256", "RS256"],  # what it claims opens nothing
        }


@contextmanager
def running_provider(authority: Authority, redirect_uri: str) -> Iterator[OidcProvider]:
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    app = Flask("provider")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.server("oidc"))
    server = make_server("127.0.0.1", 0, app, threaded=True, ssl_context=context)
    provider = OidcProvider(f"https://localhost:{server.port}/realms/lab", str(authority.ca), Client(redirect_uri))
    provider.be_honest()
    _add_endpoints(app, provider)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield provider
    finally:
        server.shutdown()
        thread.join(10)
        server.server_close()


def _add_endpoints(app: Flask, provider: OidcProvider) -> None:
    authorization = AuthorizationServer(
        app, query_client=lambda name: provider.client if name == CLIENT_ID else None, save_token=lambda *_: None
    )
    authorization.register_grant(_grant_of(provider), [_openid_of(provider), CodeChallenge(required=True)])

    @app.before_request
    def note() -> None:
        provider.asked.append(request.path.removeprefix("/realms/lab"))

    @app.get("/realms/lab/.well-known/openid-configuration")
    def configuration() -> Response:
        return jsonify({**provider.honest_metadata(), **provider.metadata})

    @app.get("/realms/lab/authorize")
    def authorize() -> Response:
        grant = authorization.get_consent_grant(end_user=provider.person)
        response: Response = authorization.create_authorization_response(grant=grant, grant_user=provider.person)
        for name, value in provider.answer.items():
            response.headers["Location"] += f"&{name}={value}"
        return response

    @app.post("/realms/lab/token")
    def token() -> Response:
        answer: Response = authorization.create_token_response()
        return answer

    @app.get("/realms/lab/keys")
    def keys() -> Response:
        return jsonify({"keys": [provider.key.as_dict(private=False)]})

    @app.get("/realms/lab/userinfo")
    def userinfo() -> Response:
        assert request.headers["Authorization"].startswith("Bearer ")
        return jsonify({**provider.person, **provider.userinfo})


def _grant_of(provider: OidcProvider) -> type[AuthorizationCodeGrant]:
    class Grant(AuthorizationCodeGrant):  # type: ignore[misc]
        def save_authorization_code(self, code: str, given: Any) -> None:
            data = given.payload.data
            provider.codes[code] = Code(
                code,
                given.payload.redirect_uri,
                given.payload.scope,
                data.get("nonce"),
                data.get("code_challenge"),
                data.get("code_challenge_method"),
            )

        def query_authorization_code(self, code: str, client: Client) -> Code | None:
            return provider.codes.get(code)

        def delete_authorization_code(self, code: Code) -> None:
            del provider.codes[code.code]

        def authenticate_user(self, code: Code) -> Claims:
            return provider.person

    return Grant


def _openid_of(provider: OidcProvider) -> OpenIDCode:
    class OpenId(OpenIDCode):  # type: ignore[misc]
        def exists_nonce(self, nonce: str, given: Any) -> bool:
            return any(code.nonce == nonce for code in provider.codes.values())

        def resolve_client_private_key(self, client: Client) -> RSAKey:
            return provider.key

        def get_encode_header(self, client: Client) -> Claims:
            return {"alg": "RS256", **({"kid": provider.key.kid} if provider.names_keys else {})}

        def get_client_claims(self, client: Client) -> Claims:
            return {"iss": provider.issuer}

        def generate_user_info(self, user: Claims, scope: str) -> UserInfo:
            return UserInfo(**user)

        def process_token(self, grant: Any, response: Any) -> Any:
            token = super().process_token(grant, response)
            if provider.forge is not None:
                honest = jwt.decode(token["id_token"], provider.key).claims
                token["id_token"] = provider.forge(honest)
            return token

    return OpenId(require_nonce=True)


def unsigned(claims: Claims, algorithm: str = "none") -> str:
    """A token with no signature that says so."""
    return f"{_part({'alg': algorithm})}.{_part(claims)}."


def hmac_signed(claims: Claims, secret: bytes) -> str:
    """A token by HS256, made by hand: libraries refuse to sign with what is no secret."""
    text = f"{_part({'alg': 'HS256', 'kid': 'first'})}.{_part(claims)}"
    return f"{text}.{_encoded(hmac.digest(secret, text.encode(), 'sha256'))}"


def _part(value: Claims) -> str:
    return _encoded(json.dumps(value).encode())


def _encoded(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


@cache
def _another_key() -> RSAKey:
    return RSAKey.generate_key(2048)


def stranger(kid: str = "first") -> RSAKey:
    """A key that is not the provider's, by default with the provider's key id."""
    return RSAKey.import_key({**_another_key().as_dict(private=True), "kid": kid})
