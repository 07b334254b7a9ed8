"""TLS of the viewer: its certificate and key, checked when they are read (`cloister serve --tls-cert --tls-key`)."""

from __future__ import annotations

import os
import ssl
import stat
from pathlib import Path

from ..observer.errors import CloisterError

# TLS 1.2 with forward secrecy and authenticated encryption only; what TLS 1.3 offers is all of that kind.
CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"


class BadCertificate(CloisterError, ValueError):
    """Certificate or key cannot be used."""

    def __init__(self, certificate: Path, key: Path, reason: str) -> None:
        super().__init__(
            f"--tls-cert {certificate} with --tls-key {key} cannot be used: {reason}. Pass PEM files: the "
            "certificate with its chain, and its key without a password."
        )


class OpenKeyFile(CloisterError, PermissionError):
    """Other accounts of this machine may read the key."""

    def __init__(self, key: Path, mode: int) -> None:
        super().__init__(
            f"The TLS key {key} can be read by other accounts of this machine (mode {mode:04o}). Whoever has it can "
            f"pose as this viewer. Do 'chmod 600 {key}', and make a new key if others may have read it."
        )


class HalfOfTls(CloisterError, ValueError):
    """Only one of certificate and key was given."""

    def __init__(self, given: str, missing: str) -> None:
        super().__init__(f"{given} was given without {missing}. TLS needs both.")


def load_tls(certificate: Path | None, key: Path | None) -> ssl.SSLContext | None:
    """What the server speaks TLS with; None where neither file is given.

    Raises:
        HalfOfTls: one of the two is missing.
        OpenKeyFile: everybody on this machine, or a whole group that is not ours, may read the key.
        BadCertificate: they are not PEM, do not belong together, or cannot be read.
    """
    if certificate is None or key is None:
        if certificate is not None or key is not None:
            raise HalfOfTls(*("--tls-cert", "--tls-key") if key is None else ("--tls-key", "--tls-cert"))
        return None
    try:
        _refuse_open_key(key)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers(CIPHERS)
        context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
        # A password would be asked for on the terminal, where a service has none.
        context.load_cert_chain(certificate, key, password=_refuse_password)
    except OpenKeyFile:
        raise
    except ssl.SSLError as error:
        raise BadCertificate(certificate, key, _words_of(error)) from error
    except OSError as error:
        raise BadCertificate(certificate, key, f"{error.filename or 'it'}: {error.strerror or error}") from error
    except PasswordAsked as error:
        raise BadCertificate(certificate, key, "the key has a password") from error
    return context


class PasswordAsked(ValueError):
    """The key is encrypted."""


def _refuse_password() -> bytes:
    raise PasswordAsked


def _refuse_open_key(key: Path) -> None:
    found = key.stat()
    mode = stat.S_IMODE(found.st_mode)
    if os.name == "posix" and mode & 0o007:  # a group may have it, as Debian's ssl-cert does
        raise OpenKeyFile(key, mode)


def _words_of(error: ssl.SSLError) -> str:
    reason = (error.reason or str(error)).replace("_", " ").lower()
    if "key values mismatch" in reason:
        return "the key is another certificate's"
    return "one of them is not PEM" if "no start line" in reason or "pem lib" in reason else reason
