"""Redacting a run that is stored already: finding what a recording of today would have taken out, and taking it out."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..blob_upload import BlobSource, store_small_blobs
from ..blobs import UnreadableBlob, digest_stream, find_blob, open_blob
from ..errors import CloisterError
from ..foreign_runs import mapping, read_pair, sequence
from .console_redaction import ConsoleRedaction
from .file_redaction import FILE_LIMIT_BYTES, kind_of_file
from .run_redaction import REDACTIONS, RunRedaction
from .stored_redactions import Redaction

if TYPE_CHECKING:
    from pymongo.database import Database

LATER = "later"  # who has redacted, where it was not the recording
PIECES_AT_ONCE = 200

# What of a run's document is looked through, and is not to be changed by a look.
_FIELDS = (
    "config", "meta", "info", "result", "fail_trace", "captured_out", "host", "experiment.base_dir", "artifacts",
    "cloister.name", "cloister.tags", "cloister.notes", "cloister.config_defaults", "cloister.config_changes",
    "cloister.argv", "cloister.git", "cloister.resumed_git", "cloister.environment", "cloister.queue",
    "cloister.resumed", "cloister.ranks", "cloister.exit", "cloister.observer", "cloister.events", "omniboard.notes",
    "omniboard.tags",
)  # fmt: skip


@dataclass
class StoredFindings:
    """What a look at a stored run has found, and what is to be stored instead.

    Attributes:
        fields: of the run's document, by path.
        pieces: of its console, by their ids: the text.
        files: by the id of a stored file: its bytes, and its name.
    """

    run_id: Any
    project: str
    places: tuple[Redaction, ...] = ()
    fields: dict[str, Any] = field(default_factory=dict)
    pieces: dict[Any, str] = field(default_factory=dict)
    files: dict[Any, tuple[bytes, str]] = field(default_factory=dict)
    unread: list[str] = field(default_factory=list)

    @property
    def count(self) -> int:
        return sum(place.count for place in self.places)


class StillRecorded(CloisterError, RuntimeError):
    """A run that is being recorded was to be changed."""

    def __init__(self, run_id: object) -> None:
        super().__init__(
            f"Run {run_id} is being recorded; what is stored of it changes while we look. Redact it once it has ended."
        )


def look_at_run(
    database: Database[dict[str, Any]], document: Mapping[str, Any], redaction: RunRedaction
) -> StoredFindings:
    """Find what is to be redacted of a run. Changes nothing.

    Args:
        document: of the run, whole.
        redaction: a new one; afterwards it has counted.
    """
    ours = mapping(document.get("cloister"))
    found = StoredFindings(document["_id"], str(ours.get("project") or ""))
    for path in _FIELDS:
        value = _value_at(document, path)
        redacted = value if value in (None, "", [], {}) else redaction.stored_value(path, value)
        if redacted != value:
            found.fields[path] = redacted
    _look_at_console(database, document["_id"], redaction, found)
    for name, file_id in _named_files(document):
        _look_at_file(database, name, file_id, redaction, found)
    found.places = tuple(Redaction(**entry) for entry in redaction.counted())
    return found


def redact_run(database: Database[dict[str, Any]], document: Mapping[str, Any], found: StoredFindings) -> None:
    """Store what was found instead of what is there; files that no run names any more are deleted.

    Raises:
        StillRecorded: the run is being recorded.
    """
    from ..retention.blob_purge import purge_files
    from ..run_record import read_run

    if read_run(document).status in ("running", "queued"):
        raise StillRecorded(document["_id"])
    for piece_id, text in found.pieces.items():
        database["console"].update_one({"_id": piece_id}, {"$set": {"text": text}})
    replaced = {file_id: _store_file(database, file_id, *new) for file_id, new in found.files.items()}
    fields = {**found.fields, **_renamed_files(document, found.fields, replaced)}
    update: dict[str, Any] = {"$set": fields}
    if "uid" in mapping(document.get("cloister")):  # of ours: others' documents stay of their shape
        known = sequence(_value_at(document, f"{REDACTIONS}.{LATER}"))
        new = [{"where": one.where, "rule": one.rule, "count": one.count} for one in found.places]
        fields[f"{REDACTIONS}.{LATER}"] = [*known, *new]
        fields["cloister.updated_at"] = datetime.now(timezone.utc)
        update["$inc"] = {"cloister.version": 1}  # whoever ships for it still reads it again
    if fields:
        database["runs"].update_one({"_id": document["_id"]}, update)
    gone = [file for file_id in replaced if (file := database["fs.files"].find_one({"_id": file_id})) is not None]
    purge_files(database, gone)


def _look_at_console(
    database: Database[dict[str, Any]], run_id: Any, redaction: RunRedaction, found: StoredFindings
) -> None:
    """Read the pieces in order. A line that goes on in the next piece moves there whole."""
    console, last, changed = ConsoleRedaction(redaction.texts), {}, {}
    before = redaction.total()
    for piece in database["console"].find({"run_id": run_id}).sort("n", 1).batch_size(PIECES_AT_ONCE):
        text, stream = piece.get("text"), str(piece.get("stream"))
        if isinstance(text, str):
            redacted = console.add(stream, text, redaction.noting(f"console: {stream}"))
            last[stream] = piece["_id"]
            if redacted != text:
                changed[piece["_id"]] = redacted
            elif piece["_id"] in changed:
                del changed[piece["_id"]]
    ends = {stream: (text, piece_id) for stream, piece_id in last.items() for text in [""]}
    for stream, text in console.take_waiting(redaction.noting("console"), all_of_it=True):
        ends[stream] = (text, last[stream])
    for text, piece_id in ends.values():
        if text:
            known = changed.get(piece_id)
            if known is None:
                piece = database["console"].find_one({"_id": piece_id}) or {}
                known = str(piece.get("text") or "")
            changed[piece_id] = known + text
    if redaction.total() > before:
        found.pieces = changed


def _look_at_file(
    database: Database[dict[str, Any]], name: str, file_id: Any, redaction: RunRedaction, found: StoredFindings
) -> None:
    where = f"source: {name}"
    if kind_of_file(name) is None or not _is_plain_id(file_id) or file_id in found.files:
        return
    try:
        blob = open_blob(database, file_id)
        if blob.is_encrypted or blob.size > FILE_LIMIT_BYTES:
            return
        content = b"".join(blob)
    except (UnreadableBlob, LookupError):
        found.unread.append(name)
        return
    redacted = redaction.stored_file(name, content, "uncommitted changes" if name.endswith(".patch") else where)
    if redacted != content:
        found.files[file_id] = (redacted, name)


def _named_files(document: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Names and ids of the text files of a run: its code, uncommitted changes, artifacts."""
    ours = mapping(document.get("cloister"))
    for entry in map(mapping, sequence(ours.get("sources"))):
        yield str(entry.get("path") or ""), entry.get("file_id")
    for entry in (*sequence(mapping(document.get("experiment")).get("sources")), *sequence(document.get("artifacts"))):
        if isinstance(entry, Mapping):
            yield str(entry.get("name") or ""), entry.get("file_id")
        elif (pair := read_pair(entry)) is not None:
            yield pair
    diff = mapping(ours.get("git")).get("diff_file")
    if diff is not None:
        yield "uncommitted.patch", diff


