"""Every change of a run, as it happens: from a change stream, or by asking once a second where there is none."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any, Literal

from pymongo.errors import OperationFailure, PyMongoError

from ..observer.mongo import first_sentence
from ..observer.run_changes import CHANGE_STAGES, read_change
from ..observer.run_collections import collections_of
from .async_client import close_async_client, next_event, open_change_stream
from .request_threads import RequestThreads
from .run_keys import RunKey, run_key

if TYPE_CHECKING:
    from ..observer.runs import RunChange
    from .store_access import StoreAccess

logger = logging.getLogger("cloister")

Gap = Literal["gap"]  # changes may have been missed: pages fetch everything anew

POLL_SECONDS = 1.0
# Couriers stamp changes by their own clocks, and two hosts' clocks differ: each question reaches back this far.
POLL_OVERLAP = timedelta(seconds=30)
FIRST_RETRY_SECONDS, LAST_RETRY_SECONDS = 0.25, 5.0

_NO_CHANGE_STREAMS = frozenset({20, 40573, 13})  # IllegalOperation, not a replica set, Unauthorized
_TOKEN_IS_USELESS = frozenset({260, 280, 286})  # InvalidResumeToken, ChangeStreamFatalError, ChangeStreamHistoryLost


class ChangeFeed:
    """Yields changes for ever, whatever the database does meanwhile. Belongs to one event loop."""

    def __init__(self, access: StoreAccess, open_client: Callable[[], Any] | None) -> None:
        """`open_client` gives an asynchronous client; without one the feed polls."""
        self._access = access
        self._open_client = open_client
        self._token: Any = None
        self._threads = RequestThreads(count=1)
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        """Let `follow` end soon. Cancelling it instead could hit PyMongo while it connects, and leak the socket."""
        self._stopping.set()

    async def follow(self) -> AsyncIterator[RunChange | Gap]:
        """Changes from now on until `stop`. After a time in which some may have been missed comes a "gap"."""
        if self._open_client is not None:
            async for change in self._follow_stream(self._open_client):
                yield change
        async for change in self._poll():
            yield change

    async def _follow_stream(self, open_client: Callable[[], Any]) -> AsyncIterator[RunChange | Gap]:
        """Ends where the server has no change streams, or when told to."""
        retry_seconds = FIRST_RETRY_SECONDS
        missed = True  # whoever watches since before the stream was open
        while not self._stopping.is_set():
            client = open_client()  # a new one each time: the embedded database may be at another port by now
            try:
                async for event in self._read_stream(client):
                    retry_seconds = FIRST_RETRY_SECONDS
                    if missed:
                        missed = False
                        yield "gap"
                    change = read_change(event) if event is not None else None
                    if change is not None:
                        yield change
                self._token = None  # the collection was dropped or renamed: its stream cannot be resumed
            except PyMongoError as error:
                if _code(error) in _NO_CHANGE_STREAMS:
                    logger.info("This MongoDB offers no change streams (%s); live updates poll.", error)
                    return
                if _code(error) in _TOKEN_IS_USELESS:
                    self._token = None
                if retry_seconds == FIRST_RETRY_SECONDS:  # once for each outage
                    logger.warning("Live updates wait for the database: %s", first_sentence(error))
                self._access.look_again()
            except asyncio.TimeoutError:
                logger.warning("Live updates had no answer from the database and ask anew.")
                self._access.look_again()
            finally:
                await close_async_client(client)
            missed = missed or self._token is None
            await self._pause(retry_seconds)
            retry_seconds = min(retry_seconds * 2, LAST_RETRY_SECONDS)

    async def _read_stream(self, client: Any) -> AsyncIterator[Any]:
        """Events, and None whenever the server had none for a moment."""
        database = self._access.get().database
        runs = client[database.name][collections_of(database).name("runs")]
        async with open_change_stream(runs, CHANGE_STAGES, resume_after=self._token) as stream:
            while stream.alive and not self._stopping.is_set():
                event = await next_event(stream, self._stopping)
                self._token = stream.resume_token
                yield event

    async def _poll(self) -> AsyncIterator[RunChange | Gap]:
        loop = asyncio.get_running_loop()
        seen: dict[RunKey, RunChange] = {}
        newest = datetime.now(timezone.utc) - POLL_OVERLAP
        while not self._stopping.is_set():
            try:
                changes = await loop.run_in_executor(
                    self._threads, self._access.get().changes_since, newest - POLL_OVERLAP
                )
            except PyMongoError as error:
                logger.info("Asking for changes failed: %s", first_sentence(error))
            else:
                for change in changes:
                    newest = max(newest, change.updated_at)
                    if seen.get(run_key(change.run_id)) != change:
                        yield change
                seen = {run_key(change.run_id): change for change in changes}
            await self._pause(POLL_SECONDS)

    async def _pause(self, seconds: float) -> None:
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), seconds)


def _code(error: PyMongoError) -> int | None:
    return error.code if isinstance(error, OperationFailure) else None
