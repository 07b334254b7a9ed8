"""A small Vault: the part of the transit engine's HTTP API that its documentation gives for keys and for encryption."""

from __future__ import annotations

import base64
import binascii
import json
import os
import re
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

TOKEN = "hvs.for-the-tests-only"
FIRST_SECOND = 1_790_000_000
_WRAPPED = re.compile(r"vault:v([0-9]+):(.+)")


class Refused(Exception):
    def __init__(self, status: int, reason: str = "") -> None:
        self.status, self.reason = status, reason


@dataclass
class TransitKey:
    versions: dict[int, bytes] = field(default_factory=lambda: {1: os.urandom(32)})
    lowest: int = 1
    deletion_allowed: bool = False

    @property
    def latest(self) -> int:
        return max(self.versions)


@dataclass
class Transit:
    """The engine's state, and what was asked of it.

    Attributes:
        denied: paths that the token's policy does not allow, as "METHOD path".
    """

    url: str = ""
    keys: dict[str, TransitKey] = field(default_factory=dict)
    asked: list[tuple[str, str, dict[str, Any]]] = field(default_factory=list)
    denied: set[str] = field(default_factory=set)

    def answer(self, method: str, path: str, body: dict[str, Any]) -> dict[str, Any] | None:
        self.asked.append((method, path, body))
        what, _, rest = path.partition("/")
        name, _, act = rest.partition("/")
        if f"{method} {what}" in self.denied:
            raise Refused(403, "permission denied")
        if what == "keys" and not act:
            return self._key(method, name, body)
        key = self.keys.get(name)
        if what == "encrypt" and method == "POST":
            key = key or self.keys.setdefault(name, TransitKey())  # with a policy that allows to create, as here
            return {"ciphertext": self._encrypt(key, body), "key_version": key.latest}
        if key is None:
            raise Refused(400, "encryption key not found")
        if what == "decrypt" and method == "POST":
            return {"plaintext": self._decrypt(key, body)}
        return self._change(key, act, body)

    def _key(self, method: str, name: str, body: dict[str, Any]) -> dict[str, Any] | None:
        if method == "POST":
            if body.get("type") != "aes256-gcm96":
                raise Refused(400, "unknown key type")
            self.keys.setdefault(name, TransitKey())
            return None
        key = self.keys.get(name)
        if key is None:
            raise Refused(404)
        if method == "DELETE":
            if not key.deletion_allowed:
                raise Refused(400, "deletion is not allowed for this key")
            del self.keys[name]
            return None
        times = {str(version): FIRST_SECOND + version for version in key.versions}
        return {"name": name, "keys": times, "latest_version": key.latest, "min_decryption_version": key.lowest}

    def _change(self, key: TransitKey, act: str, body: dict[str, Any]) -> None:
        if act == "rotate":
            key.versions[key.latest + 1] = os.urandom(32)
        elif act == "config":
            key.deletion_allowed = body.get("deletion_allowed", key.deletion_allowed)
            key.lowest = body.get("min_decryption_version", key.lowest)
        elif act == "trim":
            if body["min_available_version"] > key.lowest:
                raise Refused(400, "cannot set minimum available version to a higher value than the lowest usable one")
            key.versions = {each: raw for each, raw in key.versions.items() if each >= body["min_available_version"]}
        else:
            raise Refused(404)

    def _encrypt(self, key: TransitKey, body: dict[str, Any]) -> str:
        nonce = os.urandom(12)
        plain, bound = (
            base64.b64decode(body.get(name, ""), validate=True) for name in ("plaintext", "associated_data")
        )
        sealed = nonce + AESGCM(key.versions[key.latest]).encrypt(nonce, plain, bound)
        return f"vault:v{key.latest}:{base64.b64encode(sealed).decode()}"

    def _decrypt(self, key: TransitKey, body: dict[str, Any]) -> str:
        found = _WRAPPED.fullmatch(str(body.get("ciphertext")))
        if found is None:
            raise Refused(400, "invalid ciphertext: no prefix")
        version, sealed = int(found.group(1)), base64.b64decode(found.group(2))
        if version < key.lowest or version not in key.versions:
            raise Refused(400, "ciphertext or signature version is disallowed by policy (too old)")
        try:
            bound = base64.b64decode(body.get("associated_data", ""))
            plain = AESGCM(key.versions[version]).decrypt(sealed[:12], sealed[12:], bound)
        except InvalidTag:
            raise Refused(400, "cipher: message authentication failed") from None
        return base64.b64encode(plain).decode()


@contextmanager
def running_transit(certificate: Path | None = None) -> Iterator[Transit]:
    """The engine at a free port of this machine, mounted at `transit`, for one token.

    Args:
        certificate: a PEM file with a certificate and its key; served over TLS then.
    """
    transit = Transit()

    class Handler(BaseHTTPRequestHandler):
        def _handle(self) -> None:
            try:
                data = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                if self.headers.get("X-Vault-Token") != TOKEN:
                    raise Refused(403, "permission denied")
                if not self.path.startswith("/v1/transit/"):
                    raise Refused(404, f"no handler for route {self.path!r}")
                answer = transit.answer(self.command, self.path[len("/v1/transit/") :], json.loads(data or b"{}"))
            except Refused as refusal:
                self._send(refusal.status, {"errors": [refusal.reason] if refusal.reason else []})
            except (ValueError, KeyError, binascii.Error) as error:
                self._send(400, {"errors": [str(error)]})
            else:
                self._send(204, None) if answer is None else self._send(200, {"request_id": "1", "data": answer})

        def _send(self, status: int, body: dict[str, Any] | None) -> None:
            data = b"" if body is None else json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = do_DELETE = _handle  # noqa: N815 - the library's names

        def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002 - the library's name
            return None

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    transit.url = f"http://127.0.0.1:{server.server_address[1]}/transit"
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
        transit.url = transit.url.replace("http:", "https:")
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield transit
    finally:
        server.shutdown()
        thread.join(10)
        server.server_close()
