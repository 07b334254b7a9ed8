"""A real KMIP server, PyKMIP's, at a free port of this machine, and the certificates to speak with it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

SERVE = """
import sys
from kmip.services.server import KmipServer

with KmipServer(config_path=sys.argv[1], log_path=sys.argv[2]) as server:
    server.serve()
"""
CONFIG = """[server]
hostname=127.0.0.1
port={port}
certificate_path={folder}/server.pem
key_path={folder}/server.pem
ca_path={folder}/authority.pem
auth_suite=TLS1.2
policy_path={folder}/policies
enable_tls_client_auth=True
tls_cipher_suites=TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384
logging_level=WARNING
database_path={folder}/kmip.db
"""


@dataclass(frozen=True)
class Kmip:
    """Where it is, and the files that a client needs."""

    address: str
    certificate: Path
    authority: Path


@contextmanager
def running_kmip(folder: Path) -> Iterator[Kmip]:
    authority = _write(folder / "authority.pem", "authority", None, None)
    _write(folder / "server.pem", "server", authority, ExtendedKeyUsageOID.SERVER_AUTH)
    _write(folder / "client.pem", "client", authority, ExtendedKeyUsageOID.CLIENT_AUTH)
    (folder / "policies").mkdir()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    (folder / "server.conf").write_text(CONFIG.format(port=port, folder=folder))
    command = [sys.executable, "-W", "ignore", "-c", SERVE, str(folder / "server.conf"), str(folder / "server.log")]
    with (folder / "output").open("wb") as output:
        server = subprocess.Popen(command, stdout=output, stderr=output, env={**os.environ, "PYTHONPATH": ""})
    try:
        _wait_for(port, server)
        yield Kmip(f"127.0.0.1:{port}", folder / "client.pem", folder / "authority.pem")
    finally:
        server.kill()  # asked to end, it waits ten seconds for its threads
        server.wait(10)


def _wait_for(port: int, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 20
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            assert server.poll() is None, "the KMIP server ended at once"
            assert time.monotonic() < deadline, "the KMIP server did not answer"
            time.sleep(0.05)


def _write(path: Path, name: str, issuer: Any, usage: ObjectIdentifier | None) -> Any:
    """A certificate with its key, for this machine, or an authority that issues some."""
    key = rsa.generate_private_key(65537, 2048)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(timezone.utc)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer[0].subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=usage is None, path_length=None), critical=True)
    )
    if usage is not None:
        here = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
        builder = builder.add_extension(here, critical=False)
        builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
    certificate = builder.sign(issuer[1] if issuer else key, hashes.SHA256())
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path.write_bytes(certificate.public_bytes(Encoding.PEM) + private)
    return certificate, key
