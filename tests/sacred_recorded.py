"""What Sacred's own observers have written, once for a test session: a database and folders, to be copied."""

from __future__ import annotations

import functools
import importlib.util
import os
import shutil
import subprocess
import sys
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pymongo
import pytest
from peer_installs import sacred_interpreter
from pymongo.database import Database

PROGRAM = Path(__file__).with_name("sacred_recordings.py")
_NEEDED = ("sacred", "pkg_resources", "tinydb", "tinydb_serialization", "hashfs")


@dataclass(frozen=True)
class SacredRecorded:
    """A database of Sacred's, and a folder with `files`, `tiny` and `failures`."""

    uri: str
    name: str
    folder: Path

    def copy_into(self, database: Database[dict[str, Any]]) -> None:
        """The same documents in another, empty database."""
        with pymongo.MongoClient[dict[str, Any]](self.uri) as client:
            for collection in client[self.name].list_collection_names():
                documents = list(client[self.name][collection].find())
                database[collection].insert_many(documents)

    def copy_folder(self, name: str, path: Path) -> Path:
        shutil.copytree(self.folder / name, path / name)
        return path / name


_recorded: dict[str, SacredRecorded] = {}  # by server: its databases go with it


def recorded_by_sacred(uri: str, tmp_path_factory: pytest.TempPathFactory) -> SacredRecorded:
    """What Sacred has recorded on the server of the test session; whoever asks first has it recorded."""
    if uri not in _recorded:
        name = f"sacred_{uuid.uuid4().hex[:12]}"
        _recorded[uri] = _record(uri, name, tmp_path_factory.mktemp("sacred"))
    return _recorded[uri]


def _record(uri: str, name: str, folder: Path) -> SacredRecorded:
    done = subprocess.run(
        [_interpreter(), str(PROGRAM), uri, name, str(folder)],
        env={**os.environ, "PYTHONWARNINGS": "ignore"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return SacredRecorded(uri, name, folder)


@functools.cache
def _interpreter() -> str:
    """This Python where it has all of it, else that of an environment of its own."""
    if all(importlib.util.find_spec(module) is not None for module in _NEEDED):
        return sys.executable
    return str(sacred_interpreter())
