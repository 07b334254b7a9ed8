"""Shipping what only a Sacred experiment records: lists that grow, fields that go, unusual values, and answers.

An experiment under Sacred's observer finds in the database what it has just recorded. So it asks for an answer: once
all before its question is stored, also in the documents that Sacred's readers see, the answer lies beside the journal.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from .field_names import decode_field_name
from .journal_records import JournalRecord
from .run_update import RunUpdate
from .sacred_documents import OBSERVER_NOTES
from .unusual_values import UnusualValues

if TYPE_CHECKING:
    from pymongo.database import Database

NOTES_LIMIT = 200  # of an observer; what goes wrong with each beat is said often enough by then


class SacredRecords:
    """Takes the records of one run, in the order of the journal."""

    def __init__(self, database: Database[dict[str, Any]], run: Mapping[str, Any], *, is_new: bool) -> None:
        self.values = UnusualValues(database, run, is_new=is_new)
        self.kinds: dict[str, Callable[[int, JournalRecord, RunUpdate], None]] = {
            "add": self._take_add,
            "unset": self._take_unset,
            "values": self._take_values,
            "ask": self._take_question,
        }
        self._asked: str | None = None
        self.answered: str | None = None  # the last question of which everything is stored

    def store(self) -> None:
        self.values.store()

    @property
    def is_asked(self) -> bool:
        """Whether somebody waits for what the batch has brought."""
        return self._asked is not None

    def answer(self) -> None:
        """All that was recorded before the question is stored."""
        self.answered, self._asked = self._asked, None

    def _take_add(self, _segment: int, record: JournalRecord, update: RunUpdate) -> None:
        for field, values in record.fields["fields"].items():
            update.append(decode_field_name(field), *values)

    def _take_unset(self, _segment: int, record: JournalRecord, update: RunUpdate) -> None:
        for field in record.fields["fields"]:
            update.unset(decode_field_name(field))

    def _take_values(self, segment: int, record: JournalRecord, _update: RunUpdate) -> None:
        self.values.take(segment, record)

    def _take_question(self, _segment: int, record: JournalRecord, _update: RunUpdate) -> None:
        self._asked = str(record.fields.get("by", ""))


__all__ = ["NOTES_LIMIT", "OBSERVER_NOTES", "SacredRecords"]