def _store_file(database: Database[dict[str, Any]], file_id: Any, content: bytes, name: str) -> dict[str, Any]:
    """Store the new bytes; returns what a run's document says of the file."""
    known = database["fs.files"].find_one({"_id": file_id}) or {}
    digests = digest_stream(BytesIO(content))
    with tempfile.TemporaryDirectory(prefix="cloister-redact-") as folder:
        path = Path(folder) / "content"
        path.write_bytes(content)
        source = BlobSource(path, digests, str(known.get("filename") or name), known.get("contentType"))
        store_small_blobs(database, [source])
    stored = find_blob(database, digests.sha256)
    assert stored is not None
    return {"file_id": stored, "sha256": digests.sha256, "md5": digests.md5, "size": digests.size}


def _renamed_files(
    document: Mapping[str, Any], fields: Mapping[str, Any], replaced: Mapping[Any, Mapping[str, Any]]
) -> dict[str, Any]:
    """The fields that name files, with the new ones."""
    renamed: dict[str, Any] = {}
    if not replaced:
        return renamed
    for path in ("artifacts", "cloister.sources", "experiment.sources", "cloister.git.diff_file"):
        value = fields.get(path, _value_at(document, path))
        if path == "cloister.git.diff_file" and "cloister.git" in fields:
            continue
        changed = _with_new_ids(value, replaced)
        if changed != value:
            renamed[path] = changed
    if "cloister.git" in fields:
        git = dict(fields["cloister.git"])
        git["diff_file"] = _with_new_ids(git.get("diff_file"), replaced)
        renamed["cloister.git"] = git
    return renamed


def _with_new_ids(value: Any, replaced: Mapping[Any, Mapping[str, Any]]) -> Any:
    if isinstance(value, Mapping):
        new = replaced.get(value.get("file_id")) if _is_plain_id(value.get("file_id")) else None
        return value if new is None else {**value, **{name: one for name, one in new.items() if name in value}}
    if isinstance(value, list):
        return [_with_new_ids(one, replaced) for one in value]
    if _is_plain_id(value) and value in replaced:
        return replaced[value]["file_id"]
    return value


def _is_plain_id(value: Any) -> bool:
    return value is not None and not isinstance(value, (Mapping, list))


def _value_at(document: Mapping[str, Any], path: str) -> Any:
    value: Any = document
    for name in path.split("."):
        value = value.get(name) if isinstance(value, Mapping) else None
    return value
