"""`/api/v1/live`: changes pushed to the browser as server-sent events."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Any

from pymongo.errors import PyMongoError
from tornado.gen import with_timeout
from tornado.iostream import StreamClosedError
from tornado.web import RequestHandler

from ..observer.access.principal import NOBODY
from .accounts.current import principal_of_request
from .api.parameters import BadParameter, parse_instant, parse_run_key, single_values
from .api.run_json import change_json
from .errors_page import NOT_FOUND_SENTENCE, NOT_FOUND_TITLE, Problem
from .live_history import LiveEvent, is_place
from .live_hub import Interest, LiveHub, Subscription, TooManyStreams
from .security import HostRule, find_refusal, headers_for
from .wsgi_bridge import WRITE_TIMEOUT_SECONDS, peer_of

if TYPE_CHECKING:
    from ..observer.access.principal import Principal
    from ..observer.runs import RunChange
    from .accounts.current import Accounts
    from .change_feed import Gap
    from .request_threads import RequestThreads
    from .store_access import StoreAccess

logger = logging.getLogger("cloister")

LIVE_PATH = "/api/v1/live"
HEARTBEAT_SECONDS = 15.0
RECONNECT_MS = 2000
RECHECK_SECONDS = 2.5  # a stream ends within five seconds of its session, and hears no more of runs taken from it


class LiveStream(RequestHandler):
    """One page's stream. `?project=NAME` or `?run=ID` narrows it; `?since=TIME` first sends what changed since then,
    and the id of the last event that was heard, as browsers send it by themselves, what was told since that one."""

    def initialize(
        self, hub: LiveHub, access: StoreAccess, rule: HostRule, threads: RequestThreads, accounts: Accounts
    ) -> None:
        self.hub, self.access, self.rule, self.threads, self.accounts = hub, access, rule, threads, accounts
        self._subscription: Subscription | None = None

    def set_default_headers(self) -> None:
        self.clear_header("Server")
        for name, value in headers_for(self.request.protocol).items():
            self.set_header(name, value)

    async def get(self) -> None:
        problem = self._find_problem()
        principal = NOBODY if problem is not None else await self._identify()
        if problem is None:
            problem = _find_refusal_of(principal)
        if problem is not None or principal is None:
            self._refuse(problem or UNREACHABLE)
            return
        asked = parse_live_request(self._arguments(), self.request.headers.get("Last-Event-ID"))
        try:
            subscription = self.hub.subscribe(asked.interest, address=self._address(), principal=principal)
        except TooManyStreams as error:
            self.set_header("Retry-After", "30")
            self._refuse(Problem(503, "Too many live streams", str(error)))
            return
        self._subscription = subscription
        try:
            place = self.hub.history.place  # what is told from here on waits in the subscription
            await self._open()
            self._write_events(await self._missed(asked, subscription))
            await self._say_place(place)
            await self._follow(subscription)
        except (StreamClosedError, TimeoutError):
            self._cut()  # the page was closed, or takes nothing any more
        finally:
            self.hub.unsubscribe(subscription)

    def on_connection_close(self) -> None:
        """The page is gone: nothing waits for it any more, not even until the next heartbeat."""
        if self._subscription is not None:
            self._subscription.close()

    async def _follow(self, subscription: Subscription) -> None:
        """Send what comes until the stream is closed, or whom it is for may not have it any more."""
        checked = sent = monotonic()
        while not subscription.closed:
            events = await subscription.take(RECHECK_SECONDS if self.accounts.have_been_needed else HEARTBEAT_SECONDS)
            if monotonic() - checked >= RECHECK_SECONDS:
                principal, checked = await self._identify(), monotonic()
                if principal is not None and _find_refusal_of(principal) is not None:
                    return
                subscription.principal = principal or subscription.principal  # an outage takes no rights away
            events = [event for event in events if subscription.is_for(event.item)]
            if subscription.closed:
                return
            if events:
                self._write_events(events)
                await self._flush()
                sent = monotonic()
            elif monotonic() - sent >= HEARTBEAT_SECONDS:
                # Whatever was told meanwhile was not for this page: where it goes on from moves along.
                await self._say_place(self.hub.history.place if not subscription.waiting_count else "")
                sent = monotonic()

    async def _identify(self) -> Principal | None:
        """For whom the stream is; None while the database does not say."""
        headers = self.request.headers
        cookies = {name: morsel.value for name, morsel in self.request.cookies.items()}
        find = partial(
            principal_of_request,
            headers,
            cookies,
            self._address(),
            accounts=self.accounts,
            secure=self.request.protocol == "https",
            peer=peer_of(self.request),
        )

        async def ask() -> Principal | None:
            try:
                return await asyncio.get_running_loop().run_in_executor(self.threads, find)
            except (PyMongoError, asyncio.CancelledError):  # the latter: the viewer ends, and its threads take no calls
                return None

        # All headers that could say who asks; a proxy's word for it is one of them.
        shown = (self._address(), self.request.protocol, peer_of(self.request), *sorted(self._identifying()))
        return await self.hub.identify(shown, ask)

    def _identifying(self) -> list[tuple[str, str]]:
        """What the request says that may tell who asks: all but what differs from tab to tab."""
        return [(name, value) for name, value in self.request.headers.get_all() if name not in _OF_A_TAB]

    def _find_problem(self) -> Problem | None:
        headers = self.request.headers
        problem = find_refusal(
            method="GET",
            host=headers.get("Host"),
            origin=headers.get("Origin"),
            fetch_site=headers.get("Sec-Fetch-Site"),
            rule=self.rule,
            own_page_only=True,
            scheme=self.request.protocol,
        )
        if problem is not None:
            return problem
        try:
            parse_live_request(self._arguments(), headers.get("Last-Event-ID"))
        except BadParameter as error:
            return Problem(400, "Bad request", str(error))
        return None

    async def _open(self) -> None:
        self.set_header("Content-Type", "text/event-stream; charset=utf-8")
        self.set_header("X-Accel-Buffering", "no")  # nginx would hold events back
        self.write(f"retry: {RECONNECT_MS}\n: open\n\n")
        await self._flush()

    async def _missed(self, asked: LiveRequest, subscription: Subscription) -> list[LiveEvent]:
        """What happened before the stream was open: exactly that where it was told by this hub not long ago."""
        if asked.after is not None:
            told = self.hub.history.after(asked.after)
            if told is None:
                return [LiveEvent(self.hub.history.last, "gap")]
            newest = {event.item if event.item == "gap" else event.item.run_id: event for event in told}
            return [event for event in newest.values() if subscription.is_for(event.item)]
        changes = await self._changes_since(asked.since, subscription)
        return [LiveEvent(self.hub.history.last, change) for change in changes if subscription.is_for(change)]

    async def _changes_since(self, since: datetime | None, subscription: Subscription) -> Sequence[RunChange | Gap]:
        if since is None:
            return []
        loop = asyncio.get_running_loop()
        store = self.access.get().seen_by(subscription.principal)
        try:
            return await loop.run_in_executor(self.threads, store.changes_since, since, subscription.interest.project)
        except PyMongoError:
            return ["gap"]

    def _write_events(self, events: Sequence[LiveEvent]) -> None:
        self.write("".join(render_event(event.item, self.hub.history.place_of(event.number)) for event in events))

    async def _say_place(self, place: str) -> None:
        self.write(render_event(None, place))
        await self._flush()

    async def _flush(self) -> None:
        await with_timeout(timedelta(seconds=WRITE_TIMEOUT_SECONDS), self.flush())

    def _cut(self) -> None:
        stream = getattr(self.request.connection, "stream", None)
        if stream is not None:
            stream.close()

    def _refuse(self, problem: Problem) -> None:
        self.set_status(problem.status)
        self.set_header("Content-Type", "application/problem+json")
        body = {"type": "about:blank", "status": problem.status, "title": problem.title, "detail": problem.sentence}
        self.finish(json.dumps(body))

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        sentence = "Its log says why." if status_code >= 500 else f"{LIVE_PATH} answers GET only."
        self._refuse(Problem(status_code, self._reason, sentence))

    def _arguments(self) -> dict[str, list[str]]:
        return {
            name: [value.decode("utf-8", "replace") for value in values]
            for name, values in self.request.query_arguments.items()
        }

    def _address(self) -> str:
        return self.request.remote_ip or ""


UNREACHABLE = Problem(503, "The database does not answer", "Who you are cannot be looked up. Trying again helps.")


def _find_refusal_of(principal: Principal | None) -> Problem | None:
    """Why nothing is pushed to this principal, or None; while nobody knows who asks, nobody is refused for good."""
    if principal is None or principal.sees_runs:
        return None
    if not principal.is_signed_in:
        return Problem(401, "Log in first", "This viewer has accounts, and the request has no session and no token.")
    return Problem(404, NOT_FOUND_TITLE, NOT_FOUND_SENTENCE)


_OF_A_TAB = frozenset({"Last-Event-Id", "Referer", "Accept", "Cache-Control", "Pragma", "Connection"})


@dataclass(frozen=True)
class LiveRequest:
    """What a page wants to hear of, and from where on.

    Attributes:
        since: what changed after this time comes first; the page was made then.
        after: the id of the last event that it has heard, which counts more.
    """

    interest: Interest
    since: datetime | None = None
    after: str | None = None


def parse_live_request(arguments: Mapping[str, list[str]], last_event_id: str | None) -> LiveRequest:
    """What a page wants to hear of.

    Raises:
        BadParameter: a parameter is unknown, doubled or of no use.
    """
    values = single_values(arguments, known=("project", "run", "since", "after"))
    run = values.get("run")
    interest = Interest(project=values.get("project"), run=parse_run_key("run", run) if run is not None else None)
    since = parse_instant("since", values["since"]) if values.get("since") else None
    # A browser sends the id of its own last event; what opens a stream on behalf of others names it in the address.
    after = last_event_id or values.get("after") or None
    if "after" in values and not is_place(values["after"]):
        raise BadParameter("after", values["after"], "the id of an event of this stream")
    return LiveRequest(interest, since, after)


def render_event(item: RunChange | Gap | None, place: str) -> str:
    """A change, a gap, or (None) how far all is told, which also keeps proxies from closing a silent connection."""
    told = f"id: {place}\n" if place else ""
    if item is None:
        return f"{told}event: place\ndata: {{}}\n\n"
    if item == "gap":
        return f"{told}event: gap\ndata: {{}}\n\n"
    return f"{told}data: {json.dumps(change_json(item))}\n\n"
