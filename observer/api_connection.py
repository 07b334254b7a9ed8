"""One HTTP connection to a viewer: asked again where an answer says so, led to no other server. Nothing but Python."""

from __future__ import annotations

import http.client
import json
import ssl
import threading
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode, urlsplit

from .errors import CloisterError

TRIES = 5
LONGEST_PAUSE_SECONDS = 30.0
REDIRECTS = 3
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_SAFE = frozenset({"GET", "HEAD"})


class ApiError(CloisterError, RuntimeError):
    """A viewer has refused something, or did not answer.

    Attributes:
        status: as HTTP has it; 0 where nothing came back.
        detail: the viewer's own sentence.
    """

    def __init__(self, status: int, detail: str, title: str = "") -> None:
        super().__init__(f"{title or 'The viewer refused it'} ({status}): {detail}" if status else detail)
        self.status, self.detail = status, detail


class BadApiAddress(CloisterError, ValueError):
    """An API was to be asked at an address that is none, or to which no token may go."""


class ApiConnection:
    """Sends requests to one viewer. Thread-safe: one request at a time."""

    def __init__(self, url: str, token: str | None, *, timeout_seconds: float, ca_file: str | None = None) -> None:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.query:
            raise BadApiAddress(f"{_shown(url)} is no viewer's address. Pass one such as https://runs.lab:6390.")
        if token and parts.scheme == "http" and parts.hostname not in LOOPBACK:
            raise BadApiAddress(
                f"A token would go over plain HTTP to {parts.hostname}, where others can read it. Pass an https:// "
                f"address, or come through an SSH tunnel to http://127.0.0.1."
            )
        self.origin = f"{parts.scheme}://{parts.netloc}"
        self.prefix = parts.path.rstrip("/")
        self._parts, self._timeout = parts, timeout_seconds
        self._token = token
        self._tls = ssl.create_default_context(cafile=ca_file) if parts.scheme == "https" else None
        self._lock = threading.Lock()
        self._connection: http.client.HTTPConnection | None = None

    def open(self) -> http.client.HTTPConnection:
        """A new connection. Environment variables for proxies are not read: nothing is sent to anybody else."""
        host, port = self._parts.hostname or "", self._parts.port
        if self._tls is not None:
            return http.client.HTTPSConnection(host, port, timeout=self._timeout, context=self._tls)
        return http.client.HTTPConnection(host, port, timeout=self._timeout)

    def headers(self, further: Mapping[str, str]) -> dict[str, str]:
        own = {"Authorization": f"Bearer {self._token}"} if self._token else {}
        return {"Accept": "application/json, */*;q=0.1", "User-Agent": "cloister-api", **own, **further}

    def send(
        self, method: str, path: str, *, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> tuple[int, http.client.HTTPMessage, bytes]:
        """The answer to a request, asked again after 429, and what only reads after 503 and broken connections too.

        Raises:
            ApiError: it is a refusal, or nothing came back.
        """
        content = None if body is None else json.dumps(body, allow_nan=False).encode()
        sent = self.headers({**(headers or {}), **({} if content is None else {"Content-Type": "application/json"})})
        redirects = 0
        for left in reversed(range(TRIES + REDIRECTS)):
            try:
                status, received, data = self._ask(method, path, content, sent)
            except (OSError, http.client.HTTPException) as error:
                if method not in _SAFE or left <= REDIRECTS:
                    raise ApiError(0, f"{self.origin} did not answer: {error}.") from error
                time.sleep(min(LONGEST_PAUSE_SECONDS, 0.2 * 2 ** (TRIES - left + REDIRECTS)))
                continue
            if status in (307, 308) and method in _SAFE and redirects < REDIRECTS:
                redirects += 1
                path = self._own_path(received.get("Location", ""))
                continue
            if left > REDIRECTS and (status == 429 or (status == 503 and method in _SAFE)):
                time.sleep(_pause(received))
                continue
            if status >= 400:
                raise _problem(status, data)
            return status, received, data
        raise ApiError(0, f"{self.origin} did not answer as it should after {TRIES} tries.")

    def _ask(
        self, method: str, path: str, content: bytes | None, headers: Mapping[str, str]
    ) -> tuple[int, http.client.HTTPMessage, bytes]:
        with self._lock:
            is_fresh = self._connection is None
            try:
                return self._exchange(method, path, content, headers)
            except (
                http.client.RemoteDisconnected,
                ConnectionResetError,
                BrokenPipeError,
                http.client.CannotSendRequest,
            ):
                self.close()
                if is_fresh:  # one that was kept open may have been closed meanwhile, before this was read
                    raise
                return self._exchange(method, path, content, headers)
            except BaseException:
                self.close()  # an answer that was cut off stands in the way of the next one
                raise

    def _exchange(
        self, method: str, path: str, content: bytes | None, headers: Mapping[str, str]
    ) -> tuple[int, http.client.HTTPMessage, bytes]:
        self._connection = self._connection or self.open()
        self._connection.request(method, path, body=content, headers=dict(headers))
        answer = self._connection.getresponse()
        return answer.status, answer.headers, answer.read()

    def _own_path(self, location: str) -> str:
        parts = urlsplit(location)
        if parts.netloc and f"{parts.scheme or self._parts.scheme}://{parts.netloc}" != self.origin:
            raise ApiError(0, f"{self.origin} leads to {parts.netloc}, which is another server; nothing is sent there.")
        return f"{parts.path}?{parts.query}" if parts.query else parts.path

    def close(self) -> None:
        """Close the connection; the next request opens another one."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


def problem_of(status: int, data: bytes) -> ApiError:
    return _problem(status, data)


def with_query(path: str, query: Mapping[str, Any]) -> str:
    """A path with those parameters that are not None."""
    given = [(name, value) for name, value in query.items() if value is not None]
    return f"{path}?{urlencode(given, doseq=True)}" if given else path


def _problem(status: int, data: bytes) -> ApiError:
    try:
        problem = json.loads(data)
        return ApiError(status, str(problem["detail"]), str(problem.get("title") or ""))
    except (ValueError, KeyError, TypeError):
        return ApiError(status, data[:200].decode("utf-8", "replace").strip() or "it says nothing more")


def _pause(headers: http.client.HTTPMessage) -> float:
    given = headers.get("Retry-After") or "1"
    return min(LONGEST_PAUSE_SECONDS, float(given) if given.isdigit() else 1.0)


def _shown(url: str) -> str:
    return repr(url if "@" not in url else url.rpartition("@")[2])[:120]
