"""Wrapping keys in HashiCorp Vault's transit engine (or OpenBao's): they are made there, and never leave it.

Of the API: `POST keys/NAME`, `GET keys/NAME`, `POST keys/NAME/rotate`, `POST keys/NAME/config`, `POST keys/NAME/trim`,
`DELETE keys/NAME`, `POST encrypt/NAME`, `POST decrypt/NAME`.
"""

from __future__ import annotations

import base64
import binascii
import http.client
import json
import os
import re
import ssl
from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from .data_keys import project_digest
from .key_providers import KeyProviderFailed, KeyState, KeyUnavailable, WrappedSecret

TIMEOUT_SECONDS = 3.0  # a training waits for it at its start
ANSWER_LIMIT_BYTES = 1024 * 1024
MASTER = "vault-transit"
TOKEN_FILE = "VAULT_TOKEN_FILE"  # noqa: S105 - the name of a variable
_WRAPPED = re.compile(rb"vault:v([0-9]{1,9}):")
_LOOPBACK = ("127.0.0.1", "::1", "localhost")


class VaultTransit:
    """The transit engine of one Vault, at its mount path. The token is read anew for each request: agents renew it."""

    kind = "vault"

    def __init__(self, host: str, port: int | None, mount: str, *, is_tls: bool, namespace: str = "") -> None:
        self._host, self._port, self._is_tls = host, port, is_tls
        self._mount = mount
        self._namespace = namespace
        self.where = f"the Vault at {host}{f':{port}' if port else ''}/{mount}"

    @classmethod
    def at(cls, address: str) -> VaultTransit:
        """The engine at `https://vault.lan:8200/transit`.

        Raises:
            KeyProviderFailed: that is no address, or the way there is not encrypted.
        """
        parts = urlsplit(address)
        try:
            port = parts.port
        except ValueError:
            port = -1
        if parts.scheme not in ("https", "http") or not parts.hostname or port == -1 or parts.query or parts.username:
            advice = "Write CLOISTER_KEYS=vault:https://vault.lan:8200/transit"
            raise KeyProviderFailed(f"{parts.scheme}://{parts.hostname}", "that is no address of a Vault", advice)
        if parts.scheme == "http" and parts.hostname not in _LOOPBACK:
            raise KeyProviderFailed(address, "keys would pass the network unencrypted", "Use its https:// address.")
        mount = parts.path.strip("/") or "transit"
        namespace = os.environ.get("VAULT_NAMESPACE", "")
        return cls(parts.hostname, port, mount, is_tls=parts.scheme == "https", namespace=namespace)

    # ---- as every provider

    def find(self, project: str) -> KeyState | None:
        answer = self._ask("GET", f"keys/{_name(project)}", missing_is_none=True)
        return None if answer is None else _state(project, answer)

    def make(self, project: str) -> KeyState:
        found = self.find(project)
        if found is None:
            self._ask("POST", f"keys/{_name(project)}", {"type": "aes256-gcm96", "exportable": False})
            found = self.find(project)
        return found or KeyState(project, (1,), None)

    def rotate(self, project: str) -> KeyState:
        if self.find(project) is None:
            raise self._missing(project)
        self._ask("POST", f"keys/{_name(project)}/rotate", {})
        found = self.find(project)
        assert found is not None
        return found

    def drop_old(self, project: str) -> KeyState:
        found = self.find(project)
        if found is None:
            raise self._missing(project)
        newest = {"min_decryption_version": found.newest, "min_encryption_version": found.newest}
        self._ask("POST", f"keys/{_name(project)}/config", newest)
        self._ask("POST", f"keys/{_name(project)}/trim", {"min_available_version": found.newest})
        return KeyState(project, (found.newest,), found.made_at)

    def forget(self, project: str) -> None:
        if self.find(project) is None:
            return
        self._ask("POST", f"keys/{_name(project)}/config", {"deletion_allowed": True})
        self._ask("DELETE", f"keys/{_name(project)}")

    def wrap(self, project: str, secret: bytes) -> WrappedSecret:
        # The engine would make a key that is missing, and so would bring back one that was forgotten.
        if self.find(project) is None:
            raise self._missing(project)
        body = {"plaintext": base64.b64encode(secret).decode(), "associated_data": _bound_to(project)}
        answer = self._ask("POST", f"encrypt/{_name(project)}", body)
        wrapped = str((answer or {}).get("ciphertext") or "").encode()
        found = _WRAPPED.match(wrapped)
        if found is None:
            raise self._failed("it answered with no ciphertext")
        return WrappedSecret(wrapped, MASTER, int(found.group(1)))

    def unwrap(self, project: str, material: bytes, master: str, version: int) -> bytes:
        if master != MASTER:
            raise KeyUnavailable(project, "it is wrapped by a key file", "Set CLOISTER_KEYS to the path of that file.")
        body = {"ciphertext": material.decode("ascii", "replace"), "associated_data": _bound_to(project)}
        answer = self._ask("POST", f"decrypt/{_name(project)}", body, missing_is_none=True, refused_is_none=True)
        if answer is None:
            raise self._missing(project)
        try:
            return base64.b64decode(str(answer.get("plaintext") or ""), validate=True)
        except binascii.Error as error:
            raise self._failed("it answered with no plaintext") from error

    # ---- HTTP

    def _ask(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        missing_is_none: bool = False,
        refused_is_none: bool = False,
    ) -> dict[str, Any] | None:
        """The answer's `data`. Never follows a redirect, uses no proxy, sends the token to this host alone."""
        headers = {"X-Vault-Token": self._token(), "X-Vault-Request": "true", "Content-Type": "application/json"}
        if self._namespace:
            headers["X-Vault-Namespace"] = self._namespace
        connection = self._connection()
        try:
            data = None if body is None else json.dumps(body)
            connection.request(method, f"/v1/{quote(self._mount)}/{path}", data, headers)
            answer = connection.getresponse()
            text = answer.read(ANSWER_LIMIT_BYTES)
        except (OSError, http.client.HTTPException) as error:
            raise self._failed(f"it does not answer ({error})") from error
        finally:
            connection.close()
        if answer.status == 404 and missing_is_none:
            return None
        if answer.status == 400 and refused_is_none:  # no such key, an old version, a changed ciphertext: all the same
            return None
        if answer.status >= 300:
            raise self._failed(f"it answered {answer.status} {_errors(text)}".rstrip())
        return _data(text)

    def _connection(self) -> http.client.HTTPConnection:
        if not self._is_tls:
            return http.client.HTTPConnection(self._host, self._port, timeout=TIMEOUT_SECONDS)
        try:
            context = ssl.create_default_context(cafile=os.environ.get("VAULT_CACERT") or None)
        except OSError as error:
            raise self._failed(f"VAULT_CACERT cannot be read ({error})") from error
        return http.client.HTTPSConnection(self._host, self._port, timeout=TIMEOUT_SECONDS, context=context)

    def _token(self) -> str:
        token = os.environ.get("VAULT_TOKEN", "")
        path = Path(os.environ.get(TOKEN_FILE) or "~/.vault-token").expanduser()
        try:
            token = token or path.read_text(encoding="ascii").strip()
        except (OSError, ValueError) as error:
            advice = f"Set VAULT_TOKEN, or {TOKEN_FILE} to a file that an agent keeps."
            raise KeyProviderFailed(self.where, f"there is no token in {path}", advice) from error
        if not token.isprintable() or not token:
            raise KeyProviderFailed(self.where, "the token is no token", "Log in to the Vault again.")
        return token

    def _missing(self, project: str) -> KeyUnavailable:
        return KeyUnavailable(
            project,
            f"{self.where} has no {_name(project)} that opens it",
            f"Make one if the project has none: 'cloister keys add {project}'.",
        )

    def _failed(self, reason: str) -> KeyProviderFailed:
        return KeyProviderFailed(self.where, reason, "Look at the Vault and at what its policy lets the token do.")


