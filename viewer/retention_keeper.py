"""The keeper: beside a serving viewer it ends what was cut off, and applies the rules of retention once an hour."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from pymongo.errors import DuplicateKeyError, PyMongoError

from ..observer.access.seen_database import unfiltered
from ..observer.account import host_name
from ..observer.audit import record_entry
from ..observer.errors import CloisterError
from ..observer.mongo import first_sentence
from ..observer.retention.due_records import find_due
from ..observer.retention.expiry import BY_RULE, apply_rules
from ..observer.retention.rules import known_projects, load_rules
from ..observer.retention.tombstones import now
from ..observer.retention.unfinished import finish_all, is_anything_unfinished

if TYPE_CHECKING:
    from pymongo.database import Database

    from .store_access import StoreAccess

logger = logging.getLogger("cloister")

KEEPER = "cloister.retention_keeper"  # in an app's extensions
APPLY_SECONDS = 3600.0
FIRST_SECONDS = 5.0  # the first pages of a start come first
LEASE = timedelta(minutes=30)
STATE = "retention_state"  # {_id: "keeper", holder, until, applied_at, counts}


class RetentionKeeper:
    """A thread that deletes what rules and people have said. One of several viewers does it at a time.

    Only the first start of a database's keeper writes anything there, and only if there is something to delete.
    """

    def __init__(self, databases: Sequence[StoreAccess]) -> None:
        """
        Args:
            databases: those that the viewer serves, the one with the audit log first.
        """
        self._databases = databases
        self._woken = threading.Event()
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name="cloister-retention", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def wake(self) -> None:
        """There is something to do."""
        self._woken.set()

    def stop(self) -> None:
        self._stopped = True
        self._woken.set()
        if self._thread.is_alive():
            self._thread.join(10)

    def _run(self) -> None:
        self._woken.wait(FIRST_SECONDS)
        while not self._stopped:
            self._woken.clear()
            for access in self._databases:
                if not self._stopped:
                    self.keep(access)
            self._woken.wait(APPLY_SECONDS)

    def keep(self, access: StoreAccess) -> None:
        """Do what there is to do in one database. Never raises: it is tried again in an hour."""
        try:
            database = unfiltered(access.get().database)
            home = unfiltered(self._databases[0].get().database)
            if is_anything_unfinished(database):
                finish_all(database)
            _apply(database, home)
        except (CloisterError, PyMongoError, OSError) as error:
            # An account that may only read, a policy that cannot be read, a database that is away.
            logger.warning("Retention was not applied: %s", first_sentence(error))
        except Exception:
            # Wide on purpose: one database whose records are odd must not end the thread that cares for the others.
            logger.exception("Retention was not applied")


def _apply(database: Database[dict[str, Any]], home: Database[dict[str, Any]]) -> None:
    rules, projects = load_rules(database), known_projects(database)
    due = Counter(each.kind for each in find_due(database, rules, projects))
    if not due or not _takes_lease(database):
        return
    record_entry(home, actor=BY_RULE, action="purged", target="by the rules of retention", details=dict(due))
    applied = apply_rules(database, rules, projects)
    done = {"applied_at": now(), "host": host_name(), "counts": dict(due), "left": applied.left[:20]}
    database[STATE].update_one({"_id": "keeper"}, {"$set": done})


def _takes_lease(database: Database[dict[str, Any]]) -> bool:
    """Whether no other viewer is at it."""
    moment = now()
    free = {"_id": "keeper", "$or": [{"until": None}, {"until": {"$lt": moment}}, {"holder": host_name()}]}
    try:
        database[STATE].update_one(free, {"$set": {"until": moment + LEASE, "holder": host_name()}}, upsert=True)
    except DuplicateKeyError:
        return False
    return True
