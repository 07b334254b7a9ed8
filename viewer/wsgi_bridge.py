"""The Flask app on Tornado, streaming.

Tornado's own WSGIContainer collects an answer in memory before it sends the first byte, so a 2 GB artifact would take
2 GB. This one hands every chunk to the socket and waits until the client has taken it.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Callable, Iterable, Iterator
from contextvars import copy_context
from datetime import timedelta
from io import BytesIO
from typing import IO, TYPE_CHECKING, Any
from urllib.parse import unquote_to_bytes

from tornado.gen import with_timeout
from tornado.http1connection import HTTP1Connection
from tornado.httputil import HTTPHeaders, HTTPServerRequest, ResponseStartLine
from tornado.ioloop import IOLoop
from tornado.iostream import StreamClosedError
from werkzeug.wsgi import FileWrapper

from .request_threads import RequestThreads
from .security import headers_for
from .trusted_proxies import PEER_KEY

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

logger = logging.getLogger("cloister")

QUEUE_LIMIT = 256  # requests that wait for a thread; more would be answered after their senders gave up
FILE_PIECE_BYTES = 256 * 1024
WRITE_TIMEOUT_SECONDS = 60  # a client that takes none of a chunk for so long is gone or an attack
BUSY_SENTENCE = b"The viewer has more requests than it can answer just now. Try again in a few seconds.\n"
BROKEN_SENTENCE = b"The viewer could not answer. Its log says why.\n"

Headers = list[tuple[str, str]]


class WsgiBridge:
    """A Tornado request callback that runs a WSGI application in threads."""

    def __init__(self, application: WSGIApplication, threads: RequestThreads) -> None:
        self._application = application
        self._threads = threads

    def __call__(self, request: HTTPServerRequest) -> None:
        IOLoop.current().spawn_callback(self._answer, request)

    async def _answer(self, request: HTTPServerRequest) -> None:
        connection = request.connection
        assert isinstance(connection, HTTP1Connection)
        if self._threads.waiting_calls >= QUEUE_LIMIT:
            _send_plain(request, 503, "Service Unavailable", BUSY_SENTENCE, [("Retry-After", "5")])
            return
        answer = _Answer(self._application, make_environ(request))
        try:
            await self._send(connection, answer)
        except (StreamClosedError, TimeoutError, asyncio.TimeoutError):
            connection.stream.close()  # the client went away or takes nothing any more
        except Exception:
            # Wide on purpose: one broken answer must not end the server. Flask has turned what views raise into
            # pages, so this is a chunk that could not be read, and the only honest end is to cut the connection.
            logger.exception("The answer to %s %r broke off", request.method, request.path)
            if answer.started:
                connection.stream.close()
            else:
                _send_plain(request, 500, "Internal Server Error", BROKEN_SENTENCE, [])
        finally:
            # In a thread, for closing a half-read file talks to the database; at the viewer's end there are none left.
            if not answer.complete and self._threads.submit(answer.close).cancelled():
                answer.close()

    async def _send(self, connection: HTTP1Connection, answer: _Answer) -> None:
        loop = asyncio.get_running_loop()
        chunk = await loop.run_in_executor(self._threads, answer.start)
        status, reason, headers = answer.head()
        answer.started = True
        written = connection.write_headers(ResponseStartLine("HTTP/1.1", status, reason), headers, chunk or b"")
        while chunk:
            await with_timeout(timedelta(seconds=WRITE_TIMEOUT_SECONDS), written)
            chunk = None if answer.complete else await loop.run_in_executor(self._threads, answer.next_chunk)
            if chunk:
                written = connection.write(chunk)
        connection.finish()


class _Answer:
    """One call of the WSGI application. `start` and `next_chunk` run in a request thread."""

    def __init__(self, application: WSGIApplication, environ: dict[str, Any]) -> None:
        self._application = application
        self._environ = environ
        self._status = ""
        self._headers: Headers = []
        self._chunks: Iterator[bytes] = iter(())
        # Each step may run in another thread; in one context they all see the same Flask request.
        self._context = copy_context()
        self._iterable: Iterable[bytes] = ()
        self.complete = False  # whether everything was read and the answer is closed
        self.started = False

    def start(self) -> bytes | None:
        """Call the application and give the first chunk that is not empty."""
        return self._context.run(self._start)

    def next_chunk(self) -> bytes | None:
        return self._context.run(self._next_chunk)

    def close(self) -> None:
        self._context.run(self._close)

    def head(self) -> tuple[int, str, HTTPHeaders]:
        status, _, reason = self._status.partition(" ")
        headers = HTTPHeaders()
        for name, value in self._headers:
            headers.add(name, value)
        return int(status), reason, headers

    def _start(self) -> bytes | None:
        self._iterable = self._application(self._environ, self._start_response)
        self._chunks = iter(self._iterable)
        chunk = self._next_chunk()
        length = next((value for name, value in self._headers if name.lower() == "content-length"), None)
        if chunk is not None and length == str(len(chunk)):
            self._end()
        return chunk

    def _next_chunk(self) -> bytes | None:
        chunk = next((chunk for chunk in self._chunks if chunk), None)
        if chunk is None:
            self._end()
        return chunk

    def _end(self) -> None:
        if not self.complete:
            self.complete = True
            self._close()

    def _close(self) -> None:
        close = getattr(self._iterable, "close", None)
        if close is not None:
            close()

    def _start_response(self, status: str, headers: Headers, exc_info: Any = None) -> Callable[[bytes], object]:
        self._status, self._headers = status, headers
        return _refuse_write


def _wrap_file(file: IO[bytes], _block_bytes: int = 0) -> FileWrapper:
    """Files are read in pieces worth a change of threads, not in Werkzeug's 8 KiB."""
    return FileWrapper(file, FILE_PIECE_BYTES)


