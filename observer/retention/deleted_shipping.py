"""What a courier does with the journal of a run that somebody has deleted: tell the training, keep nothing of it."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..field_names import decode_field_name
from ..journal_batches import decode_batch
from ..journal_records import RECORD_LIMIT_BYTES
from ..shippable_segment import ShippableSegment
from ..shipping_note import ShippingNote, write_note
from .errors import RunDeleted
from .run_data import delete, select_console, select_metrics

if TYPE_CHECKING:
    from pymongo.database import Database

logger = logging.getLogger("cloister")

LOOK_SECONDS = 2.0  # how soon a run that was brought back is shipped again
_READ_BYTES = 2 * RECORD_LIMIT_BYTES
_UNAUTHORISED = 13


def drop_journal(
    database: Database[dict[str, Any]],
    uid: str,
    segments: Sequence[ShippableSegment],
    folders: Sequence[Path],
    deleted: RunDeleted,
) -> None:
    """Let go of what no process writes any more. What a training still writes waits, should the run be brought back."""
    write_note(folders, ShippingNote(deleted.run_id, 0, deleted=str(deleted)))
    if deleted.state == "restoring":
        return  # in this moment
    if deleted.state in ("purging", "purged"):
        _delete_strays(database, uid, segments, deleted.run_id)
    for segment in segments:
        if not segment.is_held():
            segment.remove()


def _delete_strays(
    database: Database[dict[str, Any]], uid: str, segments: Sequence[ShippableSegment], run_id: Any
) -> None:
    """Delete what a batch has written that was under way while the run was purged."""
    from pymongo.errors import OperationFailure

    names, digests = _named_in(segments)
    document = {"_id": run_id, "cloister": {"uid": uid}}
    try:
        delete(database, [*select_console(document), *select_metrics(database, document, names, is_deleted=True)])
        _delete_stray_files(database, uid, digests)
    except OperationFailure as error:
        if error.code != _UNAUTHORISED:
            raise
        # An account that may only record deletes nothing of others' runs, and so nothing here: the next purge does it.
        logger.debug("What run %s left behind is for the next purge to delete: %s", run_id, error)


def _delete_stray_files(database: Database[dict[str, Any]], uid: str, digests: set[str]) -> None:
    from .blob_purge import purge_files, stored_files
    from .named_files import NamedFiles

    files = stored_files(database, NamedFiles(digests=digests))
    if files:
        purge_files(database, files, ignored_claims=[uid])


def _named_in(segments: Sequence[ShippableSegment]) -> tuple[set[str], set[str]]:
    """The metrics and the files (by SHA-256) that a run's journal names."""
    names: set[str] = set()
    digests: set[str] = set()
    for segment in segments:
        offset = 0
        while offset < segment.size():
            try:
                batch = decode_batch(segment.read(offset, _READ_BYTES), offset, goes_on=segment.is_held())
            except FileNotFoundError:
                break
            if not batch or batch.end <= offset:
                break
            offset = batch.end
            names.update(decode_field_name(encoded) for encoded in batch.points)
            digests.update(str(record.fields["sha256"]) for record in batch.records if "sha256" in record.fields)
    return names, digests
