"""Makes the replica set and Cloister's user in the team's MongoDB; what is there already is left as it should be.

Reads MONGO_ADDRESS (host:port), MONGO_ROOT_PASSWORD_FILE, and CLOISTER_URI_FILE: its user and database are made.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

from pymongo import MongoClient
from pymongo.errors import AutoReconnect, OperationFailure, PyMongoError
from pymongo.uri_parser import parse_uri

PATIENCE_SECONDS = 120
ALREADY_INITIALIZED = 23  # MongoDB's error codes
USER_EXISTS = 51003


def main() -> str | None:
    """None when all is as it should be, else what is wrong."""
    address = os.environ["MONGO_ADDRESS"]
    password = Path(os.environ["MONGO_ROOT_PASSWORD_FILE"]).read_text(encoding="utf-8").strip()
    wanted = parse_uri(Path(os.environ["CLOISTER_URI_FILE"]).read_text(encoding="utf-8").strip(), validate=False)
    if not (wanted["username"] and wanted["password"] and wanted["database"]):
        return "The URI in CLOISTER_URI_FILE needs a user, a password and a database."
    try:
        with MongoClient[dict[str, Any]](
            address, username="root", password=password, authSource="admin", directConnection=True
        ) as client:
            initiate_replica_set(client, address, name=wanted["options"].get("replicaSet", "cloister"))
            wait_until_writable(client)
            create_user(client, wanted["username"], wanted["password"], wanted["database"])
    except PyMongoError as error:
        return f"MongoDB at {address} could not be set up: {error}"
    print(f"MongoDB at {address} is ready for user {wanted['username']!r}, database {wanted['database']!r}.")
    return None


def initiate_replica_set(client: MongoClient[dict[str, Any]], address: str, *, name: str) -> None:
    config = {"_id": name, "members": [{"_id": 0, "host": address}]}
    try:
        client.admin.command("replSetInitiate", config)
    except OperationFailure as error:
        if error.code != ALREADY_INITIALIZED:
            raise


def wait_until_writable(client: MongoClient[dict[str, Any]]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        try:
            if client.admin.command("hello").get("isWritablePrimary"):
                return
        except AutoReconnect:
            pass  # it drops connections while it becomes primary
        time.sleep(0.2)
    sys.exit(f"MongoDB did not become writable within {PATIENCE_SECONDS} s. Its log: docker compose logs mongo")


def create_user(client: MongoClient[dict[str, Any]], name: str, password: str, database: str) -> None:
    """A user who may read and write one database and nothing else."""
    rights = {"pwd": password, "roles": [{"role": "readWrite", "db": database}]}
    try:
        client.admin.command("createUser", name, **rights)
    except OperationFailure as error:
        if error.code != USER_EXISTS:
            raise
        client.admin.command("updateUser", name, **rights)


if __name__ == "__main__":
    sys.exit(main())
