"""Share links: what each opens, for how long, and who made it. Only a hash of what stands in the link is stored."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any, Literal, get_args

from ..observer.access.principal import Principal
from ..observer.errors import CloisterError
from ..observer.policy import Policy, load_policy

if TYPE_CHECKING:
    from pymongo.database import Database

    from ..observer.run_record import RunId, RunRecord

COLLECTION = "shares"
ShareKind = Literal["run", "chart", "artifact"]
KINDS: tuple[ShareKind, ...] = get_args(ShareKind)
SHORTEST_DAYS = 1 / 24
DEFAULT_DAYS = 7
KEY_BYTES = 6
_SECRET_BYTES = 32
_NOTE_LIMIT = 200


class LinksNotAllowed(CloisterError, ValueError):
    """The site's policy has no share links."""

    status = 403

    def __init__(self) -> None:
        super().__init__(
            "This site makes no share links: its policy says share_links = false. Give the people an account, or share "
            "the run with those who have one."
        )


class BadShare(CloisterError, ValueError):
    """A link was asked for that cannot be made."""


@dataclass(frozen=True)
class Share:
    """One link.

    Attributes:
        id: SHA-256 of the secret in its address; `key` is what people and addresses call it by.
        database: the path of the database, "" for the first one.
        what: the metric or the artifact's key, by `kind`; "" for a run.
        title: what it opens, in words.
        made_by: an account; "" for whoever ran the viewer without accounts.
    """

    id: str
    key: str
    kind: ShareKind
    database: str
    run_id: RunId
    project: str
    what: str
    title: str
    note: str
    made_by: str
    made_at: datetime
    expires_at: datetime
    revoked_at: datetime | None = None
    uses: int = 0
    last_used_at: datetime | None = None

    def is_open(self, now: datetime | None = None) -> bool:
        return self.revoked_at is None and (now or datetime.now(timezone.utc)) < self.expires_at

    @property
    def state(self) -> Literal["open", "revoked", "expired"]:
        if self.revoked_at is not None:
            return "revoked"
        return "open" if self.is_open() else "expired"

    def principal(self) -> Principal:
        """Whoever has the link: nobody by name, who sees this one run; which part of it, share_scope.py says."""
        return Principal("", "share", scopes=frozenset({"read"}), run_id=self.run_id)


def make_share(
    database: Database[dict[str, Any]],
    run: RunRecord,
    *,
    key: str,
    kind: ShareKind,
    what: str,
    title: str,
    days: float,
    note: str,
    made_by: str,
    place: str,
) -> tuple[Share, str]:
    """Store a link and give it with its secret, which nobody can be told again.

    Raises:
        LinksNotAllowed: the policy has none.
        BadShare: it would hold longer than the policy allows, or not at all.
    """
    policy = load_policy(database)
    if not policy.share_links:
        raise LinksNotAllowed
    check_days(days, policy)
    secret = secrets.token_urlsafe(_SECRET_BYTES)
    now = datetime.now(timezone.utc).replace(microsecond=0)
    share = Share(
        id=hash_secret(secret),
        key=key,
        kind=kind,
        database=place,
        run_id=run.id,
        project=run.project,
        what=what,
        title=title[:_NOTE_LIMIT],
        note=note.strip()[:_NOTE_LIMIT],
        made_by=made_by,
        made_at=now,
        expires_at=now + timedelta(days=days),
    )
    database[COLLECTION].insert_one(_to_document(share))
    return share, secret


def check_days(days: float, policy: Policy) -> None:
    if not SHORTEST_DAYS <= days <= policy.share_link_days:
        raise BadShare(f"A link holds from an hour to {policy.share_link_days:g} days here, and not {days:g} days.")


def find_share(database: Database[dict[str, Any]], secret: str) -> Share | None:
    """The link that this secret is of, open or not."""
    document = database[COLLECTION].find_one({"_id": hash_secret(secret)})
    return _from_document(document) if document else None


def find_by_key(database: Database[dict[str, Any]], key: str) -> Share | None:
    document = database[COLLECTION].find_one({"key": {"$eq": key}})
    return _from_document(document) if document else None


def list_shares(
    database: Database[dict[str, Any]],
    *,
    made_by: str | None = None,
    run_id: RunId = None,
    place: str | None = None,
    most: int = 500,
) -> tuple[Share, ...]:
    """Links, the newest first; those of one person, or of one run."""
    condition: dict[str, Any] = {}
    if made_by is not None:
        condition["made_by"] = {"$eq": made_by}
    if place is not None:
        condition |= {"run_id": {"$eq": run_id}, "database": {"$eq": place}}
    found = database[COLLECTION].find(condition, sort=[("made_at", -1)], limit=most)
    return tuple(_from_document(document) for document in found)


def revoke_share(database: Database[dict[str, Any]], share: Share) -> None:
    """Nobody gets in by it from the next request on."""
    now = datetime.now(timezone.utc)
    database[COLLECTION].update_one({"_id": share.id, "revoked_at": None}, {"$set": {"revoked_at": now}})


def count_use(database: Database[dict[str, Any]], share: Share) -> None:
    now = datetime.now(timezone.utc)
    database[COLLECTION].update_one({"_id": share.id}, {"$inc": {"uses": 1}, "$set": {"last_used_at": now}})


def hash_secret(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "replace")).hexdigest()


def _to_document(share: Share) -> dict[str, Any]:
    return {"_id": share.id, **{name: value for name, value in vars(share).items() if name != "id"}}


def _from_document(document: dict[str, Any]) -> Share:
    values = {name: document.get(name) for name in Share.__dataclass_fields__ if name != "id"}
    values["uses"] = values["uses"] or 0
    return Share(id=document["_id"], **values)  # type: ignore[arg-type]  # as `_to_document` wrote it
