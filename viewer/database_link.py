"""The database that a viewer reads, found again when the embedded one was killed or has moved to another port."""

from __future__ import annotations

import logging
import time
from threading import Lock, Thread
from typing import TYPE_CHECKING, Any

from ..observer.errors import CloisterError
from ..observer.mongo import client_for, database_name, resolve_uri
from ..observer.runs import RunStore
from .async_client import open_async_client

if TYPE_CHECKING:
    from ..observer.settings import Settings

logger = logging.getLogger("cloister")

REVIVAL_PAUSE_SECONDS = 5.0


class DatabaseLink:
    """The current store and how to reach its database. A site's own database never changes; the embedded one may."""

    def __init__(self, settings: Settings) -> None:
        """Connects lazily; starts the embedded database if that is the one and it does not run."""
        self._settings = settings
        self._lock = Lock()
        self._looked_at = time.monotonic()
        self._use(resolve_uri(settings))

    def open_async_client(self) -> Any:
        """An asynchronous client of the database as it is reached now."""
        return open_async_client(self.uri, self._settings.async_driver)

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
        self.store = RunStore(client_for(uri)[database_name(uri, self._settings)])
