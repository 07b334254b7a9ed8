"""Which of several URIs for one database lets us in: passwords are changed while trainings run."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import replace

from .errors import CloisterError
from .settings import Settings, read_uri_file

URIS_KEPT = 8


class WorkingUris:
    """The URI of the settings, the one in the settings' file as it is now, and those that trainings have lent.

    All name the same hosts and database. The one in use is kept until it is refused; then the others are tried in turn,
    the newest first, and again from the start: a password that was wrong may become right.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._known: deque[str] = deque(maxlen=URIS_KEPT)
        self._refused: set[str] = set()
        if settings.uri is not None:
            self._known.append(settings.uri)
        self._current = settings.uri

    def best(self) -> str | None:
        """The URI to try next; None for the embedded database."""
        if self._settings.uri is None:
            return None
        self._read_file()
        if self._current is None or self._current in self._refused:
            hopeful = [uri for uri in reversed(self._known) if uri not in self._refused]
            if not hopeful:
                self._refused.clear()
                hopeful = list(reversed(self._known))
            self._current = hopeful[0]
        return self._current

    def refused(self) -> None:
        """The database did not let the last one in."""
        if self._current is not None:
            self._refused.add(self._current)

    def lend(self, uris: Iterable[str]) -> None:
        """Take further ones; those of another database are left alone."""
        from .mongo import destination

        ours = destination(self._settings)
        for uri in uris:
            if uri not in self._known and destination(replace(self._settings, uri=uri)) == ours:
                self._known.append(uri)

    def _read_file(self) -> None:
        if self._settings.uri_file is not None:
            try:
                self.lend([read_uri_file(self._settings.uri_file)])
            except CloisterError:  # being written in this moment, or removed: the next attempt reads it again
                return
