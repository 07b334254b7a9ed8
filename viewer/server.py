"""The viewer's server: Tornado, with the Flask app in threads beside the live stream."""

from __future__ import annotations

import asyncio
import errno
import logging
import re
import socket
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from tornado.netutil import bind_sockets
from tornado.web import Application, FallbackHandler

from ..observer.errors import CloisterError
from .accounts.current import accounts_of
from .change_feed import ChangeFeed
from .connection_limits import BoundedServer
from .database_paths import path_of
from .live import LIVE_PATH, LiveStream
from .live_hub import LiveHub
from .request_threads import RequestThreads
from .security import bound_rule
from .store_access import ServedDatabase, bound_databases
from .trusted_proxies import NO_PROXIES, TrustedProxies
from .wsgi_bridge import WsgiBridge

if TYPE_CHECKING:
    import ssl

    from flask import Flask

logger = logging.getLogger("cloister")


class PortInUse(CloisterError, OSError):
    """Another program listens where the viewer was told to."""

    def __init__(self, host: str, port: int) -> None:
        super().__init__(
            f"Port {port} of {host} is in use, perhaps by another viewer. Open http://{host}:{port}/ to see, or start "
            f"this one with --port {port + 1 if port < 65535 else port - 1} or --port 0, which takes a free one."
        )


class AddressNotOurs(CloisterError, OSError):
    """The viewer was told to listen on an address that this machine does not have or may not use."""

    def __init__(self, host: str, port: int, reason: str) -> None:
        super().__init__(
            f"The viewer cannot listen on {host!r}, port {port}: {reason}. "
            "Pass an address of this machine to --host (127.0.0.1 for this machine alone) and a port above 1023."
        )


def listen(host: str, port: int) -> list[socket.socket]:
    """Sockets that listen on `host`; port 0 takes a free one.

    Raises:
        PortInUse: something else listens there.
        AddressNotOurs: the address is not one of this machine's, or the port needs a right that we lack.
    """
    try:
        return bind_sockets(port, address=host)
    except socket.gaierror as error:
        raise AddressNotOurs(host, port, "the name has no address") from error
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise PortInUse(host, port) from error
        raise AddressNotOurs(host, port, (error.strerror or str(error)).lower()) from error


def port_of(sockets: list[socket.socket]) -> int:
    port: int = sockets[0].getsockname()[1]
    return port


class ViewerServer:
    """Serves one app on listening sockets until `stop` is called, from any thread."""

    def __init__(
        self,
        app: Flask,
        sockets: list[socket.socket],
        *,
        open_client: Callable[[], Any] | None = None,
        threads: int = 16,
        tls: ssl.SSLContext | None = None,
        proxies: TrustedProxies = NO_PROXIES,
    ) -> None:
        """`open_client` gives an asynchronous MongoDB client for live updates of the app's first database; without one
        they poll. Its further databases bring their own. With `tls` nothing but TLS is spoken."""
        self._app = app
        self._sockets = sockets
        self._open_client = open_client
        self._thread_count = threads
        self._tls = tls
        self._proxies = proxies
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping = asyncio.Event()

    @property
    def port(self) -> int:
        return port_of(self._sockets)

    async def run(self, when_ready: Callable[[], None] = lambda: None) -> None:
        """Serve until `stop`; open connections, live streams included, are closed at the end."""
        self._loop = asyncio.get_running_loop()
        threads = RequestThreads(count=self._thread_count)
        first, *others = bound_databases(self._app.extensions)
        databases = (replace(first, open_client=self._open_client or first.open_client), *others)
        hubs = {one: LiveHub(ChangeFeed(one.access, one.open_client)) for one in databases}
        application = self._make_application(threads, hubs)
        server = BoundedServer(application, ssl_options=self._tls, proxies=self._proxies)
        server.add_sockets(self._sockets)
        for hub in hubs.values():
            hub.start()
        try:
            when_ready()
            await self._stopping.wait()
        finally:
            server.stop()
            threads.shutdown()
            await asyncio.gather(*(hub.stop() for hub in hubs.values()))
            await server.close_all_connections()

    def stop(self) -> None:
        """End `run` soon. Safe from any thread and from a signal handler, and when called twice."""
        if self._loop is None or self._loop.is_closed():
            return
        self._loop.call_soon_threadsafe(self._stopping.set)

    def _make_application(self, threads: RequestThreads, hubs: dict[ServedDatabase, LiveHub]) -> Application:
        rule, accounts = bound_rule(self._app.extensions), accounts_of(self._app.extensions)
        streams: list[Any] = [
            (
                re.escape(path + LIVE_PATH),
                LiveStream,
                {"hub": hub, "access": one.access, "rule": rule, "threads": threads, "accounts": accounts},
            )
            for one, hub in hubs.items()
            for path in {one.path, path_of(one.name)}
        ]
        bridge = WsgiBridge(self._app.wsgi_app, threads)
        return Application(
            [*streams, (r".*", FallbackHandler, {"fallback": bridge})], log_function=lambda handler: None
        )
