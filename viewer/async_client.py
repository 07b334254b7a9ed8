"""An asynchronous MongoDB client for live updates: PyMongo's own, or motor where a site pins it.

Both have the same methods. They differ in one thing that matters here: whether `watch` has to be awaited.
"""

from __future__ import annotations

import asyncio
import inspect
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

from ..observer.errors import CloisterError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from ..observer.settings import AsyncDriver

SELECTION_TIMEOUT_MS = 2000
SOCKET_TIMEOUT_MS = 10_000  # a server that is frozen, or a connection that died without a word, ends the stream
# A server that is killed in the middle of an answer can leave the driver waiting for ever; then the feed starts afresh.
PATIENCE_SECONDS = 12.0
AWAIT_MS = 500  # how long the server holds a question for changes; also how long motor's thread may outlive its stream


class NoMotor(CloisterError, ImportError):
    """The setting async_driver asks for motor, which is not installed."""

    def __init__(self) -> None:
        super().__init__(
            "CLOISTER_ASYNC_DRIVER is 'motor', but motor is not installed. Install it with "
            "pip install 'cloister[motor]', or remove the setting: PyMongo's own client does the same."
        )


def open_async_client(uri: str, driver: AsyncDriver = "pymongo") -> Any:
    """A client for the running event loop; the caller closes it with `close_async_client`. Connects when first used.

    Raises:
        NoMotor: motor is asked for and missing.
    """
    options: dict[str, Any] = {
        "tz_aware": True,
        "serverSelectionTimeoutMS": SELECTION_TIMEOUT_MS,
        "connectTimeoutMS": SELECTION_TIMEOUT_MS,
        "socketTimeoutMS": SOCKET_TIMEOUT_MS,
        "appName": "cloister live",
    }
    if driver == "motor":
        try:
            from motor.motor_asyncio import AsyncIOMotorClient
        except ImportError:
            raise NoMotor from None
        return AsyncIOMotorClient(uri, **options)
    from pymongo import AsyncMongoClient

    return AsyncMongoClient(uri, **options)


async def close_async_client(client: Any) -> None:
    closing = client.close()
    if inspect.isawaitable(closing):
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(closing, PATIENCE_SECONDS)


async def next_event(stream: Any, stopping: asyncio.Event) -> Any:
    """The stream's next event, or None when there was none for a moment or `stopping` was set."""
    asking = asyncio.ensure_future(stream.try_next())
    asking.add_done_callback(lambda done: done.cancelled() or done.exception())  # nobody may be left to hear it
    told = asyncio.ensure_future(stopping.wait())
    try:
        done, _ = await asyncio.wait({asking, told}, timeout=PATIENCE_SECONDS, return_when=asyncio.FIRST_COMPLETED)
    finally:
        told.cancel()
    if not done:
        asking.cancel()
        raise asyncio.TimeoutError
    if stopping.is_set():
        # motor asks in a thread, which cancelling does not stop; the connection must not be closed under it.
        if not hasattr(stream, "__delegate_class__"):
            asking.cancel()
        await asyncio.wait({asking})
        return None
    return asking.result()


@asynccontextmanager
async def open_change_stream(
    collection: Any, stages: list[dict[str, Any]], *, resume_after: Any = None
) -> AsyncIterator[Any]:
    """A change stream on `collection` with the changed documents looked up."""
    watching = collection.watch(
        stages, full_document="updateLookup", max_await_time_ms=AWAIT_MS, resume_after=resume_after
    )
    stream = await asyncio.wait_for(watching, PATIENCE_SECONDS) if inspect.isawaitable(watching) else watching
    try:
        yield stream
    finally:
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(stream.close(), PATIENCE_SECONDS)
