"""Repairing a damaged data folder: keep a copy, let mongod save what it can, make the result a fresh replica set."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .binary import Mongod, find_mongods
from .data_folder import DataFolder
from .errors import DataTooNew, MongodDidNotStart, NoRoomForCopy, NothingToRepair, RepairFailed, StillRunning
from .exit_reason import reason_in_log
from .process import (
    EXIT_OTHER_VERSION,
    choose_port,
    log_size,
    run_mongod,
    running_mongod,
    standalone_options,
    terminate,
)
from .replica_set import system_client
from .server import LOCK_SECONDS, EmbeddedServer

REPAIR_SECONDS = 7 * 24 * 3600.0  # bounded only so that a hang is not for ever; it reads every byte of every collection
COPY_PREFIX = "before-repair-"
ORPHANS = "orphan."  # what mongod --repair names a collection whose name was in a damaged catalogue, in `local`
RECOVERED_DATABASE = "recovered"


@dataclass(frozen=True)
class Repaired:
    """What a repair left."""

    copy: Path | None  # the files as they were before; None if no copy was wanted
    nameless: int  # collections with documents whose names were lost, now in RECOVERED_DATABASE


def repair(server: EmbeddedServer, *, keep_copy: bool, on_step: Callable[[str], None]) -> Repaired:
    """Repair the stopped database; `on_step` is told in words what happens next.

    Raises:
        NothingToRepair: there is no database.
        StillRunning: it runs.
        RepairFailed: mongod could not repair it.
        NoRoomForCopy: the disk has no room for the copy.
    """
    folder = server.folder
    if not folder.exists():
        raise NothingToRepair(folder.path)
    folder.prepare()
    with folder.locked(LOCK_SECONDS):
        running = running_mongod(folder)
        if running is not None:
            raise StillRunning(folder.path, running.pid)
        copy = None
        if keep_copy:
            on_step("Copying the files as they are")
            copy = _copy(folder)
        on_step("mongod repairs the files")
        mongod = _repair_files(server, copy)
        on_step("Making the result a fresh replica set")
        nameless = _leave_replica_set(server, mongod)
    return Repaired(copy, nameless)


def _copy(folder: DataFolder) -> Path:
    copy = folder.path / (COPY_PREFIX + time.strftime("%Y%m%d-%H%M%S"))
    size = sum(file.stat().st_size for file in folder.data.rglob("*") if file.is_file())
    free = shutil.disk_usage(folder.path).free
    if size > free:
        raise NoRoomForCopy(folder.path, size, free)
    shutil.copytree(folder.data, copy)
    return copy


def _repair_files(server: EmbeddedServer, copy: Path | None) -> Mongod:
    """Run the newest mongod that can read the data with --repair; that mongod."""
    folder = server.folder
    folder.read_key()
    mongods = find_mongods(server.settings)
    for mongod in mongods:
        log_start = log_size(folder)
        options = ["--repair", *standalone_options(folder, choose_port(None), server.settings)]
        code = run_mongod(mongod, folder, options, REPAIR_SECONDS)
        if code == 0:
            return mongod
        if code != EXIT_OTHER_VERSION:
            raise RepairFailed(folder.path, reason_in_log(folder, log_start, code), folder.log, copy)
    raise DataTooNew(folder.path, [mongod.version_text for mongod in mongods])


def _leave_replica_set(server: EmbeddedServer, mongod: Mongod) -> int:
    """Drop `local`, so that the next start makes a set; the number of nameless collections saved from it.

    A repair that changed data marks the set's config as invalid, and mongod then refuses to start as a member of it.
    """
    folder = server.folder
    port, log_start = choose_port(None), log_size(folder)
    code = run_mongod(mongod, folder, ["--fork", *standalone_options(folder, port, server.settings)])
    running = running_mongod(folder)
    if running is None:
        raise MongodDidNotStart(mongod.path, reason_in_log(folder, log_start, code), folder.log)
    try:
        with system_client(folder, port) as client:
            nameless = _save_nameless(client)
            client.drop_database("local")
    finally:
        terminate(running.pid, folder)
    return nameless


def _save_nameless(client: Any) -> int:
    saved = 0
    for name in client.local.list_collection_names():
        # A document without an _id is from the oplog, which a fresh replica set makes anew.
        if name.startswith(ORPHANS) and "_id" in (client.local[name].find_one() or {}):
            target = f"{RECOVERED_DATABASE}.{time.strftime('%Y%m%d_%H%M%S')}_{name[len(ORPHANS) :]}"
            client.admin.command("renameCollection", f"local.{name}", to=target)
            saved += 1
    return saved
