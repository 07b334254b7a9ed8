"""The one update of a run's document that a batch of its journal ends with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timezone
from typing import Any

from .errors import CloisterError
from .field_names import decode_field_name
from .journal_records import JournalRecord
from .run_events import new_event, pushing
from .run_record import (
    CONSOLE_COUNTS,
    JOURNAL,
    LOSSES,
    LOST,
    NAME,
    NOTES,
    OMNIBOARD_NOTES,
    OMNIBOARD_TAGS,
    PROJECT,
    TAGS,
    UPDATED_AT,
    VERSION,
)


class Overtaken(CloisterError, RuntimeError):
    """Somebody else has shipped for the same run meanwhile. What was about to be applied starts from his checkpoint."""

    def __init__(self, run_id: object) -> None:
        super().__init__(f"Run {run_id} was shipped by another courier meanwhile; it is read and applied again.")


Wish = tuple[str, str, Any]  # operator, field, value

# What people can change of a run while it is recorded: from then on theirs stands.
_EDITABLE = {"name": (NAME,), "tags": (TAGS, OMNIBOARD_TAGS), "notes": (NOTES, OMNIBOARD_NOTES), "project": (PROJECT,)}


class RunUpdate:
    """Gathers what a batch changes in the run's document."""

    def __init__(self) -> None:
        self.fields: dict[str, Any] = {}
        self._appended: dict[str, list[Any]] = {}
        self._removed: dict[str, Any] = {}
        self._counted: dict[str, int] = {}
        self._gone: set[str] = set()
        self.events: list[dict[str, Any]] = []  # for the run's timeline; done without where a document is full
        self.stored_digests: list[str] = []  # of files whose bytes the database has, so that this may name them

    def set(self, field: str, value: Any) -> None:
        """Note `$set: {field: value}`. MongoDB refuses to set a document and a field in it at once: they become one."""
        self._forget(field)
        for parent, document in self.fields.items():
            if field.startswith(f"{parent}.") and isinstance(document, dict):
                document[field[len(parent) + 1 :]] = value
                return
        self.fields[field] = value

    def unset(self, field: str) -> None:
        """Take a field out of the document."""
        self.fields.pop(field, None)
        self._forget(field)
        self._gone.add(field)

    def _forget(self, field: str) -> None:
        for earlier in [path for path in self.fields if path.startswith(f"{field}.")]:
            del self.fields[earlier]
        self._gone = {path for path in self._gone if path != field and not path.startswith(f"{field}.")}

    def set_all(self, fields: Mapping[str, Any]) -> None:
        for field, value in fields.items():
            self.set(field, value)

    def append(self, field: str, *values: Any) -> None:
        """Add to a list what is not in it yet: a replay adds nothing."""
        if values:
            self._appended.setdefault(field, []).extend(values)

    def remove(self, field: str, condition: Mapping[str, Any]) -> None:
        """Take from a list of documents those that match."""
        self._removed[field] = dict(condition)

    def count_console(self, counted: Mapping[str, int]) -> None:
        for name, count in counted.items():
            self._counted[f"{CONSOLE_COUNTS}.{name}"] = count

    def take_set(self, record: JournalRecord) -> None:
        fields = {decode_field_name(field): value for field, value in record.fields["fields"].items()}
        self.set_all(fields)
        # For Omniboard's table. What people do there meanwhile stays, but for a note that the training replaces.
        self.append(OMNIBOARD_TAGS, *fields.get(TAGS, ()))
        if NOTES in fields:
            self.set(OMNIBOARD_NOTES, fields[NOTES])

    def take_beat(self, record: JournalRecord) -> None:
        self.fields["heartbeat"] = as_date(record.time)

    def take_end(self, record: JournalRecord) -> None:
        for name in ("status", "stop_time", "result", "fail_trace"):
            if name in record.fields:
                self.fields[name] = record.fields[name]
        self.fields["cloister.exit"] = record.fields.get("exit", {})
        self.fields["heartbeat"] = as_date(record.time)

    def leave_edited(self, edited: Mapping[str, Any] | None) -> None:
        """Change nothing of what people have changed: `cloister.edited` of the run says what that is."""
        for name in edited or ():
            for path in _EDITABLE.get(name, ()):
                self.fields.pop(path, None)
                self._appended.pop(path, None)

    def note_event(self, kind: str, text: str, time: float) -> None:
        self.events.append(new_event(kind, text, at=as_date(time)))

    def move_checkpoint(self, segment: int, checkpoint: Mapping[str, Any]) -> None:
        self.fields[f"{JOURNAL}.{segment:016x}"] = dict(checkpoint)
        self.fields[UPDATED_AT] = datetime.now(timezone.utc)

    def document(self) -> dict[str, Any]:
        """All of it, as MongoDB takes it."""
        update: dict[str, Any] = {"$set": self.fields}
        if self._appended:
            update["$addToSet"] = {field: {"$each": values} for field, values in self._appended.items()}
        if self.events:
            update.update(pushing(*self.events))
        if self._removed:
            update["$pull"] = self._removed
        if self._counted:
            update["$inc"] = self._counted
        if self._gone:
            update["$unset"] = dict.fromkeys(self._gone, "")
        return update

    def wishes(self) -> Iterator[Wish]:
        """What the journal's records wanted, one by one: to find the one that is refused."""
        for field, value in self.fields.items():
            if not _is_account(field):
                yield "$set", field, value
        for field, values in self._appended.items():
            for value in values:
                yield "$addToSet", field, value
        for field in self._gone:
            yield "$unset", field, ""

    def without_wishes(self) -> RunUpdate:
        """Only the account of how far the journal is applied."""
        kept = RunUpdate()
        kept.fields = {field: value for field, value in self.fields.items() if _is_account(field)}
        kept._removed, kept._counted, kept.stored_digests = self._removed, self._counted, self.stored_digests
        return kept


def granting(wishes: Sequence[Wish]) -> dict[str, Any]:
    """Some wishes as MongoDB takes them."""
    update: dict[str, Any] = {}
    for operator, field, value in wishes:
        if operator == "$addToSet":
            update.setdefault(operator, {}).setdefault(field, {"$each": []})["$each"].append(value)
        else:
            update.setdefault(operator, {})[field] = value
    return update


def _is_account(field: str) -> bool:
    return field in (UPDATED_AT, VERSION, LOST, LOSSES) or field.startswith(f"{JOURNAL}.")


def as_date(wall_time: float) -> datetime:
    return datetime.fromtimestamp(wall_time, timezone.utc)
