"""The database's policy at the last gate: encrypting runs that were recorded without knowing it.

A training does not wait for the database, so its first run on a machine cannot know what the policy there says. Its
journal stays on its own disk; what leaves it goes through here.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from ..field_names import decode_field_name, encode_field_name
from ..journal_records import JournalRecord
from ..journal_segments import BLOBS_FOLDER
from .chosen import EVERYTHING, Chosen, chosen_for, parse_table
from .run_sealing import ENCRYPTION, PART_OF_FILE, PARTS, RunSealing

if TYPE_CHECKING:
    from pymongo.database import Database

    from ..blobs import Digests

logger = logging.getLogger("cloister")

NOT_THERE = "0" * 64  # the digest of a copy that is gone: its own might tell which file it was


class ShippingSealing:
    """Takes a run's records and gives what the database may have of them."""

    def __init__(self, sealing: RunSealing, folders: Sequence[Path]) -> None:
        self._sealing = sealing
        self._folders = folders

    def header(self, header: Mapping[str, Any]) -> dict[str, Any]:
        """What the first record says of the run, with the data key's document."""
        return self._sealing.header(header)

    def facts(self) -> dict[str, Any]:
        """What the run's document says of it."""
        return {ENCRYPTION: self._sealing.facts()}

    def record(self, record: JournalRecord) -> JournalRecord | None:
        """One record as it may be stored."""
        fields = self._fields(record.kind, record.fields)
        return None if fields is None else replace(record, fields=fields)

    def _fields(self, kind: str, fields: dict[str, Any]) -> dict[str, Any] | None:
        sealing = self._sealing
        if kind == "set":
            named = {decode_field_name(path): value for path, value in fields["fields"].items()}
            named.pop(ENCRYPTION, None)  # said by `facts`
            sealed = {encode_field_name(path): value for path, value in sealing.fields(named).items()}
            return {**fields, "fields": sealed} if sealed else None
        if kind == "console" and isinstance(fields.get("text"), str) and sealing.has_console():
            return sealing.console_record(str(fields.get("stream")), fields["text"])
        if kind in PART_OF_FILE and "encryption" not in fields:
            return self._file(PART_OF_FILE[kind], fields)
        return sealing.fields(fields) if kind == "end" else fields

    def _file(self, part: str, fields: dict[str, Any]) -> dict[str, Any] | None:
        if not self._sealing.chosen.has(part):
            return fields
        if fields.get("kept") is False:  # only its digest was recorded
            return None
        said = {**fields, "metadata": self._sealing.metadata(part, fields.get("metadata") or {})}
        for folder in self._folders:
            copy = folder / BLOBS_FOLDER / str(fields["sha256"])
            if copy.exists():
                return {**said, **self._sealed_copy(part, copy)}
        return {**said, "sha256": NOT_THERE, "md5": ""}

    def _sealed_copy(self, part: str, copy: Path) -> dict[str, Any]:
        """Write the encrypted bytes beside a copy; it goes with its run's folder, when all of that is stored."""

        def keep(stream: BinaryIO) -> Digests:
            from ..blobs import digest_stream

            unfinished = copy.with_name(f"{os.urandom(8).hex()}.unfinished")
            try:
                with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                    digests = digest_stream(stream, file)
                unfinished.replace(copy.with_name(digests.sha256))
            finally:
                unfinished.unlink(missing_ok=True)
            return digests

        with copy.open("rb") as source:
            kept = self._sealing.keep(part, source, keep)
        assert kept is not None
        digests, said = kept
        return {"sha256": digests.sha256, "md5": digests.md5, "size": digests.size, **said}


def sealing_for(
    database: Database[dict[str, Any]], header: Mapping[str, Any], folders: Sequence[Path]
) -> ShippingSealing | None:
    """What encrypts a run before it is stored; None where it was recorded as the database's policy wants it.

    Raises:
        KeyUnavailable, KeyProviderFailed: there is no key here. The run's journal is kept until there is one.
    """
    project = str(header.get("project") or "")
    recorded = tuple(header.get(PARTS) or ())
    wanted = chosen_for(project, _table(database)).words
    if EVERYTHING in recorded or set(wanted) <= set(recorded):
        return None
    from ..settings import load_settings  # only where a run has to be encrypted here
    from .recording_key import recording_key

    key, document = recording_key(project, load_settings())
    chosen = Chosen(tuple(dict.fromkeys((*recorded, *wanted))))
    return ShippingSealing(RunSealing(chosen, key, document, str(header["uid"])), folders)


def _table(database: Database[dict[str, Any]]) -> Mapping[str, Any]:
    from pymongo.errors import OperationFailure

    from ..policy import policy_document

    try:
        document = policy_document(database)
        return parse_table((document or {}).get("encrypt") or {})
    except OperationFailure as error:  # an account that may not read it: whoever gave it its rights wants it so
        logger.debug("The database's policy cannot be read: %s", error)
        return {}
    except ValueError as error:
        logger.warning("The policy in %s has an 'encrypt' that is not %s: all is encrypted.", database.name, error)
        return {"*": [EVERYTHING]}
