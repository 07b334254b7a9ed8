"""The live hub: one feed of changes for the whole process, handed to every page that watches."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING

from ..observer.access.principal import LOCAL, Principal
from ..observer.access.visibility import sees
from ..observer.errors import CloisterError
from .async_client import AWAIT_MS
from .live_history import LiveEvent, LiveHistory
from .run_keys import RunKey, run_key

if TYPE_CHECKING:
    from ..observer.runs import RunChange
    from .change_feed import ChangeFeed, Gap

logger = logging.getLogger("cloister")

EVENTS_PER_SECOND = 2  # of one run: a training that logs a thousand times a second redraws no page more often
# Of each run only the newest change waits for a slow reader; one that is behind by more runs than this looks anew.
WAITING_RUNS = 512
STREAMS = 768
STREAMS_PER_ADDRESS = 256  # an office behind one address, or a proxy of which nobody told us
IDENTITY_SECONDS = 2.0  # for so long all streams of one browser are known to be of whom one of them is
STOP_SECONDS = 2 * AWAIT_MS / 1000  # motor cannot be interrupted before the server has answered


class TooManyStreams(CloisterError, RuntimeError):
    """The viewer has as many live streams as it takes."""

    def __init__(self, count: int) -> None:
        super().__init__(
            f"This viewer already has {count} live streams. Close some of its pages; this one works without live "
            "updates until then."
        )


@dataclass(frozen=True)
class Interest:
    """Which changes a page wants: of one run, of one project's runs, or all."""

    project: str | None = None
    run: RunKey | None = None

    def covers(self, change: RunChange) -> bool:
        if self.run is not None:
            return run_key(change.run_id) == self.run
        return self.project is None or change.project == self.project


class Subscription:
    """What one page has not been told yet. Used from the event loop only.

    However slowly it is read, no more waits for it than the newest change of each of `WAITING_RUNS` runs, or the word
    that it has to look anew.

    Attributes:
        principal: for whom the page is. Changes of runs that they do not see are not for them.
    """

    def __init__(self, interest: Interest, address: str, principal: Principal = LOCAL) -> None:
        self.interest = interest
        self.principal = principal
        self.address = address
        self._waiting: dict[RunKey, LiveEvent] = {}
        self._filled = asyncio.Event()
        self.closed = False

    @property
    def waiting_count(self) -> int:
        return len(self._waiting)

    def is_for(self, item: RunChange | Gap) -> bool:
        return item == "gap" or (self.interest.covers(item) and sees(self.principal, item))

    def put(self, event: LiveEvent) -> None:
        key = _key_of(event.item)
        if "gap" in self._waiting:  # whoever looks anew needs no single changes
            event, key = LiveEvent(event.number, "gap"), "gap"
        elif key != "gap" and key not in self._waiting and len(self._waiting) >= WAITING_RUNS:
            self._waiting.clear()
            event, key = LiveEvent(event.number, "gap"), "gap"
        self._waiting.pop(key, None)  # to the end: numbers ascend
        self._waiting[key] = event
        self._filled.set()

    async def take(self, timeout_seconds: float) -> list[LiveEvent]:
        """All that waits, once something does; an empty list after `timeout_seconds` or when closed."""
        try:
            await asyncio.wait_for(self._filled.wait(), timeout_seconds)
        except asyncio.TimeoutError:
            return []
        events = list(self._waiting.values())
        self._waiting.clear()
        if not self.closed:
            self._filled.clear()
        return events

    def close(self) -> None:
        self.closed = True
        self._filled.set()


class LiveHub:
    """Collects changes and passes the newest of each run on, at most twice a second."""

    def __init__(self, feed: ChangeFeed, *, streams: int = STREAMS, per_address: int = STREAMS_PER_ADDRESS) -> None:
        self._feed = feed
        self._limit, self._limit_per_address = streams, per_address
        self._subscriptions: set[Subscription] = set()
        self._latest: dict[RunKey, RunChange | Gap] = {}
        self._changed = asyncio.Event()
        self.history = LiveHistory()
        self._identities: dict[Hashable, tuple[float, asyncio.Future[Principal | None]]] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._closed = False

    @property
    def stream_count(self) -> int:
        return len(self._subscriptions)

    def start(self) -> None:
        """Begin to listen. Called on the event loop that the streams live on."""
        self._tasks = [asyncio.ensure_future(self._listen()), asyncio.ensure_future(self._hand_out())]

    async def stop(self) -> None:
        """End every stream and the feed."""
        self._closed = True
        for subscription in self._subscriptions:
            subscription.close()
        self._feed.stop()
        listening, handing_out = self._tasks
        handing_out.cancel()
        await asyncio.wait({listening, handing_out}, timeout=STOP_SECONDS)
        while not listening.done():  # the database does not answer; PyMongo may take one cancelling for an error of it
            listening.cancel()
            await asyncio.wait({listening}, timeout=0.1)

    def subscribe(
        self,
        interest: Interest,
        *,
        address: str,
        principal: Principal = LOCAL,
    ) -> Subscription:
        """A new reader; it must `unsubscribe`.

        Raises:
            TooManyStreams: there are as many as the viewer takes, in all or from this address.
        """
        from_there = sum(1 for other in self._subscriptions if other.address == address)
        if self._closed or len(self._subscriptions) >= self._limit or from_there >= self._limit_per_address:
            raise TooManyStreams(len(self._subscriptions))
        subscription = Subscription(interest, address, principal)
        self._subscriptions.add(subscription)
        return subscription

    def unsubscribe(self, subscription: Subscription) -> None:
        self._subscriptions.discard(subscription)

    async def identify(
        self, credentials: Hashable, find: Callable[[], Awaitable[Principal | None]]
    ) -> Principal | None:
        """Who shows these credentials. All tabs of a browser show the same, and the database is asked once for them."""
        now = monotonic()
        self._identities = {key: known for key, known in self._identities.items() if now - known[0] < IDENTITY_SECONDS}
        known = self._identities.get(credentials)
        if known is None:
            known = now, asyncio.ensure_future(find())
            self._identities[credentials] = known
        return await asyncio.shield(known[1])

    async def _listen(self) -> None:
        async for change in self._feed.follow():
            self._latest[_key_of(change)] = change
            self._changed.set()

    async def _hand_out(self) -> None:
        while True:
            await self._changed.wait()
            self._changed.clear()
            latest, self._latest = self._latest, {}
            events = [self.history.add(change) for change in latest.values()]
            for subscription in list(self._subscriptions):
                for event in events:
                    if subscription.is_for(event.item):
                        subscription.put(event)
            await asyncio.sleep(1 / EVENTS_PER_SECOND)


def _key_of(item: RunChange | Gap) -> RunKey:
    return "gap" if item == "gap" else run_key(item.run_id)  # no run's key is this word; one entry however many gaps