def _refuse_write(_: bytes) -> object:
    raise NotImplementedError("WSGI's old write() callable is not offered; the app must return its chunks.")


def _send_plain(request: HTTPServerRequest, status: int, reason: str, sentence: bytes, extra: Headers) -> None:
    connection = request.connection
    assert isinstance(connection, HTTP1Connection)
    headers = HTTPHeaders({**headers_for(request.protocol), "Content-Type": "text/plain; charset=utf-8"})
    headers["Content-Length"] = str(len(sentence))
    for name, value in extra:
        headers[name] = value
    connection.write_headers(ResponseStartLine("HTTP/1.1", status, reason), headers, sentence)
    connection.finish()


def peer_of(request: HTTPServerRequest) -> str:
    address = getattr(getattr(request.connection, "context", None), "address", None)
    return str(address[0]) if address else ""


def make_environ(request: HTTPServerRequest) -> dict[str, Any]:
    """The WSGI environment of a request. Identity and forwarding headers stay ordinary `HTTP_...` entries."""
    name, _, port = request.host.rpartition(":")
    environ = {
        "REQUEST_METHOD": request.method,
        "SCRIPT_NAME": "",
        "PATH_INFO": unquote_to_bytes(request.path).decode("latin-1"),
        "QUERY_STRING": request.query,
        "REQUEST_URI": request.uri,
        "REMOTE_ADDR": request.remote_ip,
        "SERVER_NAME": name if port.isdigit() else request.host,
        "SERVER_PORT": port if port.isdigit() and name else "80",
        "SERVER_PROTOCOL": request.version,
        PEER_KEY: peer_of(request),
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": request.protocol,
        "wsgi.input": BytesIO(request.body),
        "wsgi.errors": sys.stderr,
        "wsgi.file_wrapper": _wrap_file,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }
    for header, value in request.headers.items():
        key = header.upper().replace("-", "_")
        if "_" in header:
            continue  # X_Forwarded_For would arrive as X-Forwarded-For: nobody honest sends it
        environ[key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{key}"] = value
    return environ
