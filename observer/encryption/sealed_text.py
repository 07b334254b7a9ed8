"""Console text: each piece by itself under AES-256-GCM, bound to its run and its stream."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from .data_keys import DataKey
from .field_cipher import DamagedValue
from .key_providers import EncryptionMissing

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_NONCE_BYTES = 12  # at random: a run's key would have to encrypt 2**32 pieces before two are likely to share one
_TAG_BYTES = 16
OVERHEAD_BYTES = _NONCE_BYTES + _TAG_BYTES


class TextCipher:
    """Encrypts and decrypts the console of one run, by a key of its own. Thread-safe; a fork shares it."""

    def __init__(self, key: DataKey, run_uid: bytes) -> None:
        """
        Args:
            run_uid: the 16 bytes of the run's uid.
        """
        self._cipher = gcm(key.derived("console", run_uid))

    def encrypt(self, stream: str, text: str) -> bytes:
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, text.encode("utf-8", "replace"), stream.encode())

    def decrypt(self, stream: str, sealed: bytes) -> str:
        """The text.

        Raises:
            DamagedValue: it was changed, or is not of this run and stream.
        """
        from cryptography.exceptions import InvalidTag

        try:
            plain = self._cipher.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], stream.encode())
        except (InvalidTag, ValueError) as error:
            raise DamagedValue("a piece of the console is not what its key has written") from error
        return plain.decode("utf-8", "replace")


def gcm(key: bytes) -> AESGCM:
    """AES-256-GCM under `key`."""
    try:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    except ImportError as error:
        raise EncryptionMissing("cryptography") from error
    return AESGCM(key)