def _name(project: str) -> str:
    """A project's key in the Vault: readable, and unlike any other project's."""
    readable = re.sub(r"[^a-z0-9]+", "-", project.lower()).strip("-")[:40]
    return f"cloister-{readable}-{project_digest(project)}" if readable else f"cloister-{project_digest(project)}"


def _bound_to(project: str) -> str:
    return base64.b64encode(f"cloister data key of {project}".encode("utf-8", "surrogatepass")).decode()


def _state(project: str, data: Mapping[str, Any]) -> KeyState:
    times = {int(version): when for version, when in (data.get("keys") or {}).items() if str(version).isdecimal()}
    lowest = data.get("min_decryption_version") or 1
    versions = tuple(sorted(version for version in times if version >= lowest)) or (
        int(data.get("latest_version") or 1),
    )
    first = times.get(min(times)) if times else None
    made_at = datetime.fromtimestamp(first, timezone.utc) if isinstance(first, (int, float)) else None
    return KeyState(project, versions, made_at)


def _data(text: bytes) -> dict[str, Any]:
    try:
        stored = json.loads(text) if text.strip() else {}
    except ValueError:
        return {}
    data = stored.get("data") if isinstance(stored, dict) else None
    return data if isinstance(data, dict) else {}


def _errors(text: bytes) -> str:
    try:
        errors = json.loads(text).get("errors") or []
    except (ValueError, AttributeError):
        return ""
    return "; ".join(str(error) for error in errors)[:300]
