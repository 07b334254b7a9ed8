"""What every answer carries, what every request must satisfy, and what the server does with those that do not."""

from __future__ import annotations

import http.client
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pymongo
import pytest
from artifact_keeping import store_blob
from cloister.observer.blobs import digest_stream
from cloister.observer.runs import RunStore
from cloister.viewer import app as app_module
from cloister.viewer import connection_limits
from cloister.viewer.access_rules import RULES
from cloister.viewer.app import create_app
from cloister.viewer.bokeh_assets import SCRIPTS
from cloister.viewer.connection_limits import BODY_LIMIT_BYTES, HEADER_LIMIT_BYTES
from cloister.viewer.security import SECURITY_HEADERS, find_refusal, host_rule, parse_host_name
from conftest import free_port
from flask import Response
from pymongo.database import Database
from running_viewer import ask, insert_run, running_viewer, send_raw

Documents = Database[dict[str, Any]]


@pytest.fixture(autouse=True)
def _addresses_of_these_tests_are_declared(monkeypatch: pytest.MonkeyPatch) -> None:
    for endpoint in ("fail", "send_for_long", "send_for_ever", "send_half"):
        monkeypatch.setitem(RULES, endpoint, "anyone")


@pytest.fixture
def port(store: RunStore) -> Iterator[int]:
    with running_viewer(store, allowed_hosts=["tracker.lab"]) as port:
        yield port


@pytest.fixture
def dead_store(monkeypatch: pytest.MonkeyPatch) -> Iterator[RunStore]:
    """A store whose database does not answer; what a request waits for it is cut short for the test."""
    monkeypatch.setattr(app_module, "DATABASE_SECONDS", 0.5)
    client: pymongo.MongoClient[dict[str, Any]] = pymongo.MongoClient(
        f"mongodb://ana:secret@127.0.0.1:{free_port()}/cloister", serverSelectionTimeoutMS=200
    )
    with client:
        yield RunStore(client["cloister"])


class TestHeaders:
    @pytest.mark.parametrize(
        ("path", "status"),
        [
            ("/", 200),
            ("/healthz", 200),
            ("/nothing", 404),
            ("/api/v1/projects", 200),
            ("/api/v1/nothing", 404),
            ("/api/v1/live?run=x", 400),
            ("/static/js/theme.js", 200),
            ("/static/nothing.js", 404),
            ("/p/nobody", 404),
        ],
    )
    def test_every_answer_has_them_all(self, port: int, path: str, status: int) -> None:
        response, _ = ask(port, path)
        assert response.status == status
        for name, value in SECURITY_HEADERS.items():
            if name != "Cache-Control":
                assert response.headers.get_all(name) == [value], name
        assert "Server" not in response.headers
        assert "Cache-Control" in response.headers

    def test_so_has_an_answer_to_a_fault_of_ours(self, store: RunStore) -> None:
        app = create_app(store)

        @app.get("/broken")
        def fail() -> str:
            raise RuntimeError("the secret of the house")

        with running_viewer(store, app=app) as port:
            response, body = ask(port, "/broken")
        assert response.status == 500
        assert response.headers["Content-Security-Policy"] == SECURITY_HEADERS["Content-Security-Policy"]
        assert b"secret" not in body
        assert b"under the id" in body

    def test_the_policy_allows_no_inline_script_no_eval_and_no_other_origin(self) -> None:
        policy = dict(part.split(" ", 1) for part in SECURITY_HEADERS["Content-Security-Policy"].split("; "))
        assert policy["script-src"] == policy["default-src"] == policy["connect-src"] == "'self'"
        assert policy["object-src"] == policy["base-uri"] == policy["frame-ancestors"] == "'none'"
        assert "http" not in SECURITY_HEADERS["Content-Security-Policy"]


