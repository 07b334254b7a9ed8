"""Making and revoking share links, for the page and the REST API alike: checked, written into the audit log, done."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from ..observer.errors import CloisterError
from ..observer.policy import load_policy
from .accounts.current import current_principal
from .audit_notes import note
from .run_keys import shown_id
from .share_links import (
    KEY_BYTES,
    BadShare,
    LinksNotAllowed,
    Share,
    check_days,
    find_by_key,
    list_shares,
    make_share,
    revoke_share,
)
from .share_page import find_artifact
from .share_scope import PATH_OF_LINKS
from .store_access import current_database, current_store, home_database, shared_root

if TYPE_CHECKING:
    from ..observer.run_record import RunRecord
    from .share_links import ShareKind

RUN_TITLE = "The run with all its tabs"


class NoSuchLink(CloisterError, LookupError):
    def __init__(self, key: str) -> None:
        super().__init__(f"There is no share link {key!r} that you made.")


def share_run(run: RunRecord, *, kind: ShareKind, what: str, days: float, remark: str) -> tuple[Share, str]:
    """Make a link to `run` or a part of it; gives it and its path on this server.

    Raises:
        LinksNotAllowed: the policy has none.
        BadShare: the run has no such part, or the time is too long.
    """
    policy = load_policy(home_database())
    if not policy.share_links:
        raise LinksNotAllowed
    check_days(days, policy)
    title = _title(run, kind, what)
    key = secrets.token_hex(KEY_BYTES)
    details = {"link": key, "opens": kind, "what": title, "days": f"{days:g}"}
    note("share-made", target=f"run {shown_id(run.id)}", project=run.project, **details)
    share, secret = make_share(
        home_database(),
        run,
        key=key,
        kind=kind,
        what=what,
        title=title,
        days=days,
        note=remark,
        made_by=current_principal().name,
        place=current_database().path,
    )
    return share, f"{shared_root()}{PATH_OF_LINKS}{secret}"


def revoke(key: str) -> Share:
    """Close a link that this person made, or any for an admin of the site.

    Raises:
        NoSuchLink: there is none.
    """
    share = find_by_key(home_database(), key)
    if share is None or not _is_theirs(share):
        raise NoSuchLink(key)
    note("share-revoked", target=f"run {shown_id(share.run_id)}", project=share.project, link=share.key)
    revoke_share(home_database(), share)
    return share


def own_links() -> tuple[Share, ...]:
    """The links that this person made; all of them for an admin of the site."""
    principal = current_principal()
    return list_shares(home_database(), made_by=None if principal.may("site") else principal.name)


def links_of(run: RunRecord) -> tuple[Share, ...]:
    found = list_shares(home_database(), run_id=run.id, place=current_database().path)
    return tuple(share for share in found if _is_theirs(share))


def _is_theirs(share: Share) -> bool:
    principal = current_principal()
    return principal.may("site") or (bool(principal.name) and share.made_by == principal.name)


def _title(run: RunRecord, kind: ShareKind, what: str) -> str:
    if kind == "run":
        return RUN_TITLE
    if kind == "chart":
        names = {summary.name for summary in current_store().list_metrics(run.id)}
        if what not in names:
            raise BadShare(f"Run {shown_id(run.id)} has no metric {what[:100]!r}.")
        return what
    row = find_artifact(run, what)
    if row is None:
        raise BadShare(f"Run {shown_id(run.id)} has no artifact {what[:100]!r}.")
    return row.title or "an artifact without a name"
