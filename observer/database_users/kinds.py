"""The kinds of database users and the least that each needs. MongoDB grants rights by collection, and so do we."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ..errors import CloisterError
from ..run_collections import Collections

Privilege = dict[str, Any]

READ = ("find", "listIndexes", "collStats")
LOOK = (*READ, "changeStream")
ADD = ("insert", "createCollection", "createIndex")
CHANGE = ("update",)
REMOVE = ("remove",)
DATABASE = ("listCollections", "dbStats")

# All that a run has. Of these a recorder only removes what it has written anew in another form, never a run or a file.
RUN_RECORDS = ("runs", "metrics", "metric_values", "console", "counters", "fs.files")
REWRITTEN = ("metric_chunks", "metric_tails", "metric_pyramid", "fs.chunks", "uploads", "file_claims")
# A recorder makes a project by its first run. Who may update one says who sees it, which is not the recorder's affair.
ADDED_ONCE = ("projects", "encryption_keys")
# What a recorder reads of the site: how strictly it has to record, and which runs were deleted.
RULES = ("policy", "tombstones")

# What the viewer keeps for itself. A collection that the code uses and no line here names fails a test.
SITE = (
    "users",
    "sessions",
    "tokens",
    "groups",
    "login_attempts",
    "pending_sign_ins",
    "shares",
    "viewer_settings",
    "views",
    "reports",
    "report_versions",
    "layouts",
    "retention_state",
    "erasures",
    "trash",
    "purges",
    "erasures",
)
AUDIT = ("audit", "audit_seals")


@dataclass(frozen=True)
class Kind:
    """One kind of database user.

    Attributes:
        name: what commands call it.
        role: MongoDB's role, made in the database that it is for; never changes once released.
        own_database: whether each such user gets a database of its own, which is how MongoDB keeps records apart.
        grants: collections and what may be done with them.
    """

    name: str
    role: str
    summary: str
    grants: tuple[tuple[tuple[str, ...], tuple[str, ...]], ...]
    own_database: bool = False
    built_in: tuple[str, ...] = ()

    def privileges(self, database: str, collections: Collections) -> list[Privilege]:
        """As MongoDB's createRole takes them."""
        rights = {name: set(actions) for name, actions in self._by_collection()}
        on_collections = [
            {"resource": {"db": database, "collection": collections.name(name)}, "actions": sorted(actions)}
            for name, actions in rights.items()
        ]
        return [{"resource": {"db": database, "collection": ""}, "actions": list(DATABASE)}, *on_collections]

    def _by_collection(self) -> Iterator[tuple[str, tuple[str, ...]]]:
        for names, actions in self.grants:
            for name in names:
                yield name, actions


RECORDING = (
    (RUN_RECORDS, (*READ, *ADD, *CHANGE)),
    (REWRITTEN, (*READ, *ADD, *CHANGE, *REMOVE)),
    (ADDED_ONCE, (*READ, *ADD)),
    (RULES, ("find",)),
)

KINDS: tuple[Kind, ...] = (
    Kind(
        name="recorder",
        role="cloisterRecorder",
        summary="records into a database of its own, and cannot read, change or delete anybody else's runs",
        grants=RECORDING,
        own_database=True,
    ),
    Kind(
        name="team-recorder",
        role="cloisterTeamRecorder",
        summary="records into the team's database: reads and changes its runs, deletes none, sees no accounts",
        grants=RECORDING,
    ),
    Kind(
        name="viewer",
        role="cloisterViewer",
        summary="what 'cloister serve' needs: all of it, but the audit log is only read and added to",
        grants=(
            ((*RUN_RECORDS, *REWRITTEN, *ADDED_ONCE, *RULES, *SITE), (*LOOK, *ADD, *CHANGE, *REMOVE)),
            (AUDIT, (*LOOK, *ADD)),
        ),
    ),
    Kind(
        name="admin",
        role="cloisterAdmin",
        summary="everything in this database, its database users included",
        grants=(),
        built_in=("readWrite", "dbAdmin", "userAdmin"),
    ),
)


class UnknownKind(CloisterError, LookupError):
    """There is no such kind of database user."""

    def __init__(self, name: str) -> None:
        super().__init__(f"There is no kind {name!r} of database users. The kinds are {_listed()}.")


def find_kind(name: str) -> Kind:
    """The kind of this name.

    Raises:
        UnknownKind: there is none.
    """
    for kind in KINDS:
        if kind.name == name:
            return kind
    raise UnknownKind(name)


def _listed() -> str:
    return ", ".join(kind.name for kind in KINDS)
