"""What `docker-entrypoint.sh` of the image `mongo` does with our command, for machines without that image.

On an empty data folder it starts mongod on loopback without accounts, makes the root user and stops it; then it becomes
mongod as told. The real one makes the user with mongosh.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pymongo

NOT_FOR_THE_FIRST_START = ("--auth", "--keyFile", "--replSet", "--bind_ip")


def main(command: list[str]) -> None:
    options = dict(word.split("=", 1) for word in command if "=" in word)
    if not (Path(options["--dbpath"]) / "WiredTiger").exists():
        make_root_user(command, int(options["--port"]))
    os.execvp(command[0], command)


def make_root_user(command: list[str], port: int) -> None:
    first = [word for word in command if not word.startswith(NOT_FOR_THE_FIRST_START)]
    mongod = subprocess.Popen([*first, "--bind_ip=127.0.0.1"])
    with pymongo.MongoClient("127.0.0.1", port, serverSelectionTimeoutMS=30_000) as client:
        client.admin.command(
            "createUser",
            os.environ["MONGO_INITDB_ROOT_USERNAME"],
            pwd=Path(os.environ["MONGO_INITDB_ROOT_PASSWORD_FILE"]).read_text(encoding="utf-8"),
            roles=[{"role": "root", "db": "admin"}],
        )
    mongod.terminate()
    mongod.wait(60)


if __name__ == "__main__":
    main(sys.argv[1:])
