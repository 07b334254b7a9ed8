"""A certificate authority of the tests' own, and certificates by it."""

from __future__ import annotations

import ipaddress
from datetime import datetime, timedelta, timezone
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID


class Authority:
    """Signs certificates into `folder`; its own is `ca`."""

    def __init__(self, folder: Path, name: str = "Lab CA") -> None:
        folder.mkdir(exist_ok=True)
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        certificate = self._build(self._name, self._key).add_extension(x509.BasicConstraints(True, None), True)
        certificate = certificate.add_extension(
            x509.KeyUsage(*[False] * 5, key_cert_sign=True, crl_sign=True, encipher_only=False, decipher_only=False),
            True,
        )
        self.ca = folder / "ca.pem"
        self.ca.write_bytes(self._signed(certificate))

    def server(self, name: str = "server") -> tuple[Path, Path]:
        """Certificate and key of a server at 127.0.0.1."""
        names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
        return self._make(name, [(NameOID.COMMON_NAME, "localhost")], ExtendedKeyUsageOID.SERVER_AUTH, names)

    def client(self, name: str) -> tuple[Path, str]:
        """One file with certificate and key, as MongoDB wants it, and the subject by RFC 2253."""
        subject = [(NameOID.ORGANIZATION_NAME, "Lab"), (NameOID.ORGANIZATIONAL_UNIT_NAME, "people")]
        subject.append((NameOID.COMMON_NAME, name))
        certificate, key = self._make(f"client-{name}", subject, ExtendedKeyUsageOID.CLIENT_AUTH, [])
        return both(certificate, key), f"CN={name},OU=people,O=Lab"

    def _make(
        self, name: str, subject: list[tuple[x509.ObjectIdentifier, str]], use: x509.ObjectIdentifier, names: list
    ) -> tuple[Path, Path]:
        key = ec.generate_private_key(ec.SECP256R1())
        whole = x509.Name([x509.NameAttribute(kind, text) for kind, text in subject])
        built = self._build(whole, key).add_extension(x509.ExtendedKeyUsage([use]), False)
        if names:
            built = built.add_extension(x509.SubjectAlternativeName(names), False)
        certificate_path, key_path = self._folder / f"{name}.pem", self._folder / f"{name}.key"
        certificate_path.write_bytes(self._signed(built))
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        key_path.write_bytes(private)
        key_path.chmod(0o600)
        return certificate_path, key_path

    def _build(self, subject: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
        now = datetime.now(timezone.utc)
        return x509.CertificateBuilder(
            issuer_name=self._name,
            subject_name=subject,
            public_key=key.public_key(),
            serial_number=x509.random_serial_number(),
            not_valid_before=now - timedelta(hours=1),
            not_valid_after=now + timedelta(days=1),
        )

    def _signed(self, certificate: x509.CertificateBuilder) -> bytes:
        return certificate.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def both(certificate: Path, key: Path) -> Path:
    """Certificate and key in one file, for MongoDB."""
    path = certificate.with_name(f"{certificate.stem}-both.pem")
    path.write_bytes(certificate.read_bytes() + key.read_bytes())
    path.chmod(0o600)
    return path
