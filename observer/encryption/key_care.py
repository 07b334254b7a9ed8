"""Making, rotating, handing out and destroying a project's keys: what `cloister keys` and `forget-key` do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from ..errors import CloisterError
from ..mongo import stored_for_good
from .data_keys import (
    COLLECTION,
    DataKeyFacts,
    is_key_document,
    new_data_key,
    read_facts,
    store_key_document,
    tombstone,
    unwrapped,
    wrapped_document,
)
from .key_providers import KeyProvider, KeyState, KeyUnavailable
from .keyring import LOCKS
from .recording_key import forget_kept, keep_for_recording

if TYPE_CHECKING:
    from pymongo.database import Database

    from ..settings import Settings


class HasKey(CloisterError, ValueError):
    """A key was to be made for a project that has one."""

    def __init__(self, project: str, where: str) -> None:
        super().__init__(
            f"Project {project!r} has a key already, which encrypts what is stored, and {where} has not that one. "
            "Import it: 'cloister keys import'. A second one would open nothing of what is there."
        )


class KeyHeld(CloisterError, PermissionError):
    """A key was to be destroyed whose project is under legal hold."""

    def __init__(self, project: str, what: str) -> None:
        super().__init__(
            f"The key of project {project!r} is kept: {what} under legal hold, and would be lost with it. Lift the "
            "hold first."
        )


@dataclass(frozen=True)
class ProjectKeys:
    """The keys of a project, as a list shows them.

    Attributes:
        state: of the wrapping key, None where this process has none.
        problem: why it cannot be used here; "" where it can.
        data_keys: those that the database knows, oldest first.
    """

    project: str
    state: KeyState | None
    problem: str
    data_keys: tuple[DataKeyFacts, ...]

    @property
    def is_forgotten(self) -> bool:
        return bool(self.data_keys) and all(key.is_forgotten for key in self.data_keys)

    @property
    def living(self) -> tuple[DataKeyFacts, ...]:
        return tuple(key for key in self.data_keys if not key.is_forgotten)

    @property
    def forgotten_at(self) -> datetime | None:
        return max((key.forgotten_at for key in self.data_keys if key.forgotten_at), default=None)


def list_keys(database: Database[dict[str, Any]], provider: KeyProvider) -> tuple[ProjectKeys, ...]:
    """The projects that have keys in the database, or in a key file, by name."""
    documents: dict[str, list[dict[str, Any]]] = {}
    for document in filter(is_key_document, database[COLLECTION].find({}).sort("creationDate", 1)):
        documents.setdefault(read_facts(document).project, []).append(document)
    projects = getattr(provider, "projects", tuple)
    try:
        named = set(documents) | set(projects())
    except LOCKS:
        named = set(documents)
    return tuple(_describe(project, documents.get(project, []), provider) for project in sorted(named))


def _describe(project: str, documents: list[dict[str, Any]], provider: KeyProvider) -> ProjectKeys:
    facts = tuple(map(read_facts, documents))
    living = [document for document, each in zip(documents, facts, strict=True) if not each.is_forgotten]
    state, problem = None, ""
    try:
        state = provider.find(project)
        if living:
            unwrapped(living[-1], provider)
    except LOCKS as error:
        problem = str(error)
    return ProjectKeys(project, state, problem, facts)


def add_key(database: Database[dict[str, Any]], project: str, provider: KeyProvider, settings: Settings) -> KeyState:
    """Give a project its key, or make use of one that the provider has.

    Raises:
        HasKey: what is stored was encrypted by another one.
    """
    living = living_documents(database, project)
    state = provider.find(project)
    if living and state is None:
        raise HasKey(project, provider.where)
    if state is None:
        state = provider.make(project)
    if living:
        fetch_key(database, project, provider, settings)
    else:
        _store_new(database, project, provider, settings)
    return state


def fetch_key(database: Database[dict[str, Any]], project: str, provider: KeyProvider, settings: Settings) -> bool:
    """Have this machine's runs use the data key that the database has: equal files of theirs are stored once.

    Returns:
        Whether there is one that opens.
    """
    for document in reversed(living_documents(database, project)):
        try:
            unwrapped(document, provider)
        except KeyUnavailable:
            continue
        keep_for_recording(settings, project, document)
        return True
    return False


def rotate_key(
    database: Database[dict[str, Any]],
    project: str,
    provider: KeyProvider,
    settings: Settings,
    *,
    drops_old: bool = False,
) -> tuple[KeyState, int]:
    """Wrap the project's data keys by a new version of its key, and have new runs encrypted by a new data key.

    What is stored is not encrypted anew: the data keys that it needs are there, under the new version.

    Args:
        drops_old: destroy the old versions then: what was wrapped by them, in backups too, opens no more.

    Returns:
        The state afterwards, and how many data keys were wrapped anew.

    Raises:
        KeyUnavailable: a data key does not open. Nothing was changed then.
    """
    documents = living_documents(database, project)
    opened = [unwrapped(document, provider) for document in documents]
    state = provider.rotate(project)
    keys = stored_for_good(database)[COLLECTION]
    for key in opened:
        fresh = wrapped_document(key, provider)
        changed = {name: fresh[name] for name in ("keyMaterial", "masterKey", "updateDate")}
        # Only where it is still wrapped: one that was forgotten in this moment stays so.
        keys.update_one({"_id": fresh["_id"], "keyMaterial": {"$exists": True}}, {"$set": changed})
    _store_new(database, project, provider, settings)
    if drops_old:
        state = provider.drop_old(project)
    return state, len(opened)


def forget_key(database: Database[dict[str, Any]], project: str, provider: KeyProvider, settings: Settings) -> int:
    """Destroy a project's key and its data keys: whatever they encrypted, backups included, is gone for good.

    Returns:
        How many data keys there were.

    Raises:
        KeyHeld: something of the project is under legal hold.
    """
    refuse_if_held(database, project)
    living = living_documents(database, project)
    provider.forget(project)
    keys, now = stored_for_good(database)[COLLECTION], datetime.now(timezone.utc)
    for document in living:
        keys.replace_one({"_id": document["_id"]}, tombstone(read_facts(document), now))
    forget_kept(settings, project)
    return len(living)


def refuse_if_held(database: Database[dict[str, Any]], project: str) -> None:
    """Raises KeyHeld where anything of the project is under legal hold."""
    from ..retention.holds import list_holds

    held = [hold for hold in list_holds(database) if hold.project == project]
    if any(hold.run_id is None for hold in held):
        raise KeyHeld(project, "the project is")
    if held:
        raise KeyHeld(project, f"{len(held)} of its runs are" if len(held) > 1 else f"its run {held[0].run_id} is")


def living_documents(database: Database[dict[str, Any]], project: str) -> list[Mapping[str, Any]]:
    """The project's data keys that were not forgotten, oldest first."""
    found = database[COLLECTION].find({"keyMaterial": {"$exists": True}}).sort("creationDate", 1)
    return [document for document in found if is_key_document(document) and read_facts(document).project == project]


def count_encrypted_runs(database: Database[dict[str, Any]], project: str) -> int:
    """How many runs of the project have encrypted parts, as far as the asker sees them."""
    from .run_sealing import ENCRYPTION

    wanted = {"cloister.project": project, f"{ENCRYPTION}.key": {"$exists": True}}
    return database["runs"].count_documents(wanted)


def _store_new(database: Database[dict[str, Any]], project: str, provider: KeyProvider, settings: Settings) -> None:
    document = wrapped_document(new_data_key(project), provider)
    store_key_document(stored_for_good(database), document)
    keep_for_recording(settings, project, document)
