"""Wrapping keys in a KMIP server: 96 bytes of secret data for each version of a project's key, as MongoDB has them.

A version is registered under a name, in the project's object group, and activated. Whoever may read it gets it, and
wraps by itself, in MongoDB's own form.
"""

from __future__ import annotations

import os
import re
import socket
import ssl
from typing import Any
from urllib.parse import urlsplit

from . import kmip_messages as kmip
from .data_keys import project_digest
from .key_providers import KeyProviderFailed, KeyState, KeyUnavailable, WrappedSecret
from .kmip_messages import Item, enumeration, structure, text
from .local_wrapping import MASTER_BYTES, NotWrappedByThis, unwrap_key, wrap_key

PORT = 5696
TIMEOUT_SECONDS = 3.0
ANSWER_LIMIT_BYTES = 1024 * 1024
CERTIFICATE, AUTHORITY = "CLOISTER_KMIP_CERTIFICATE", "CLOISTER_KMIP_CA"
_USAGE = 0x04 | 0x08  # encrypt, decrypt
_MASTER = re.compile(r"local:cloister_[0-9a-f]{20}_v[0-9]{1,9}")
_VERSION = re.compile(r"-v([0-9]{1,9})$")


class KmipServer:
    """A KMIP 1.2 server, reached over TLS with a certificate of ours. One connection for each question."""

    kind = "kmip"

    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port
        self.where = f"the KMIP server {host}:{port}"

    @classmethod
    def at(cls, address: str) -> KmipServer:
        """The server at `kmip.lan:5696`.

        Raises:
            KeyProviderFailed: that is no address.
        """
        parts = urlsplit(f"//{address}")
        try:
            port = parts.port or PORT
        except ValueError:
            port = 0
        if not parts.hostname or not port or parts.path or parts.query or parts.username:
            advice = "Write CLOISTER_KEYS=kmip:kmip.lan:5696"
            raise KeyProviderFailed(address, "that is no address of a KMIP server", advice)
        return cls(parts.hostname, port)

    # ---- as every provider

    def find(self, project: str) -> KeyState | None:
        versions = tuple(sorted(self._ids(project)))
        return KeyState(project, versions, None) if versions else None

    def make(self, project: str) -> KeyState:
        return self.find(project) or self._register(project, 1)

    def rotate(self, project: str) -> KeyState:
        state = self.find(project)
        if state is None:
            raise self._missing(project)
        self._register(project, state.newest + 1)
        return KeyState(project, (*state.versions, state.newest + 1), None)

    def drop_old(self, project: str) -> KeyState:
        ids = self._ids(project)
        if not ids:
            raise self._missing(project)
        newest = max(ids)
        for version in sorted(set(ids) - {newest}):
            self._destroy(ids[version])
        return KeyState(project, (newest,), None)

    def forget(self, project: str) -> None:
        for unique_id in self._ids(project).values():
            self._destroy(unique_id)

    def wrap(self, project: str, secret: bytes) -> WrappedSecret:
        ids = self._ids(project)
        if not ids:
            raise self._missing(project)
        newest = max(ids)
        name = f"local:cloister_{project_digest(project)}_v{newest}"
        return WrappedSecret(wrap_key(secret, self._get(ids[newest])), name, newest)

    def unwrap(self, project: str, material: bytes, master: str, version: int) -> bytes:
        if _MASTER.fullmatch(master) is None:
            raise KeyUnavailable(project, "it is wrapped by another provider", "Set CLOISTER_KEYS to that.")
        unique_id = self._ids(project).get(version)
        if unique_id is None:
            raise self._missing(project)
        try:
            return unwrap_key(material, self._get(unique_id))
        except NotWrappedByThis as error:
            raise KeyUnavailable(
                project, f"the key in {self.where} is another one", "Look for the right one."
            ) from error

    # ---- operations

    def _ids(self, project: str) -> dict[int, str]:
        """The unique identifiers of the key's versions."""
        group = kmip.attribute("Object Group", _group(project))
        answer = self._ask(kmip.LOCATE, group)
        found: dict[int, str] = {}
        for item in answer.all(kmip.UNIQUE_IDENTIFIER):
            named = self._ask(kmip.GET_ATTRIBUTES, item, text(kmip.ATTRIBUTE_NAME, "Name"))
            value = named.find(kmip.ATTRIBUTE, kmip.ATTRIBUTE_VALUE, kmip.NAME_VALUE)
            version = _VERSION.search(str(value.value)) if value is not None else None
            if version is not None:
                found[int(version.group(1))] = str(item.value)
        return found

    def _register(self, project: str, version: int) -> KeyState:
        block = structure(
            kmip.KEY_BLOCK,
            enumeration(kmip.KEY_FORMAT_TYPE, kmip.OPAQUE),
            structure(kmip.KEY_VALUE, Item(kmip.KEY_MATERIAL, kmip.BYTES, os.urandom(MASTER_BYTES))),
        )
        described = structure(
            kmip.TEMPLATE_ATTRIBUTE,
            kmip.attribute("Cryptographic Usage Mask", _USAGE),
            kmip.name_attribute(f"{_group(project)}-v{version}"),
            kmip.attribute("Object Group", _group(project)),
        )
        secret = structure(kmip.SECRET_DATA, enumeration(kmip.SECRET_DATA_TYPE, kmip.SEED), block)
        answer = self._ask(kmip.REGISTER, enumeration(kmip.OBJECT_TYPE, kmip.OBJECT_SECRET_DATA), described, secret)
        unique_id = answer.find(kmip.UNIQUE_IDENTIFIER)
        if unique_id is None:
            raise self._failed("it answered with no identifier")
        self._ask(kmip.ACTIVATE, unique_id)
        return KeyState(project, (version,), None)

    def _get(self, unique_id: str) -> bytes:
        answer = self._ask(kmip.GET, text(kmip.UNIQUE_IDENTIFIER, unique_id))
        found = answer.find(kmip.SECRET_DATA, kmip.KEY_BLOCK, kmip.KEY_VALUE, kmip.KEY_MATERIAL)
        if found is None or not isinstance(found.value, bytes) or len(found.value) != MASTER_BYTES:
            raise self._failed("it holds no key of ours under this name")
        return found.value

    def _destroy(self, unique_id: str) -> None:
        named = text(kmip.UNIQUE_IDENTIFIER, unique_id)
        reason = structure(kmip.REVOCATION_REASON, enumeration(kmip.REVOCATION_REASON_CODE, kmip.CESSATION))
        self._ask(kmip.REVOKE, named, reason)  # what is active cannot be destroyed
        self._ask(kmip.DESTROY, named)

    # ---- TLS

    def _ask(self, operation: int, *payload: Item) -> Item:
        """The answer's payload."""
        try:
            with (
                socket.create_connection((self._host, self._port), TIMEOUT_SECONDS) as plain,
                self._context().wrap_socket(plain, server_hostname=self._host) as connection,
            ):
                connection.sendall(kmip.request(operation, *payload))
                answer = kmip.decode(_read_message(connection))
        except (OSError, ValueError, StopIteration) as error:
            raise self._failed(f"it does not answer ({error})") from error
        batch = answer.find(kmip.BATCH_ITEM)
        status = batch.find(kmip.RESULT_STATUS) if batch is not None else None
        if batch is None or status is None or status.value != 0:
            said = batch.find(kmip.RESULT_MESSAGE) if batch is not None else None
            raise self._failed(f"it answered: {str(said.value)[:300] if said is not None else 'nothing'}")
        return batch.find(kmip.RESPONSE_PAYLOAD) or structure(kmip.RESPONSE_PAYLOAD)

    def _context(self) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=os.environ.get(AUTHORITY) or None)
        certificate = os.environ.get(CERTIFICATE)
        if certificate:
            context.load_cert_chain(certificate)
        return context

    def _missing(self, project: str) -> KeyUnavailable:
        return KeyUnavailable(
            project,
            f"{self.where} has none that opens it",
            f"Make one if the project has none: 'cloister keys add {project}'.",
        )

    def _failed(self, reason: str) -> KeyProviderFailed:
        return KeyProviderFailed(self.where, reason, f"Look at the server, and at {CERTIFICATE} and {AUTHORITY}.")


def _read_message(connection: Any) -> bytes:
    data = b""
    wanted = 8
    while len(data) < wanted:
        piece = connection.recv(65536)
        if not piece:
            raise ValueError("it hung up")
        data += piece
        if len(data) >= 8:
            wanted = 8 + int.from_bytes(data[4:8], "big")
            if wanted > ANSWER_LIMIT_BYTES:
                raise ValueError("its answer is too large")
    return data


def _group(project: str) -> str:
    return f"cloister-{project_digest(project)}"
