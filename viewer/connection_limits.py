"""A Tornado HTTP server that no client can fill up (THREATS R23)."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Awaitable
from typing import Any

from tornado.http1connection import HTTP1Connection, HTTP1ServerConnection
from tornado.httpserver import HTTPServer
from tornado.httputil import HTTPHeaders, HTTPMessageDelegate, RequestStartLine, ResponseStartLine
from tornado.iostream import IOStream, SSLIOStream

from .trusted_proxies import NO_PROXIES, TrustedProxies

logger = logging.getLogger("cloister")

BODY_LIMIT_BYTES = 2 * 1024 * 1024
HEADER_LIMIT_BYTES = 16 * 1024
IDLE_SECONDS = 20.0
CONNECTIONS_PER_ADDRESS = 512  # a browser opens 6; an office behind one address shares the rest, 200 tabs and more
CONNECTIONS = 1024
CHUNK_BYTES = 64 * 1024

LIMITS: dict[str, Any] = {
    "max_buffer_size": BODY_LIMIT_BYTES,
    "max_body_size": BODY_LIMIT_BYTES,
    "max_header_size": HEADER_LIMIT_BYTES,
    "chunk_size": CHUNK_BYTES,
    "body_timeout": IDLE_SECONDS,
    "idle_connection_timeout": IDLE_SECONDS,
    "decompress_request": False,
}


class BoundedServer(HTTPServer):
    """Counts connections by address; a newcomer over the limit takes the place of the one that waits longest.

    A connection waits while it has not sent a whole request: idle ones, and those that send a byte a second on
    purpose. So hundreds of slow connections never keep an honest one out, and a download is never cut for a newcomer.
    """

    def initialize(
        self,
        *args: Any,
        per_address: int = CONNECTIONS_PER_ADDRESS,
        proxies: TrustedProxies = NO_PROXIES,
        **kwargs: Any,
    ) -> None:
        super().initialize(*args, **{**LIMITS, **kwargs})
        self._per_address = per_address
        self._proxies = proxies
        self._waiting: dict[str, OrderedDict[IOStream, None]] = {}
        self._working: dict[str, set[IOStream]] = {}

    def handle_stream(self, stream: IOStream, address: tuple[Any, ...]) -> None:
        host = str(address[0]) if address else ""
        waiting = self._waiting.setdefault(host, OrderedDict())
        working = self._working.setdefault(host, set())
        if len(waiting) + len(working) >= self._limit_of(host) or self._total() >= CONNECTIONS:
            if not waiting:
                logger.warning("Refused a connection from %s: all %d are at work", host, len(working))
                stream.close()
                return
            waiting.popitem(last=False)[0].close()
        waiting[stream] = None
        super().handle_stream(stream, address)

    def start_request(self, server_conn: object, request_conn: Any) -> HTTPMessageDelegate:
        assert isinstance(request_conn, HTTP1Connection)
        stream, host = request_conn.stream, _host_of(request_conn)
        if stream in self._working.get(host, ()):
            self._working[host].discard(stream)
            self._waiting[host][stream] = None
        return _Watched(super().start_request(server_conn, request_conn), self, request_conn, host)

    def note_sender(self, connection: HTTP1Connection, headers: HTTPHeaders) -> None:
        """Whom the coming request is of, where a trusted proxy passes it on. Each request anew: one connection of a
        proxy carries those of many people."""
        context: Any = connection.context
        scheme = "https" if isinstance(connection.stream, SSLIOStream) else "http"
        sender = self._proxies.sender(_host_of(connection), scheme, headers)
        context.remote_ip, context.protocol = sender.address, sender.scheme

    def request_arrived(self, stream: IOStream, host: str) -> None:
        """A whole request has come in on `stream`: from now on it is not cut for a newcomer."""
        waiting = self._waiting.get(host, OrderedDict())
        if stream in waiting:
            del waiting[stream]
            self._working[host].add(stream)

    def on_close(self, server_conn: object) -> None:
        assert isinstance(server_conn, HTTP1ServerConnection)
        host = _host_of(server_conn)
        self._waiting.get(host, OrderedDict()).pop(server_conn.stream, None)
        self._working.get(host, set()).discard(server_conn.stream)
        if not self._waiting.get(host) and not self._working.get(host):
            self._waiting.pop(host, None)
            self._working.pop(host, None)
        super().on_close(server_conn)

    def _limit_of(self, host: str) -> int:
        return CONNECTIONS if self._proxies.includes(host) else self._per_address

    def _total(self) -> int:
        return sum(map(len, self._waiting.values())) + sum(map(len, self._working.values()))


class _Watched(HTTPMessageDelegate):
    """Passes everything on and tells the server when a request is whole."""

    def __init__(
        self, delegate: HTTPMessageDelegate, server: BoundedServer, connection: HTTP1Connection, host: str
    ) -> None:
        self._delegate, self._server, self._connection, self._host = delegate, server, connection, host
        self._stream = connection.stream

    def headers_received(
        self, start_line: RequestStartLine | ResponseStartLine, headers: HTTPHeaders
    ) -> Awaitable[None] | None:
        self._server.note_sender(self._connection, headers)
        return self._delegate.headers_received(start_line, headers)

    def data_received(self, chunk: bytes) -> Awaitable[None] | None:
        return self._delegate.data_received(chunk)

    def finish(self) -> None:
        self._server.request_arrived(self._stream, self._host)
        self._delegate.finish()

    def on_connection_close(self) -> None:
        self._delegate.on_connection_close()


def _host_of(connection: Any) -> str:
    address = connection.context.address
    return str(address[0]) if address else ""
