"""How often somebody may try to sign in: counted for each account and address before any password is hashed."""

from __future__ import annotations

import hashlib
import hmac
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

from pymongo.database import Database
from pymongo.errors import DuplicateKeyError

from ...observer.errors import CloisterError
from .account_names import plain_name

ATTEMPTS = "login_attempts"
WINDOW = timedelta(minutes=5)  # so long after the last attempt, or its pause, everything is forgotten
KNOWN_FOR = timedelta(days=30)
PER_ACCOUNT = 5
PER_ADDRESS = 50  # an office behind one address
FIRST_PAUSE_SECONDS = 30
LONGEST_PAUSE_SECONDS = 15 * 60
_TURNS = 50  # of so many attempts at one moment one is first, and soon all of them are paused


class TooManyAttempts(CloisterError, PermissionError):
    """This account or address has tried too often. The same words whether the account exists or not."""

    def __init__(self, seconds: int) -> None:
        self.retry_seconds = seconds
        wait = f"{seconds} seconds" if seconds < 120 else f"{-(-seconds // 60)} minutes"
        super().__init__(f"Too many attempts to sign in. Try again in {wait}; the right password works then, too.")


@dataclass(frozen=True)
class LoginThrottle:
    """Counts attempts in the database, so that several viewers count together.

    An attempt counts before it is checked: a thousand at once are no more than five. Whoever has signed in from an
    address before is counted apart there, so that nobody is locked out of an account by others who guess at it.

    Attributes:
        secret: names are kept as keyed hashes: people type passwords into the field for the name.
    """

    database: Database[dict[str, Any]]
    secret: bytes

    def charge(self, name: str, address: str) -> int:
        """Count an attempt; says how many seconds pass after it before the next one is let through.

        Raises:
            TooManyAttempts: it comes before that; it is not counted.
        """
        pause = self._count(self._account_key(name, address), PER_ACCOUNT)
        return max(pause, self._count(f"address {address}", PER_ADDRESS)) if address else pause

    def succeeded(self, name: str, address: str) -> None:
        """The attempt was right: the account's count begins anew, and the address is known from now on."""
        now = datetime.now(timezone.utc)
        known = self._known_key(name, address)
        self.database[ATTEMPTS].delete_many({"_id": {"$in": [f"{known} attempts", self._stranger_key(name)]}})
        self.database[ATTEMPTS].update_one({"_id": known}, {"$set": {"forget_at": now + KNOWN_FOR}}, upsert=True)
        self.database[ATTEMPTS].update_one(
            {"_id": f"address {address}", "count": {"$gt": 0}}, {"$inc": {"count": -1, "turn": 1}}
        )

    def _count(self, key: str, most: int) -> int:
        """One more for `key`, unless it is made to wait; of attempts at the same moment each is counted."""
        attempts = self.database[ATTEMPTS]
        for _ in range(_TURNS):
            now = datetime.now(timezone.utc)
            known = attempts.find_one({"_id": key})
            if known is not None and _is_paused(known, now):
                raise TooManyAttempts(_seconds_until(known["paused_until"], now))
            counted = _counted(known or {}, now, most)
            if known is None:
                with suppress(DuplicateKeyError):  # another attempt was the first: this one is the second
                    attempts.insert_one({"_id": key, **counted})
                    return _pause_after(counted)
            elif attempts.update_one({"_id": key, "turn": known["turn"]}, {"$set": counted}).matched_count:
                return _pause_after(counted)
        raise TooManyAttempts(FIRST_PAUSE_SECONDS)

    def _account_key(self, name: str, address: str) -> str:
        known = self._known_key(name, address)
        found = self.database[ATTEMPTS].find_one({"_id": known, "forget_at": {"$gt": datetime.now(timezone.utc)}})
        return f"{known} attempts" if found else self._stranger_key(name)

    def _known_key(self, name: str, address: str) -> str:
        return f"known {self._hash(f'{plain_name(name)} from {address}')}"

    def _stranger_key(self, name: str) -> str:
        return f"account {self._hash(plain_name(name))}"

    def _hash(self, text: str) -> str:
        return hmac.new(self.secret, text.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()[:32]


def _is_paused(known: dict[str, Any], now: datetime) -> bool:
    return known["paused_until"] is not None and known["paused_until"] > now


def _counted(known: dict[str, Any], now: datetime, most: int) -> dict[str, Any]:
    """The counter with one attempt more. From the one numbered `most` on each is followed by a pause, which doubles."""
    count = 1 if not known or _is_forgotten(known, now) else known["count"] + 1
    pause = min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2 ** min(count - most, 20)) if count >= most else None
    return {
        "turn": known.get("turn", 0) + 1,
        "count": count,
        "last_at": now,
        "paused_until": None if pause is None else now + timedelta(seconds=pause),
        "forget_at": now + timedelta(hours=1),
    }


def _pause_after(counted: dict[str, Any]) -> int:
    paused_until = counted["paused_until"]
    return 0 if paused_until is None else _seconds_until(paused_until, counted["last_at"])


def _is_forgotten(known: dict[str, Any], now: datetime) -> bool:
    since: datetime = known["paused_until"] or known["last_at"]
    return now - since > WINDOW


def _seconds_until(then: datetime, now: datetime) -> int:
    return max(1, -int((now - then).total_seconds() // 1))
