"""The database's policy at the last gate: applied by the courier to runs that were recorded without knowing it.

A training does not wait for the database, so its first run on a machine cannot know what the policy there says. Its
journal stays on its own disk; what leaves it goes through here.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ..errors import CloisterError
from ..journal_records import JournalRecord
from ..policy import OF_RECORDING, STRICTEST, Policy, policy_digest, policy_document, tighten
from .run_redaction import RunRedaction

if TYPE_CHECKING:
    from pymongo.database import Database

logger = logging.getLogger("cloister")


class ShippingRedaction:
    """Takes a run's records and gives what the database may have of them."""

    def __init__(self, policy: Policy) -> None:
        from ..settings import load_settings  # only where a run has to be redacted here

        self._redaction = RunRedaction(policy, load_settings(), who="courier")

    def header(self, header: Mapping[str, Any]) -> dict[str, Any]:
        """What the first record says of the run."""
        return self._redaction.header(header)

    def record(self, record: JournalRecord) -> JournalRecord | None:
        """One record without what may not be stored; None where nothing is left of it."""
        fields = self._fields(record.kind, record.fields)
        return None if fields is None else replace(record, fields=fields)

    def news(self) -> dict[str, Any]:
        """What the run's document is to say of what was redacted, where that has changed; how it is recorded too."""
        news = self._redaction.news()
        return {**self._redaction.facts(), **news}

    def _fields(self, kind: str, fields: dict[str, Any]) -> dict[str, Any] | None:
        if kind in ("set", "add"):
            left = self._redaction.fields(fields["fields"])
            return {**fields, "fields": left} if left else None
        if kind == "console" and isinstance(fields.get("text"), str):
            text = self._redaction.console(str(fields.get("stream")), fields["text"], "nothing")
            return {**fields, "text": text} if text else None
        if kind in ("console", "source", "attach"):
            allowed = self._redaction.profile.console if kind == "console" else self._redaction.profile.sources
            return fields if allowed else None
        if kind in ("artifact", "resource"):
            name = str(fields.get("name") or "")
            return {**fields, "metadata": self._redaction.metadata(name, fields.get("metadata") or {})}
        if kind == "event":
            return {
                **fields,
                "text": self._redaction.stored_value("cloister.events", {"text": fields.get("text")})["text"],
            }
        return self._redaction.fields(fields) if kind == "end" else fields


def redaction_for(database: Database[dict[str, Any]], header: Mapping[str, Any]) -> ShippingRedaction | None:
    """What redacts a run before it is stored; None where it was recorded by the database's policy, or there is none."""
    from pymongo.errors import OperationFailure

    try:
        document = policy_document(database)
        if document is None or policy_digest(document) == (header.get("recording") or {}).get("database"):
            return None
        said = {name: value for name, value in document.items() if name in OF_RECORDING}
        policy = tighten(Policy(), said, f"The policy in {database.name}")
    except OperationFailure as error:  # an account that may not read it: whoever gave it its rights wants it so
        logger.debug("The database's policy cannot be read: %s", error)
        return None
    except CloisterError as error:
        logger.warning("%s Runs are stored under the profile 'strict' until then.", error)
        policy = STRICTEST
    return ShippingRedaction(policy)
