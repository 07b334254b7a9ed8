"""Making a fresh or interrupted mongod usable: a replica set of one member, and the user `cloister`."""

from __future__ import annotations

import time
from typing import Any

from .data_folder import USER, DataFolder
from .errors import DatabaseBusy
from .process import REPLICA_SET

PRIMARY_SECONDS = 60.0
POLL_SECONDS = 0.005

# What recording, reading back, indexes, change streams and `cloister doctor` need, in whichever database a site names.
# Not `root`: whoever gets hold of the URI cannot add users or shut the server down.
ROLES = ("readWriteAnyDatabase", "dbAdminAnyDatabase", "clusterMonitor")

NOT_INITIATED = 94
NOT_IN_CONFIG = 93
USER_NOT_FOUND = 11
AUTHENTICATION_FAILED = 18


def set_up(folder: DataFolder, port: int) -> None:
    """Bring the running mongod to where `cloister` can log in and write. Each step looks first, so it may be repeated.

    We log in as `__system`, the user that every mongod with a key file has and whose password is the key: it works
    before there are users, and it does not depend on what an interrupted start left behind.
    """
    from pymongo import MongoClient  # see connect(): never loaded by importing

    login = {"username": "__system", "password": folder.read_key(), "authSource": "local"}
    with MongoClient[dict[str, Any]](
        "127.0.0.1", port, directConnection=True, serverSelectionTimeoutMS=10_000, appName="cloister", **login
    ) as client:
        _join_set(client, f"127.0.0.1:{port}")
        _wait_for_primary(client, folder)
        _create_user(client, folder.read_password())


def embedded_uri_for(port: int, password: str) -> str:
    """The URI for everybody. `directConnection`: the set's own idea of its address, after a new port, does not matter."""
    return f"mongodb://{USER}:{password}@127.0.0.1:{port}/?authSource=admin&directConnection=true"


def _join_set(client: Any, host: str) -> None:
    from pymongo.errors import OperationFailure

    try:
        config = client.admin.command("replSetGetConfig")["config"]
    except OperationFailure as error:
        if error.code != NOT_INITIATED:
            raise
        member = {"_id": 0, "host": host}
        client.admin.command("replSetInitiate", {"_id": REPLICA_SET, "members": [member]})
        return
    if config["members"][0]["host"] != host:
        # The port changed, so the member does not find itself in the set. Force: there is no primary to agree.
        config["members"] = [{**config["members"][0], "host": host}]
        config["version"] += 1
        client.admin.command("replSetReconfig", config, force=True)


def _wait_for_primary(client: Any, folder: DataFolder) -> None:
    deadline = time.monotonic() + PRIMARY_SECONDS
    while not client.admin.command("hello").get("isWritablePrimary"):
        if time.monotonic() > deadline:
            raise DatabaseBusy(folder.path, "a mongod that does not become writable", PRIMARY_SECONDS)
        time.sleep(POLL_SECONDS)


def _create_user(client: Any, password: str) -> None:
    if not client.admin.command("usersInfo", USER)["users"]:
        client.admin.command("createUser", USER, pwd=password, roles=list(ROLES), mechanisms=["SCRAM-SHA-256"])
    elif not _may_log_in(client, password):
        client.admin.command("updateUser", USER, pwd=password, roles=list(ROLES))


def _may_log_in(client: Any, password: str) -> bool:
    """Whether the stored user has the password of our file, which may be newer than a database put back from a backup."""
    from pymongo import MongoClient
    from pymongo.errors import OperationFailure

    host, port = next(iter(client.nodes))
    with MongoClient[dict[str, Any]](
        host, port, directConnection=True, username=USER, password=password, authSource="admin"
    ) as user:
        try:
            user.admin.command("ping")
        except OperationFailure as error:
            if error.code != AUTHENTICATION_FAILED:
                raise
            return False
    return True