class TestHost:
    @pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "LOCALHOST.", "tracker.lab", "[::1]", "localhost:8080"])
    def test_our_own_names_are_answered(self, port: int, host: str) -> None:
        assert ask(port, "/healthz", headers={"Host": host})[0].status == 200

    @pytest.mark.parametrize(
        "host",
        ["evil.example", "localhost.evil.example", "10.0.0.1", "127.0.0.1@evil", "localhost/x", "a b", "[::1", ":80"],
    )
    @pytest.mark.parametrize("path", ["/", "/static/js/theme.js", "/api/v1/projects", "/api/v1/live"])
    def test_another_name_is_not(self, port: int, host: str, path: str) -> None:
        response, body = ask(port, path, headers={"Host": host})
        assert response.status in (400, 421)
        if response.status == 421:
            assert b"--allowed-host" in body

    def test_a_server_on_all_addresses_takes_any_address_but_no_foreign_name(self) -> None:
        rule = host_rule(bound="0.0.0.0")
        assert rule.allows("192.168.1.7:6390")
        assert rule.allows("[fe80::1]")
        assert not rule.allows("evil.example")
        assert not host_rule(bound="192.168.1.7").allows("192.168.1.8")

    @pytest.mark.parametrize("header", [None, "", "a,b", "a/b", "a@b", "a:port", "a?b", "a\\b"])
    def test_what_is_no_host_has_no_name(self, header: str | None) -> None:
        assert parse_host_name(header) is None

    @pytest.mark.parametrize(
        "request_text",
        [
            pytest.param(b"GET / HTTP/1.1\r\n\r\n", id="no-host"),
            pytest.param(b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: evil\r\n\r\n", id="two-hosts"),
            pytest.param(b"GET / HTTP/9.9\r\nHost: localhost\r\n\r\n", id="http-9.9"),
            pytest.param(
                b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n"
                b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
                id="two-lengths",
            ),
            pytest.param(
                b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n\r\n", id="bad-chunk"
            ),
            pytest.param(b"GET /\x00 HTTP/1.1\r\nHost: localhost\r\n\r\n", id="nul"),
            pytest.param(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", id="tls-hello"),
        ],
    )
    def test_a_request_that_is_no_http_is_refused_and_the_connection_closed(
        self, port: int, request_text: bytes
    ) -> None:
        answer = send_raw(port, request_text)
        assert answer == b"" or answer.split(b"\r\n")[0].split(b" ")[1] in (b"400", b"404", b"405")
        assert ask(port, "/healthz")[0].status == 200


class TestOrigin:
    def refusal(self, **request: Any) -> int | None:
        given = {"method": "POST", "host": "localhost:6390", "origin": None, "fetch_site": None, **request}
        problem = find_refusal(rule=host_rule(), own_page_only=False, **given)
        return None if problem is None else problem.status

    @pytest.mark.parametrize(
        "request_",
        [
            {"origin": "http://localhost:6390"},
            {"origin": "http://LOCALHOST:6390", "fetch_site": "same-origin"},
            {"host": "localhost", "origin": "http://localhost:80"},
            {"host": "localhost", "origin": "https://localhost"},
            {},
            {"method": "GET", "origin": "http://evil.example", "fetch_site": "cross-site"},
        ],
    )
    def test_our_own_pages_programs_and_links_from_elsewhere_pass(self, request_: dict[str, str]) -> None:
        assert self.refusal(**request_) is None

    @pytest.mark.parametrize(
        "request_",
        [
            {"origin": "http://evil.example"},
            {"origin": "http://localhost:8888"},
            {"origin": "null"},
            {"origin": "file://"},
            {"origin": "http://localhost:6390@evil.example"},
            {"origin": "http://[::1"},
            {"fetch_site": "cross-site"},
            {"fetch_site": "same-site"},
            {"fetch_site": "cross-site", "origin": "http://localhost:6390"},
        ],
    )
    def test_another_sites_page_changes_nothing(self, request_: dict[str, str]) -> None:
        assert self.refusal(**request_) == 403

    def test_a_foreign_form_is_refused_before_any_page_sees_it(self, port: int) -> None:
        response, body = ask(port, "/", method="POST", headers={"Origin": "http://evil.example"}, body=b"a=b")
        assert response.status == 403
        assert b"evil.example" in body


class TestLimits:
    def test_a_body_beyond_the_limit_is_refused_unread(self, port: int) -> None:
        head = f"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: {BODY_LIMIT_BYTES + 1}\r\n\r\n"
        assert send_raw(port, head.encode()).startswith(b"HTTP/1.1 400")

    def test_headers_beyond_the_limit_end_the_connection(self, port: int) -> None:
        padding = "x" * HEADER_LIMIT_BYTES
        text = f"GET / HTTP/1.1\r\nHost: localhost\r\nX-Padding: {padding}\r\n\r\n"
        assert b"200 OK" not in send_raw(port, text.encode())
        assert ask(port, "/healthz")[0].status == 200

    def test_hundreds_of_slow_connections_keep_nobody_out(
        self, store: RunStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(connection_limits, "CONNECTIONS", 64)
        with running_viewer(store) as port:
            slow = [socket.create_connection(("127.0.0.1", port), timeout=5) for _ in range(200)]
            try:
                for connection in slow:
                    try:
                        connection.sendall(b"GET / HTTP/1.1\r\nHost: loc")
                    except OSError:
                        continue  # cut for a newcomer already
                assert ask(port, "/healthz")[0].status == 200
                assert [ask(port, "/healthz")[0].status for _ in range(5)] == [200] * 5
            finally:
                for connection in slow:
                    connection.close()

    def test_a_download_is_not_cut_for_a_newcomer(self, store: RunStore, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(connection_limits, "CONNECTIONS", 4)
        app = create_app(store)

        @app.get("/endless")
        def send_for_long() -> Response:
            return Response(b"x" * 1_000_000 for _ in range(40))

        with running_viewer(store, app=app) as port:
            download = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
            download.request("GET", "/endless")
            response = download.getresponse()
            waiting = [socket.create_connection(("127.0.0.1", port), timeout=5) for _ in range(20)]
            assert ask(port, "/healthz")[0].status == 200
            assert sum(len(piece) for piece in iter(lambda: response.read(65536), b"")) == 40_000_000
            download.close()
            for connection in waiting:
                connection.close()

    def test_a_large_file_is_sent_with_little_memory(
        self, store: RunStore, database: Documents, tmp_path: Path
    ) -> None:
        size = 200 * 1024 * 1024
        path = tmp_path / "large"
        with path.open("wb") as file:
            file.truncate(size)
        with path.open("rb") as stream:
            digests = digest_stream(stream)
        file_id = store_blob(database, path, digests, "large", None)
        insert_run(
            database, 1, artifacts=[{"name": "large", "file_id": file_id, "sha256": digests.sha256, "size": size}]
        )
        with running_viewer(store) as port:
            ask(port, "/healthz")
            before, highest = psutil.Process().memory_info().rss, 0
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
            connection.request("GET", f"/api/v1/runs/1/artifacts/{file_id}")
            response, received = connection.getresponse(), 0
            while piece := response.read(1024 * 1024):
                received += len(piece)
                highest = max(highest, psutil.Process().memory_info().rss)
            connection.close()
        assert received == size
        assert highest - before < 64 * 1024 * 1024

    def test_a_reader_that_goes_away_leaves_nothing_running(self, store: RunStore) -> None:
        app = create_app(store)
        closed = threading.Event()

        def endless() -> Iterator[bytes]:
            try:
                while True:
                    yield b"x" * 65536
            finally:
                closed.set()

        @app.get("/endless")
        def send_for_ever() -> Response:
            return Response(endless())

        with running_viewer(store, app=app) as port:
            with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
                connection.sendall(b"GET /endless HTTP/1.1\r\nHost: localhost\r\n\r\n")
                connection.recv(65536)
            assert closed.wait(10)

    def test_an_answer_that_breaks_off_is_not_taken_for_whole(self, store: RunStore) -> None:
        app = create_app(store)

        @app.get("/torn")
        def send_half() -> Response:
            def halves() -> Iterator[bytes]:
                yield b"first"
                raise OSError("the disk is gone")

            return Response(halves())

        with running_viewer(store, app=app) as port, pytest.raises(http.client.IncompleteRead):
            ask(port, "/torn")


class TestDatabaseAway:
    def test_pages_say_so_and_come_back_by_themselves(self, dead_store: RunStore) -> None:
        with running_viewer(dead_store) as port:
            response, body = ask(port, "/?a=b")
            assert response.status == 503
            assert response.headers["Refresh"] == response.headers["Retry-After"] == "8"
            assert b"The database does not answer" in body
            assert b"nothing is lost" in body
            assert b"127.0.0.1:" in body
            assert b"secret" not in body
            assert b'href="/?a=b"' in body

    def test_the_api_says_so_as_a_problem(self, dead_store: RunStore) -> None:
        with running_viewer(dead_store) as port:
            response, body = ask(port, "/api/v1/projects")
        assert (response.status, response.headers["Content-Type"]) == (503, "application/problem+json")
        assert b"secret" not in body

    def test_the_process_is_alive_but_not_ready(self, dead_store: RunStore) -> None:
        with running_viewer(dead_store) as port:
            assert ask(port, "/healthz")[0].status == 200
            assert ask(port, "/healthz?deep=1")[0].status == 503
            assert ask(port, "/readyz")[0].status == 503

    def test_a_viewer_whose_database_answers_is_ready(self, port: int) -> None:
        assert ask(port, "/readyz")[0].status == ask(port, "/healthz?deep=1")[0].status == 200


class TestStaticFiles:
    @pytest.mark.parametrize("name", SCRIPTS)
    def test_bokehjs_comes_from_the_package_and_is_kept_for_a_year(self, port: int, name: str) -> None:
        import bokeh

        response, body = ask(port, f"/static/bokeh/{bokeh.__version__}/{name}")
        assert response.status == 200
        assert "immutable" in response.headers["Cache-Control"]
        assert body == (Path(bokeh.__file__).parent / "server" / "static" / "js" / name).read_bytes()

    @pytest.mark.parametrize(
        "path", ["0.0.1/bokeh.min.js", "{}/../../../__init__.py", "{}/..%2f..%2f__init__.py", "{}/lib", "{}/x.js"]
    )
    def test_nothing_else_of_the_package_can_be_had(self, port: int, path: str) -> None:
        import bokeh

        assert ask(port, f"/static/bokeh/{path.format(bokeh.__version__)}")[0].status == 404

    def test_a_file_of_ours_has_an_address_that_changes_with_it(self, store: RunStore) -> None:
        app = create_app(store)
        with app.test_request_context():
            url = app.url_for("static", filename="css/base.css")
        assert "?v=" in url
        with running_viewer(store, app=app) as port:
            response, _ = ask(port, url)
            assert "immutable" in response.headers["Cache-Control"]
            plain, _ = ask(port, "/static/css/base.css")
            assert plain.headers["Cache-Control"] == "no-cache"
            again, body = ask(port, "/static/css/base.css", headers={"If-None-Match": plain.headers["ETag"]})
            assert (again.status, body) == (304, b"")

    def test_text_is_packed_for_browsers_that_unpack_it(self, port: int) -> None:
        import gzip

        import bokeh

        path = f"/static/bokeh/{bokeh.__version__}/bokeh.min.js"
        plain, whole = ask(port, path)
        packed, body = ask(port, path, headers={"Accept-Encoding": "gzip, deflate"})
        assert packed.headers["Content-Encoding"] == "gzip"
        assert packed.headers["Vary"] == plain.headers["Vary"] == "Accept-Encoding"
        assert len(body) < len(whole) / 2
        assert gzip.decompress(body) == whole
        assert packed.headers["ETag"] != plain.headers["ETag"]


def test_importing_the_viewer_opens_no_thread_and_no_socket() -> None:
    import subprocess
    import sys

    script = (
        "import threading, psutil, cloister.viewer.server, cloister.viewer.serve_command\n"
        "assert threading.active_count() == 1\n"
        "assert not psutil.Process().net_connections()\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, env={**os.environ, "PYTHONWARNINGS": "error"})
