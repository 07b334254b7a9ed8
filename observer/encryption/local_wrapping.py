"""Wrapping a data key as MongoDB's `local` key provider does: AES-256-CBC with HMAC-SHA-512, by a 96-byte master key.

So a project's stored keys are a key vault that any driver's ClientEncryption opens, given the key file. PyMongo's
library wraps in the same form, and has no call that unwraps.
"""

from __future__ import annotations

import hmac
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers import Cipher
    from cryptography.hazmat.primitives.ciphers.modes import CBC

MASTER_BYTES = 96  # 32 for the HMAC, 32 for AES; the rest is for deterministic encryption, which wraps nothing
_IV_BYTES = 16
_TAG_BYTES = 32
_NO_HEADER = (0).to_bytes(8, "big")  # the length of the data that is authenticated beside the text: none


class NotWrappedByThis(ValueError):
    """A master key is not the one that wrapped something, or what it wrapped was changed."""


def wrap_key(secret: bytes, master_key: bytes) -> bytes:
    from cryptography.hazmat.primitives.padding import PKCS7

    padder = PKCS7(128).padder()
    padded = padder.update(secret) + padder.finalize()
    iv = os.urandom(_IV_BYTES)
    encryptor = _cipher(master_key, iv).encryptor()
    text = iv + encryptor.update(padded) + encryptor.finalize()
    return text + _tag(master_key, text)


def unwrap_key(material: bytes, master_key: bytes) -> bytes:
    """What `wrap_key`, or libmongocrypt, has wrapped.

    Raises:
        NotWrappedByThis: the tag does not fit.
    """
    from cryptography.hazmat.primitives.padding import PKCS7

    text, tag = material[:-_TAG_BYTES], material[-_TAG_BYTES:]
    if len(text) < 2 * _IV_BYTES or len(text) % _IV_BYTES or not hmac.compare_digest(_tag(master_key, text), tag):
        raise NotWrappedByThis
    decryptor = _cipher(master_key, text[:_IV_BYTES]).decryptor()
    padded = decryptor.update(text[_IV_BYTES:]) + decryptor.finalize()
    unpadder = PKCS7(128).unpadder()
    return unpadder.update(padded) + unpadder.finalize()


def _tag(master_key: bytes, text: bytes) -> bytes:
    return hmac.digest(master_key[:32], text + _NO_HEADER, "sha512")[:_TAG_BYTES]


def _cipher(master_key: bytes, iv: bytes) -> Cipher[CBC]:
    from .key_providers import EncryptionMissing

    try:
        from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
    except ImportError as error:
        raise EncryptionMissing("cryptography") from error
    return Cipher(algorithms.AES256(master_key[32:64]), modes.CBC(iv))
