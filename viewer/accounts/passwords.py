"""Passwords as argon2id hashes, two at a time (THREATS R14)."""

from __future__ import annotations

import secrets
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from threading import BoundedSemaphore, Lock
from typing import TYPE_CHECKING

from ...observer.errors import CloisterError

if TYPE_CHECKING:
    from argon2 import PasswordHasher

MEMORY_KIB = 19 * 1024  # with two passes and one lane the least that OWASP advises
PASSES = 2
LANES = 1
AT_ONCE = 2
WAITING_AT_MOST = 10  # fewer than the threads that answer requests: the others still get their pages
WAIT_SECONDS = 3.0
LONGEST_PASSWORD = 128  # longer ones are refused before they cost anything; none is ever cut


class TooManyLogins(CloisterError, BlockingIOError):
    """More passwords wait to be checked than can be checked soon."""

    retry_seconds = 5

    def __init__(self) -> None:
        super().__init__(f"Many people sign in at this moment. Try again in {self.retry_seconds} seconds.")


class HashingGate:
    """Lets `AT_ONCE` hashes through, so that a flood of logins takes neither the memory nor all processors."""

    def __init__(self) -> None:
        self._free = BoundedSemaphore(AT_ONCE)
        self._lock = Lock()
        self._waiting = 0

    @contextmanager
    def passed(self) -> Iterator[None]:
        """Raises `TooManyLogins` when too many wait already, or for too long."""
        with self._lock:
            if self._waiting >= WAITING_AT_MOST:
                raise TooManyLogins
            self._waiting += 1
        try:
            if not self._free.acquire(timeout=WAIT_SECONDS):
                raise TooManyLogins
        finally:
            with self._lock:
                self._waiting -= 1
        try:
            yield
        finally:
            self._free.release()


_GATE = HashingGate()


def hash_password(password: str) -> str:
    """The argon2id hash to store. Whether the password is good enough is for `password_policy` to say."""
    with _GATE.passed():
        return _hasher().hash(_plain(password))


def verify_password(stored: str | None, password: str) -> bool:
    """Whether `password` belongs to `stored`. Takes as long for None: an account that does not exist, or has none."""
    from argon2.exceptions import InvalidHashError, VerificationError

    if len(password) > LONGEST_PASSWORD:
        password = password[:LONGEST_PASSWORD] + "\0too long"  # no stored password holds it: never right, never slow
    with _GATE.passed():
        try:
            _hasher().verify(stored or _hash_of_nobody(), _plain(password))
        except (VerificationError, InvalidHashError):
            return False
    return stored is not None


def is_outdated(stored: str) -> bool:
    """Whether `stored` was made with weaker parameters than today's."""
    return _hasher().check_needs_rehash(stored)


@cache
def _hasher() -> PasswordHasher:
    from argon2 import PasswordHasher  # spares `cloister token` and the pages the library

    return PasswordHasher(time_cost=PASSES, memory_cost=MEMORY_KIB, parallelism=LANES)


@cache
def _hash_of_nobody() -> str:
    return _hasher().hash(secrets.token_urlsafe(32))


def _plain(password: str) -> bytes:
    """The same bytes for the same password, whichever keyboard composed its accents. All of them count."""
    return unicodedata.normalize("NFKC", password).encode("utf-8", "surrogatepass")
