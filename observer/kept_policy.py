"""What the database's policy says, left beside the journals by a courier: trainings do not wait for the database."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .policy import UnreadablePolicy, policy_digest, policy_document

if TYPE_CHECKING:
    from pymongo.database import Database

KEPT_FILE = "policy.json"  # in a destination's folder


def keep_policy(database: Database[dict[str, Any]], folder: Path) -> None:
    """Leave what the database's policy says in a destination's folder, for the next run that is recorded there.

    Raises:
        OSError: the folder cannot be written.
        pymongo.errors.PyMongoError: the database does not answer.
    """
    document = policy_document(database)
    path = folder / KEPT_FILE
    if document is None:
        path.unlink(missing_ok=True)
        return
    text = json.dumps(document, sort_keys=True, default=str)
    with contextlib.suppress(FileNotFoundError):
        if path.read_text(encoding="utf-8") == text:
            return
    unfinished = path.with_name(f"{path.name}.{os.urandom(4).hex()}")
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    unfinished.replace(path)


def database_policy_digest(folders: Iterable[Path]) -> str:
    """`policy_digest` of what a courier has left in one of a destination's folders."""
    for folder in folders:
        with contextlib.suppress(UnreadablePolicy):
            found = kept_policy(folder)
            if found is not None:
                return policy_digest(found)
    return ""


def kept_policy(folder: Path) -> dict[str, Any] | None:
    """What the database's policy said when a courier of this destination read it last; None where it read none.

    Raises:
        UnreadablePolicy: what is there cannot be understood.
    """
    path = folder / KEPT_FILE
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except ValueError as error:
        raise UnreadablePolicy(str(path), f"it is not JSON ({error})") from error
    except OSError as error:
        raise UnreadablePolicy(str(path), error.strerror or str(error)) from error
    if not isinstance(found, dict):
        raise UnreadablePolicy(str(path), "it is no table")
    return found
