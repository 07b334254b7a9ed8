"""The audit log as a file: whole and signed as JSON lines, which can be verified anywhere, or as CSV to be read."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timezone
from typing import Any

from ..errors import CloisterError
from .actions import ACTIONS
from .entry import AuditEntry
from .evidence_folder import EvidenceFolder
from .seals import is_signed, sign_text

_SIGNED = "cloister audit export 1"
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")  # what a spreadsheet would run
CSV_COLUMNS = ("seq", "at", "actor", "action", "target", "project", "address", "details", "hash")


class BadExport(CloisterError, ValueError):
    """A file is no export of an audit log, or not the one that was signed."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"This is not an export of an audit log as it was written: {reason}.")


def iter_signed_lines(documents: Iterable[Mapping[str, Any]], folder: EvidenceFolder | None) -> Iterator[bytes]:
    """Every stored entry as a line of JSON, then one that says how many there are, signed where there is a key."""
    digest, count = hashlib.sha256(), 0
    for document in documents:
        line = json.dumps({key: _as_json(value) for key, value in document.items()}, sort_keys=True).encode() + b"\n"
        digest.update(line)
        count += 1
        yield line
    end = {
        "export": _SIGNED,
        "entries": count,
        "sha256": digest.hexdigest(),
        "at": _as_json(datetime.now(timezone.utc)),
    }
    signature = sign_text(folder, _signed_bytes(end)) if folder is not None else {}
    yield json.dumps({**end, **signature}, sort_keys=True).encode() + b"\n"


class ExportReader:
    """The entries of an export, one after the other; afterwards `public` is the key that signed it, "" for none."""

    def __init__(self, lines: Iterable[bytes]) -> None:
        self._lines = lines
        self.public = ""

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Raises `BadExport` at the end if the file is not whole."""
        digest, count = hashlib.sha256(), 0
        end: dict[str, Any] | None = None
        for line in self._lines:
            if end is not None:
                raise BadExport("something follows its last line")
            values = _parsed(line, count + 1)
            if values.get("export") == _SIGNED:
                end = values
                continue
            digest.update(line)
            count += 1
            yield _as_document(values)
        if end is None:
            raise BadExport("its last line, which says how many entries there are, is missing")
        if end.get("entries") != count or end.get("sha256") != digest.hexdigest():
            raise BadExport("its entries are not those that its last line counts")
        if "signature" in end:
            public, signature = str(end.pop("public", "")), str(end.pop("signature"))
            if not is_signed(_signed_bytes(end), signature, public):
                raise BadExport("its signature is wrong")
            self.public = public


def iter_csv_lines(entries: Iterable[AuditEntry]) -> Iterator[str]:
    """A table of the entries; a cell that a spreadsheet would run as a formula starts with an apostrophe."""
    yield _csv_line(CSV_COLUMNS)
    for entry in entries:
        details = json.dumps(entry.details, ensure_ascii=False, sort_keys=True) if entry.details else ""
        words = ACTIONS[entry.action].name if entry.action in ACTIONS else entry.action
        cells = (entry.actor, words, entry.target, entry.project, entry.address, details)
        yield _csv_line((str(entry.seq), _as_json(entry.at), *(_harmless(cell) for cell in cells), entry.hash))


def _csv_line(cells: Iterable[str]) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="\r\n").writerow(cells)
    return line.getvalue()


def _harmless(cell: str) -> str:
    return f"'{cell}" if cell.startswith(_FORMULA_STARTS) else cell


def _as_json(value: Any) -> Any:
    if isinstance(value, datetime):
        aware = value if value.tzinfo else value.replace(tzinfo=timezone.utc)
        return aware.astimezone(timezone.utc).isoformat(timespec="milliseconds")
    return value if isinstance(value, (str, int, type(None))) else str(value)


def _parsed(line: bytes, number: int) -> dict[str, Any]:
    try:
        values = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise BadExport(f"line {number} is no JSON") from error
    if not isinstance(values, dict):
        raise BadExport(f"line {number} is no entry")
    return values


def _as_document(values: dict[str, Any]) -> dict[str, Any]:
    try:
        return {**values, "at": datetime.fromisoformat(str(values.get("at")))}
    except ValueError:
        return values  # no entry then, as `verify_documents` will say


def _signed_bytes(end: Mapping[str, Any]) -> bytes:
    return json.dumps(dict(end), sort_keys=True, separators=(",", ":")).encode()
