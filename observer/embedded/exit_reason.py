"""Why mongod ended, from what it wrote to its log, as one of our errors."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

from ..errors import CloisterError
from .data_folder import DataFolder
from .errors import CorruptDatabase, DataFolderUnusable, MongodDidNotStart

READ_BYTES = 4 * 1024 * 1024  # of what the failed start logged; 50 kB as a rule

FULL_DISK_BYTES = 16 * 1024 * 1024  # one journal file; a failed start gives back what little it took
SENTENCE_CHARACTERS = 400

# Storage errors that are about the system and not about damaged files, as strerror() words them.
_SYSTEM_TROUBLE = (
    "No space left on device",
    "Permission denied",
    "Read-only file system",
    "Disk quota exceeded",
    "Too many open files",
    "Cannot allocate memory",
    "Operation not permitted",
)
_STORAGE_COMPONENTS = ("WT", "STORAGE")


def explain_exit(folder: DataFolder, binary: Path, log_start: int, code: int) -> CloisterError:
    """The error to raise for a mongod that ended with `code`; what it logged begins at byte `log_start`."""
    if shutil.disk_usage(folder.path).free < FULL_DISK_BYTES:
        return DataFolderUnusable(folder.path, "the disk is full")  # too full for mongod to log why it ended
    entries = _errors_in_log(folder, log_start)
    sentences = [sentence for _, sentence in entries]
    for trouble in _SYSTEM_TROUBLE:
        if any(trouble in sentence for sentence in sentences):
            return DataFolderUnusable(folder.path, trouble)
    for component, sentence in entries:
        if component in _STORAGE_COMPONENTS:
            return CorruptDatabase(folder.path, sentence, folder.log)
    return MongodDidNotStart(binary, sentences[0] if sentences else _by_code(code), folder.log)


def reason_in_log(folder: DataFolder, log_start: int, code: int) -> str:
    """The first error that mongod logged after byte `log_start`, as a short sentence."""
    entries = _errors_in_log(folder, log_start)
    return entries[0][1] if entries else _by_code(code)


def _by_code(code: int) -> str:
    return f"it was killed by signal {-code}" if code < 0 else f"it ended with exit code {code}"


def _errors_in_log(folder: DataFolder, log_start: int) -> list[tuple[str, str]]:
    """(component, sentence) of every error and fatal message, oldest first."""
    try:
        with folder.log.open("rb") as log:
            log.seek(log_start if log_start <= log.seek(0, os.SEEK_END) else 0)  # 0: it was rotated meanwhile
            lines = log.read(READ_BYTES).decode(errors="replace").splitlines()
    except OSError:
        return []
    return [entry for line in lines if (entry := _error_entry(line)) is not None]


def _error_entry(line: str) -> tuple[str, str] | None:
    try:
        entry = json.loads(line)
        if entry["s"] not in ("E", "F"):
            return None
        return str(entry["c"]), _sentence(entry)
    except (ValueError, LookupError, TypeError, AttributeError):
        return None  # half a line, or a shape that a later MongoDB made up


def _sentence(entry: dict[str, object]) -> str:
    """`WiredTiger.wt is corrupted: WT_TRY_SALVAGE`, out of `{"msg": ..., "attr": {"message": {"msg": ..., ...}}}`."""
    parts: list[object] = [entry["msg"]]
    attributes = entry.get("attr")
    for detail in (attributes.get("message"), attributes.get("error")) if isinstance(attributes, dict) else ():
        parts += [detail.get(key) for key in ("msg", "error_str", "errmsg")] if isinstance(detail, dict) else [detail]
    # Numbers are WiredTiger's error codes; the text beside them says the same.
    return ": ".join(" ".join(part.split()).rstrip(".") for part in parts if isinstance(part, str))[
        :SENTENCE_CHARACTERS
    ]
