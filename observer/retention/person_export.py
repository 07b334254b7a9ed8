"""What is stored of a person, as a zip for them: account, rights, runs with notes and console, audit entries, files."""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..blobs import BlobNotFound, UnreadableBlob, open_blob
from ..encryption.opened import open_piece, opened_document
from ..encryption.run_sealing import SEALED
from ..errors import CloisterError
from ..run_ids import format_run_id
from ..run_record import read_run
from .named_files import files_named_by
from .person_places import OWN, PLACES, SECRET_FIELDS, Person, changed_fields, find_person, matching, own_runs, replacer
from .tombstones import TRASH, now

if TYPE_CHECKING:
    from pymongo.database import Database

_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
_PATH_LIMIT = 120


class ExportIsThere(CloisterError, FileExistsError):
    """An export would overwrite a file."""

    def __init__(self, path: Path) -> None:
        super().__init__(f"{path} is there already and is not overwritten. Give another name with --to.")


def export_person(
    database: Database[dict[str, Any]],
    name: str,
    path: Path,
    *,
    also: tuple[str, ...] = (),
    with_files: bool = False,
) -> dict[str, int]:
    """Write all that is stored of a person into a new zip file that nobody else can read.

    Returns:
        How many documents of each sort it holds.

    Raises:
        ExportIsThere: there is such a file.
    """
    person = find_person(database, name, also)
    try:
        descriptor = os.open(path, _NEW_FILE, 0o600)
    except FileExistsError:
        raise ExportIsThere(path) from None
    counts: dict[str, int] = {}
    with os.fdopen(descriptor, "wb") as file, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as bundle:
        for member, content in _members(database, person, counts):
            bundle.writestr(member, content)
        if with_files:
            _write_files(database, person, bundle, counts)
        about = {"person": person.name, "also": list(person.words), "made_at": now().isoformat(), "holds": counts}
        bundle.writestr("about.json", _json(about))
    return counts


def _members(database: Database[dict[str, Any]], person: Person, counts: dict[str, int]) -> Iterator[tuple[str, str]]:
    for collection, key in OWN:
        found = [_without_secrets(each) for each in database[collection].find({key: {"$eq": person.name}})]
        counts[collection] = len(found)
        yield f"{collection}.json", _json(found)
    named = [
        {"collection": place.collection, "field": place.field, "id": str(each["_id"])}
        for place in PLACES
        if place.collection not in ("runs", TRASH)
        for each in database[place.collection].find(matching(place, person), {"_id": 1})
    ]
    members = {"members": {"$elemMatch": {"kind": "person", "name": {"$in": list(person.logins)}}}}
    named += [
        {"collection": "projects", "field": "members", "id": str(each["_id"])}
        for each in database["projects"].find(members, {"_id": 1})
    ]
    counts["named in settings"] = len(named)
    yield "settings.json", _json(named)
    yield from _runs(database, person, counts)
    yield "audit.json", _json(_audit(database, person, counts))


def _runs(database: Database[dict[str, Any]], person: Person, counts: dict[str, int]) -> Iterator[tuple[str, str]]:
    """Their own runs whole; of others' only the fields in which they are named."""
    replace = replacer(person, "")
    counts.update({"own runs": 0, "runs of others": 0})
    for collection in ("runs", TRASH):
        own = {each["_id"] for each in database[collection].find(own_runs(person), {"_id": 1})}
        for document in database[collection].find():
            word = format_run_id(document["_id"])[:_PATH_LIMIT].replace(":", "-")
            if document["_id"] in own:
                counts["own runs"] += 1
                yield f"{collection}/{word}.json", _json(opened_document(database, document))
                yield f"{collection}/{word}.console.txt", _console(database, document)
            elif named := {field: _value(document, field) for field in changed_fields(document, replace)}:
                counts["runs of others"] += 1
                yield f"{collection}/{word}.named.json", _json({"project": read_run(document).project, **named})


def _console(database: Database[dict[str, Any]], document: Mapping[str, Any]) -> str:
    pieces = database["console"].find({"run_id": document["_id"]}).sort("n", 1)
    opened = (open_piece(database, piece) if SEALED in piece else piece for piece in pieces)
    text = "".join(str(piece.get("text", "")) for piece in opened)
    return text or str(document.get("captured_out") or "")


def _audit(database: Database[dict[str, Any]], person: Person, counts: dict[str, int]) -> list[dict[str, Any]]:
    from ..audit.entry import to_document
    from ..audit.pseudonyms import find_entries_of

    found = {
        entry.seq: to_document(entry)
        for word in (person.name, *person.words)
        for entry in find_entries_of(database, word)
    }
    counts["audit entries"] = len(found)
    return [found[seq] for seq in sorted(found)]


def _write_files(
    database: Database[dict[str, Any]], person: Person, bundle: zipfile.ZipFile, counts: dict[str, int]
) -> None:
    """The bytes of what their runs name, by digest: names may be anything."""
    counts["files"] = 0
    written: set[str] = set()
    for document in database["runs"].find(own_runs(person), {"captured_out": 0}):
        for file_id in files_named_by(document).ids:
            try:
                blob = open_blob(database, file_id)
                name = f"files/{blob.sha256 or blob.file_id}"
                if name in written:
                    continue
                with bundle.open(name, "w", force_zip64=True) as target:
                    for piece in blob:
                        target.write(piece)
            except (BlobNotFound, UnreadableBlob):  # the run's document says that it was there
                continue
            written.add(name)
            counts["files"] += 1


def _without_secrets(document: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in document.items() if name not in SECRET_FIELDS}


def _value(document: Mapping[str, Any], field: str) -> Any:
    value: Any = document
    for part in field.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def _json(value: Any) -> str:
    """Readable JSON, with MongoDB's own types spelled out."""
    from bson import json_util

    options = json_util.RELAXED_JSON_OPTIONS
    plain = json.loads(json_util.dumps(value, json_options=options))
    return json.dumps(plain, indent=2, ensure_ascii=False, sort_keys=True)
