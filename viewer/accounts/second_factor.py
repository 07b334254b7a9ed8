"""The second factor: codes of an authenticator app, each good for once, and recovery codes for when it is lost."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from ...observer.errors import CloisterError
from .server_key import derived_key, seal, unseal
from .users import USERS

if TYPE_CHECKING:
    from pymongo.database import Database

STEP_SECONDS = 30
STEPS_OFF = 1  # a phone's clock may be half a minute off
RECOVERY_CODES = 10
UNCONFIRMED_FOR = timedelta(minutes=30)
ISSUER = "Cloister"
_CODE = re.compile(r"[0-9]{6}")
_RECOVERY_SIGNS = "23456789abcdefghjkmnpqrstuvwxyz"  # none that is mistaken for another
_RECOVERY_LENGTH = 12  # 59 bits; the throttle lets nobody try enough of them


class NoSuchSetUp(CloisterError, LookupError):
    """A second factor is to be confirmed that nobody has begun to set up, or too long ago."""

    def __init__(self) -> None:
        super().__init__("The set-up was begun too long ago. Begin it again: a new code to scan is shown.")


def begin_set_up(database: Database[dict[str, Any]], user: str, *, by: str) -> str:
    """A new secret for `user`, stored but not in force until a code of it was typed.

    Args:
        by: what proves who sets it up, such as the key of a session: the secret is shown to nobody else.
    """
    offered = offered_secret(database, user, by=by)
    if offered is not None:
        return offered
    import pyotp  # only who sets one up

    secret = pyotp.random_base32()
    stored = {"sealed": seal(secret, purpose=_purpose(user)), "at": datetime.now(timezone.utc), "by": by}
    database[USERS].update_one({"_id": user}, {"$set": {"totp_offered": stored}})
    return secret


def offered_secret(database: Database[dict[str, Any]], user: str, *, by: str) -> str | None:
    """The secret that `by` is about to confirm; None where there is none, or it was shown too long ago."""
    document = database[USERS].find_one({"_id": user}, {"totp_offered": 1}) or {}
    offered = document.get("totp_offered") or {}
    if offered.get("by") != by or datetime.now(timezone.utc) - offered["at"] > UNCONFIRMED_FOR:
        return None
    return unseal(offered["sealed"], purpose=_purpose(user))


def confirm_set_up(database: Database[dict[str, Any]], user: str, code: str, *, by: str) -> tuple[str, ...] | None:
    """Put the offered secret in force if `code` is of it; gives the recovery codes, which are shown this once.

    Raises:
        NoSuchSetUp: nothing was offered to `by`, or too long ago.
    """
    secret = offered_secret(database, user, by=by)
    if secret is None:
        raise NoSuchSetUp
    now = datetime.now(timezone.utc)
    step = _matching_step(secret, code, now, after=-1)
    if step is None:
        return None
    factor = {"sealed": seal(secret, purpose=_purpose(user)), "confirmed_at": now, "last_step": step}
    changed = database[USERS].update_one(
        {"_id": user, "totp_offered.by": by}, {"$set": {"totp": factor}, "$unset": {"totp_offered": ""}}
    )
    return new_recovery_codes(database, user) if changed.modified_count else None


def new_recovery_codes(database: Database[dict[str, Any]], user: str) -> tuple[str, ...]:
    """Ten new codes, of which the database has hashes; those of before are void."""
    codes = tuple("".join(secrets.choice(_RECOVERY_SIGNS) for _ in range(_RECOVERY_LENGTH)) for _ in range(10))
    database[USERS].update_one({"_id": user}, {"$set": {"recovery": [_recovery_hash(user, code) for code in codes]}})
    return tuple("-".join((code[:4], code[4:8], code[8:])) for code in codes)


def count_recovery_codes(database: Database[dict[str, Any]], user: str) -> int:
    document = database[USERS].find_one({"_id": user}, {"recovery": 1}) or {}
    return len(document.get("recovery") or ())


def check_code(database: Database[dict[str, Any]], user: str, code: str) -> bool:
    """Whether `code` is a code of the app or a recovery code of `user` that nobody has used. It is used up by this.

    Raises:
        SealBroken, BadServerKey: this viewer cannot know.
    """
    code = re.sub(r"[\s-]", "", code).lower()
    if _CODE.fullmatch(code):
        return _use_code(database, user, code)
    if len(code) != _RECOVERY_LENGTH:
        return False
    used = _recovery_hash(user, code)
    changed = database[USERS].update_one({"_id": user, "recovery": used}, {"$pull": {"recovery": used}})
    return changed.modified_count == 1


def remove_second_factor(database: Database[dict[str, Any]], user: str) -> bool:
    """False if there was none."""
    nothing = {"$set": {"totp": None, "recovery": []}, "$unset": {"totp_offered": ""}}
    changed = database[USERS].update_one({"_id": user, "totp": {"$ne": None}}, nothing)
    return changed.modified_count == 1


def provisioning_uri(user: str, secret: str, *, site: str = "") -> str:
    """What an authenticator app reads from the QR code."""
    import pyotp

    issuer = f"{ISSUER} {site}".strip()
    return pyotp.TOTP(secret).provisioning_uri(name=user, issuer_name=issuer)


def draw_qr_code(text: str) -> Markup:
    """`text` as an SVG element for a page, drawn here. It takes its colours from the page's style."""
    import segno

    code = segno.make(text, error="m")
    size = code.symbol_size(scale=1, border=4)[0]
    path = "".join(
        f"M{x} {y}h1v1h-1z"
        for y, row in enumerate(code.matrix_iter(scale=1, border=4))
        for x, is_dark in enumerate(row)
        if is_dark
    )
    svg = Markup(
        '<svg class="qr-code" viewBox="0 0 {size} {size}" role="img" aria-label="QR code"><path d="{path}"/></svg>'
    )
    return svg.format(size=size, path=path)


def _use_code(database: Database[dict[str, Any]], user: str, code: str) -> bool:
    document = database[USERS].find_one({"_id": user}, {"totp": 1}) or {}
    factor = document.get("totp") or {}
    if not factor.get("confirmed_at"):
        return False
    secret = unseal(factor["sealed"], purpose=_purpose(user))
    step = _matching_step(secret, code, datetime.now(timezone.utc), after=factor["last_step"])
    if step is None:
        return False
    # Of two that come with the same code at the same moment, one is let in.
    used = database[USERS].update_one(
        {"_id": user, "totp.sealed": factor["sealed"], "totp.last_step": {"$lt": step}},
        {"$set": {"totp.last_step": step}},
    )
    return used.modified_count == 1


def _matching_step(secret: str, code: str, now: datetime, *, after: int) -> int | None:
    """Which half minute `code` is of: one around now that is later than the last one used."""
    import pyotp

    totp = pyotp.TOTP(secret)
    this = int(now.timestamp()) // STEP_SECONDS
    found = None
    for step in range(this - STEPS_OFF, this + STEPS_OFF + 1):  # all of them, so that the time tells nothing
        is_right = hmac.compare_digest(totp.generate_otp(step).encode(), code.encode("utf-8", "replace"))
        if is_right and step > after:
            found = step
    return found


def _recovery_hash(user: str, code: str) -> str:
    return hmac.new(derived_key("recovery codes"), f"{user} {code}".encode(), hashlib.sha256).hexdigest()


def _purpose(user: str) -> str:
    return f"second factor of {user}"
