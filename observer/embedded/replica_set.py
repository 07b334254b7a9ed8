"""Making a fresh or interrupted mongod usable: a replica set of one member, and the user `cloister`."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from .data_folder import USER, DataFolder
from .errors import DatabaseBusy
from .process import REPLICA_SET

if TYPE_CHECKING:
    from pymongo import MongoClient

PRIMARY_SECONDS = 60.0
POLL_SECONDS = 0.005
SYSTEM_TIMEOUT_MS = 10_000

# What recording, reading back, indexes, change streams and `cloister doctor` need, in whichever database a site names.
# Not `root`: whoever gets hold of the URI cannot add users or shut the server down.
ROLES = ("readWriteAnyDatabase", "dbAdminAnyDatabase", "clusterMonitor")

AUTHENTICATION_FAILED = 18


class WrongAddress(Exception):
    """The set knows its member by another port than the one that mongod listens on. For server.py, which mends it."""


def set_up(folder: DataFolder, port: int) -> None:
    """Bring the running mongod to where `cloister` can log in and write. Each step looks first, so it may be repeated.

    Raises:
        WrongAddress: its address in the set has to be set first.
        pymongo.errors.PyMongoError: this mongod cannot be set up: it is ending, or it knows another key.
    """
    with system_client(folder, port) as client:
        _join_set(client, f"127.0.0.1:{port}")
        _wait_for_primary(client, folder)
        _create_user(client, folder.read_password(), port)


def system_client(folder: DataFolder, port: int) -> MongoClient[dict[str, Any]]:
    """A client that may do everything, for the caller to close.

    It logs in as `__system`, the user that every mongod with a key file has and whose password is the key: that works
    before there are users, and whatever an interrupted start or a repair left of them.
    """
    from pymongo import MongoClient  # see connect(): never loaded by importing

    return MongoClient(
        "127.0.0.1",
        port,
        directConnection=True,
        serverSelectionTimeoutMS=SYSTEM_TIMEOUT_MS,
        appName="cloister",
        username="__system",
        password=folder.read_key(),
        authSource="local",
    )


def embedded_uri_for(port: int, password: str) -> str:
    """The URI for everybody. With `directConnection` the address that the set has of itself does not matter."""
    return f"mongodb://{USER}:{password}@127.0.0.1:{port}/?authSource=admin&directConnection=true"


def stored_address(client: MongoClient[dict[str, Any]]) -> str | None:
    """host:port of the only member as the set knows it; None if there is no set yet.

    Read from where it is kept: `replSetGetConfig` says "no config" for as long as mongod looks for itself in it.
    """
    config = client.local["system.replset"].find_one()
    return str(config["members"][0]["host"]) if config else None


def set_stored_address(client: MongoClient[dict[str, Any]], address: str) -> None:
    """Give the only member another address. Only on a mongod that was started outside of the set."""
    client.local["system.replset"].update_one({}, {"$set": {"members.0.host": address}})


def _join_set(client: MongoClient[dict[str, Any]], address: str) -> None:
    stored = stored_address(client)
    if stored is None:
        member = {"_id": 0, "host": address}
        client.admin.command("replSetInitiate", {"_id": REPLICA_SET, "members": [member]})
    elif stored != address:
        raise WrongAddress(stored, address)


def _wait_for_primary(client: MongoClient[dict[str, Any]], folder: DataFolder) -> None:
    deadline = time.monotonic() + PRIMARY_SECONDS
    while not client.admin.command("hello").get("isWritablePrimary"):
        if time.monotonic() > deadline:
            raise DatabaseBusy(folder.path, "a mongod that does not become writable", PRIMARY_SECONDS)
        time.sleep(POLL_SECONDS)


def _create_user(client: MongoClient[dict[str, Any]], password: str, port: int) -> None:
    if not client.admin.command("usersInfo", USER)["users"]:
        client.admin.command("createUser", USER, pwd=password, roles=list(ROLES), mechanisms=["SCRAM-SHA-256"])
    elif not _may_log_in(port, password):
        # Our file may be newer than the users: it was lost, or the database comes from a backup.
        client.admin.command("updateUser", USER, pwd=password, roles=list(ROLES), mechanisms=["SCRAM-SHA-256"])


def _may_log_in(port: int, password: str) -> bool:
    from pymongo import MongoClient
    from pymongo.errors import OperationFailure

    with MongoClient[dict[str, Any]](embedded_uri_for(port, password)) as client:
        try:
            client.admin.command("ping")
        except OperationFailure as error:
            if error.code != AUTHENTICATION_FAILED:
                raise
            return False
    return True
