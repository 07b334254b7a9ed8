"""The database that a viewer reads, found again when the embedded one was killed or has moved to another port."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from dataclasses import replace
from threading import Lock, Thread
from typing import TYPE_CHECKING, Any

from ..observer.errors import CloisterError
from ..observer.mongo import address_of, client_for, database_name, resolve_uri
from ..observer.read_only import read_only
from ..observer.run_collections import Collections, with_collections
from ..observer.runs import RunStore
from .async_client import open_async_client
from .database_paths import path_of
from .database_specs import DatabaseSpec, default_name, parse_specs
from .store_access import ServedDatabase, StoreAccess

if TYPE_CHECKING:
    from ..observer.settings import Settings

logger = logging.getLogger("cloister")

REVIVAL_PAUSE_SECONDS = 5.0
DEFAULT = Collections()


class DatabaseLink:
    """The current store and how to reach its database. A site's own database never changes; the embedded one may."""

    def __init__(self, settings: Settings, collections: Collections = DEFAULT, *, only_read: bool = False) -> None:
        """Connects lazily; starts the embedded database if that is the one and it does not run.

        Through the stores of a link that shall `only_read` nothing can be written.
        """
        self._settings = settings
        self._collections = collections
        self._only_read = only_read
        self._lock = Lock()
        self._looked_at = time.monotonic()
        self._use(resolve_uri(settings))

    def open_async_client(self) -> Any:
        """An asynchronous client of the database as it is reached now."""
        return open_async_client(self.uri, self._settings.async_driver)

    def store_of(self, database: str, collections: Collections) -> RunStore:
        """The store of any database of the same server, as it is reached now."""
        found = (
            self.client[database] if collections.is_default else with_collections(self.client[database], collections)
        )
        return RunStore(read_only(found) if self._only_read else found)

    def look_again(self) -> None:
        """The database did not answer: see in the background whether the embedded one is elsewhere or was killed.

        One that was stopped on purpose stays stopped until a run or `cloister db start` needs it.
        """
        with self._lock:
            if self._settings.uri is not None or time.monotonic() - self._looked_at < REVIVAL_PAUSE_SECONDS:
                return
            self._looked_at = time.monotonic()
        Thread(target=self._find_embedded, name="cloister-database-link", daemon=True).start()

    def _find_embedded(self) -> None:
        from ..observer.embedded.data_folder import DataFolder
        from ..observer.embedded.process import was_killed
        from ..observer.embedded.server import embedded_uri, ensure_running

        try:
            uri = embedded_uri(self._settings)
            if uri is None and was_killed(DataFolder.of(self._settings)):
                logger.warning("The embedded database was killed; it is started again.")
                uri = ensure_running(self._settings)
        except (CloisterError, OSError) as error:
            logger.error("The embedded database cannot be started: %s", error)
            return
        if uri is not None and uri != self.uri:
            self._use(uri)

    def _use(self, uri: str) -> None:
        # The client before is left to end with its last request: closing it would break off what others read from it.
        self.uri = uri
        self.client = client_for(uri)
        self.store = self.store_of(database_name(uri, self._settings), self._collections)


def open_databases(
    settings: Settings, *, collections: str = "", also: Iterable[str] = (), only_read: bool = False
) -> tuple[ServedDatabase, ...]:
    """The databases of a viewer: the one that the settings name, and those of `also` as people write them.

    Args:
        only_read: nothing can be written through any of them.

    Raises:
        BadDatabaseSpec, BadCollections: one of them is named in a way that names none.
    """
    chosen = Collections.parse(collections)
    link = DatabaseLink(settings, chosen, only_read=only_read)
    name = default_name(link.store.database.name, chosen)
    specs = parse_specs(also, first_name=name)
    first = _serve(name, "", link, link.store.database.name, chosen)
    return (first, *(_open_further(spec, settings, link, only_read) for spec in specs))


def _open_further(spec: DatabaseSpec, settings: Settings, link: DatabaseLink, only_read: bool) -> ServedDatabase:
    if spec.uri is not None:
        link = DatabaseLink(replace(settings, uri=spec.uri), only_read=only_read)
    return _serve(spec.name, path_of(spec.name), link, spec.database, spec.collections)


def _serve(name: str, path: str, link: DatabaseLink, database: str, collections: Collections) -> ServedDatabase:
    access = StoreAccess(lambda: link.store_of(database, collections), link.look_again)
    where = f"{address_of(link.client)}/{database}"
    source = where if collections.is_default else f"{where}, {_collection_words(collections)}"
    return ServedDatabase(name, access, path, source, link.open_async_client)


def _collection_words(collections: Collections) -> str:
    return f"collections {collections.prefix}_*" if collections.prefix else f"collection {collections.runs}"
