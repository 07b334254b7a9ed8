"""The events that the audit log knows: a closed table. A new kind of event is a row."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ..errors import CloisterError

Topic = Literal["sign-in", "runs", "files", "sharing", "rights", "policy", "keys", "retention", "people", "audit"]


@dataclass(frozen=True)
class Action:
    """One kind of event.

    Attributes:
        name: stored with every entry, so it never changes once released.
        words: what people read.
        topic: what the audit page filters by.
        is_look: something was seen and nothing changed. Where there are no accounts, looks are not recorded.
        is_refusal: somebody was told no.
    """

    name: str
    words: str
    topic: Topic
    is_look: bool = False
    is_refusal: bool = False


class UnknownAction(CloisterError, LookupError):
    """An entry was to be recorded for an event that the table does not have."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"The audit log has no action {name!r}. Actions are a closed table: add a row to observer/audit/actions.py."
        )


ROWS: tuple[Action, ...] = (
    Action("login", "Signed in", "sign-in"),
    Action("login-failed", "Sign-in refused", "sign-in", is_refusal=True),
    Action("logout", "Signed out", "sign-in"),
    Action("session-revoked", "Ended a session", "sign-in"),
    Action("password-changed", "Changed a password", "sign-in"),
    Action("totp-changed", "Changed the second factor", "sign-in"),
    Action("token-made", "Made a token", "sign-in"),
    Action("token-revoked", "Revoked a token", "sign-in"),
    Action("viewed-as", "Viewed as somebody else", "rights"),
    Action("run-viewed", "Viewed a private run", "runs", is_look=True),
    Action("run-changed", "Changed a run", "runs"),
    Action("project-renamed", "Renamed a project", "runs"),
    Action("run-stopped", "Stopped a run", "runs"),
    Action("run-deleted", "Moved a run to the trash", "runs"),
    Action("run-restored", "Restored a run", "runs"),
    Action("report-changed", "Saved a report", "runs"),
    Action("report-deleted", "Deleted a report", "runs"),
    Action("artifact-viewed", "Viewed a file", "files", is_look=True),
    Action("artifact-downloaded", "Downloaded a file", "files", is_look=True),
    Action("exported", "Exported", "files", is_look=True),
    Action("imported", "Imported", "files"),
    Action("share-made", "Made a share link", "sharing"),
    Action("share-used", "Opened a share link", "sharing", is_look=True),
    Action("share-refused", "Share link refused", "sharing", is_refusal=True),
    Action("share-revoked", "Revoked a share link", "sharing"),
    Action("rights-changed", "Changed rights", "rights"),
    Action("visibility-changed", "Changed who sees a run", "rights"),
    Action("user-added", "Added a person", "people"),
    Action("user-changed", "Changed a person", "people"),
    Action("user-disabled", "Disabled a person", "people"),
    Action("user-enabled", "Enabled a person", "people"),
    Action("group-changed", "Changed a group", "people"),
    Action("database-user-made", "Made a database user", "people"),
    Action("database-user-removed", "Removed a database user", "people"),
    Action("person-exported", "Exported what is known of a person", "people"),
    Action("person-erased", "Erased a person", "people"),
    Action("policy-changed", "Changed the policy", "policy"),
    Action("redaction-applied", "Redacted stored records", "policy"),
    Action("key-made", "Made a key", "keys"),
    Action("key-rotated", "Rotated a key", "keys"),
    Action("key-forgotten", "Forgot a key for good", "keys"),
    Action("key-used", "Read with a key", "keys", is_look=True),
    Action("retention-changed", "Changed retention", "retention"),
    Action("hold-set", "Set a legal hold", "retention"),
    Action("hold-lifted", "Lifted a legal hold", "retention"),
    Action("purged", "Purged for good", "retention"),
    Action("audit-exported", "Exported the audit log", "audit", is_look=True),
    Action("audit-pseudonymised", "Pseudonymised entries", "audit"),
)

ACTIONS: dict[str, Action] = {row.name: row for row in ROWS}


def find_action(name: str) -> Action:
    """The row of this name.

    Raises:
        UnknownAction: there is none.
    """
    try:
        return ACTIONS[name]
    except KeyError:
        raise UnknownAction(name) from None
