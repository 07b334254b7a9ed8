"""What the viewer does with requests that nobody means well with, and with what it is given to unpack."""

from __future__ import annotations

import csv
import gzip
import io
import socket
import struct
import sys
import threading
import time
import zlib
from pathlib import Path
from typing import Any

import psutil
import pytest
from artifact_keeping import keep_artifact, make_png
from cloister.observer.audit import record_entry
from cloister.observer.runs import RunStore
from cloister.viewer import connection_limits
from cloister.viewer.accounts.tokens import make_token
from cloister.viewer.app import create_app
from cloister.viewer.connection_limits import BODY_LIMIT_BYTES
from cloister.viewer.image_head import read_image_head
from guarded_site import DIGITS_RUN, Site, make_guarded_site
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pymongo.database import Database
from running_viewer import ask, insert_run, running_viewer, send_raw
from stored_metrics import store_metric

sys.path.insert(0, str(Path(__file__).parent.parent / "benchmarks"))
from fuzzed_requests import RequestFuzzer, rules_of

FUZZED = 500  # of the 10,000 of benchmarks/fuzz_requests.py


@pytest.fixture
def site(database: Database[dict[str, Any]], tmp_path: Path) -> Site:
    return make_guarded_site(database, tmp_path)


# Of a multipart body that ends too early Werkzeug leaves what it has to Python's collector, which says so.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_no_fuzzed_request_breaks_the_viewer(site: Site) -> None:
    fuzzer = RequestFuzzer(rules_of(site.app), seed=20)
    counted: dict[int, int] = {}
    for _ in range(FUZZED):
        request = fuzzer.next()
        status = site.ask(request.who, request.method, request.target, request.headers, request.body)
        assert status < 500, request
        counted[status] = counted.get(status, 0) + 1
    # Most that comes back is a refusal, but not all: a fuzzer that is stopped at the door has tried nothing.
    assert counted[200] > FUZZED / 50
    assert counted[404] > FUZZED / 50


def test_the_described_api_keeps_its_description(site: Site) -> None:
    schemathesis = pytest.importorskip("schemathesis", reason="needs schemathesis")
    from schemathesis import checks

    text, _ = make_token(site.database, "admin", name="tests", scopes=["read", "record", "admin"])
    headers = {"Authorization": f"Bearer {text}"}
    schema = schemathesis.openapi.from_wsgi("/api/v1/openapi.json", site.app, headers=headers)
    asked = 0
    for result in schema.get_all_operations():
        operation = result.ok()
        if operation.path.endswith("/live"):
            continue  # goes on for ever

        @given(case=operation.as_strategy())
        @settings(max_examples=2, suppress_health_check=list(HealthCheck), database=None)
        def never_breaks(case: Any) -> None:
            nonlocal asked
            asked += 1
            answer = case.call(headers=headers)
            case.validate_response(
                answer,
                checks=[
                    checks.not_a_server_error,
                    checks.content_type_conformance,
                    checks.response_schema_conformance,
                    checks.status_code_conformance,
                    checks.response_headers_conformance,
                ],
            )

        never_breaks()
    assert asked > 50


class TestCsv:
    FORMULAS = ("=1+1", "+1", "-cmd|' /C calc'!A0", "@SUM(1)", "\t=1", "\r=1", '=HYPERLINK("http://192.0.2.1")', " =1")

    @pytest.mark.parametrize("formula", FORMULAS)
    def test_a_metrics_name_is_no_formula(
        self, database: Database[dict[str, Any]], store: RunStore, formula: str
    ) -> None:
        insert_run(database, 1)
        store_metric(database, 1, formula, [-1.0, 2.0])
        answer = (
            create_app(store).test_client().get("/api/v1/points.csv", query_string={"runs": "1", "metric": formula})
        )
        assert answer.status_code == 200, answer.text
        rows = list(csv.reader(io.StringIO(answer.text)))
        assert not [cell for row in rows for cell in row if is_formula(cell)]
        assert "-1" in answer.text.replace(formula, "")  # numbers stay numbers

    def test_the_audit_log_is_no_sheet_of_formulas(self, site: Site) -> None:
        for formula in self.FORMULAS:
            details = {formula: formula, "list": [formula]}
            record_entry(site.database, actor=formula, action="login", target=formula, project=formula, details=details)
        answer = site.get("/privacy/audit/export.csv")
        rows = list(csv.reader(io.StringIO(answer.text)))
        assert len(rows) > len(self.FORMULAS)
        assert not [cell for row in rows for cell in row if is_formula(cell)]


def is_formula(cell: str) -> bool:
    """What a sheet would reckon; a number, with its sign, is only itself."""
    if not cell.startswith(("=", "+", "-", "@", "\t", "\r")):
        return False
    try:
        float(cell)
    except ValueError:
        return True
    return False


class TestBombs:
    def test_a_packed_body_is_not_unpacked(self, store: RunStore) -> None:
        bomb = gzip.compress(b"0" * 200_000_000)
        assert len(bomb) < BODY_LIMIT_BYTES
        headers = {"Content-Encoding": "gzip", "Content-Type": "application/json", "Origin": ""}
        with running_viewer(store) as port:
            before = psutil.Process().memory_info().rss
            for path in ("/login", "/api/v1/groups/x", "/"):
                for method in ("POST", "PUT"):
                    assert ask(port, path, method=method, headers=headers, body=bomb)[0].status in (
                        400,
                        403,
                        404,
                        405,
                        415,
                    )
            assert psutil.Process().memory_info().rss - before < 50_000_000

    @pytest.mark.parametrize("size", [(50_000, 50_000), (2**31 - 1, 2**31 - 1), (1, 2**31 - 1), (0, 0)])
    def test_an_image_that_claims_to_be_vast_is_not_shown(
        self, database: Database[dict[str, Any]], store: RunStore, tmp_path: Path, size: tuple[int, int]
    ) -> None:
        insert_run(database, 1)
        content = make_png(4, 4, claimed=size)
        keep_artifact(database, tmp_path, "bomb.png", content, content_type="image/png")
        client = create_app(store).test_client()
        page = client.get("/runs/1/artifacts").text
        assert "data-image" not in page
        for key in (str(database["runs"].find_one()["artifacts"][0]["file_id"]), "0"):  # type: ignore[index]
            assert client.get(f"/runs/1/artifacts/{key}/image").status_code in (404, 410, 413, 415)

    @settings(max_examples=300, deadline=None)
    @given(
        st.sampled_from([b"\x89PNG\r\n\x1a\n", b"GIF89a", b"RIFF\x00\x00\x00\x00WEBPVP8X", b"\xff\xd8\xff", b""]),
        st.binary(max_size=64),
    )
    def test_no_bytes_break_the_look_at_an_image(self, start: bytes, rest: bytes) -> None:
        image = read_image_head(start + rest)
        assert image is None or image.pixels > 0

    def test_a_long_metadata_block_is_skipped_not_walked(self) -> None:
        segment = b"\xff\xe1" + struct.pack(">H", 2)
        assert read_image_head(b"\xff\xd8\xff" + segment * 60_000) is None

    def test_zeros_that_pack_well_are_sent_as_they_are(
        self, database: Database[dict[str, Any]], store: RunStore, tmp_path: Path
    ) -> None:
        insert_run(database, 1)
        bomb = zlib.compress(b"0" * 50_000_000)
        file_id = keep_artifact(database, tmp_path, "bomb.gz", bomb, content_type="application/gzip")
        answer = create_app(store).test_client().get(f"/api/v1/runs/1/artifacts/{file_id}")
        assert answer.data == bomb
        assert "Content-Encoding" not in answer.headers  # else the browser would unpack it


class TestSlowClients:
    def test_a_request_that_never_ends_is_cut(self, store: RunStore, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("body_timeout", "idle_connection_timeout"):
            monkeypatch.setitem(connection_limits.LIMITS, name, 0.5)
        heads = (
            b"GET / HTTP/1.1\r\nHost: localhost\r\n",
            b"POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\nname=",
            b"POST /login HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nname=\r\n",
            b"",
        )
        with running_viewer(store) as port:
            for head in heads:
                with socket.create_connection(("127.0.0.1", port), timeout=20) as slow:
                    slow.sendall(head)
                    answer = b""
                    while piece := slow.recv(65536):  # ends when the server has had enough
                        answer += piece
                    assert b"200 OK" not in answer
            assert ask(port, "/healthz")[0].status == 200

    def test_bodies_that_trickle_in_keep_nobody_out(self, store: RunStore, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(connection_limits, "CONNECTIONS", 64)
        head = b"POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2000000\r\n\r\n"
        with running_viewer(store) as port:
            slow = [socket.create_connection(("127.0.0.1", port), timeout=5) for _ in range(150)]
            try:
                for connection in slow:
                    try:
                        connection.sendall(head + b"x" * 1000)
                    except OSError:
                        continue  # cut for a newcomer already
                assert [ask(port, "/healthz")[0].status for _ in range(3)] == [200] * 3
            finally:
                for connection in slow:
                    connection.close()

    def test_many_pipelined_requests_are_answered_in_turn(self, store: RunStore) -> None:
        with running_viewer(store) as port:
            answer = send_raw(port, b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n" * 100)
            assert answer.count(b"HTTP/1.1 200 OK") == 100

    def test_large_bodies_of_nobody_take_no_memory(self, store: RunStore) -> None:
        with running_viewer(store) as port:
            ask(port, "/healthz")
            before = psutil.Process().memory_info().rss
            threads = [threading.Thread(target=send_much, args=(port,)) for _ in range(20)]
            for thread in threads:
                thread.start()
            highest = before
            while any(thread.is_alive() for thread in threads):
                highest = max(highest, psutil.Process().memory_info().rss)
                time.sleep(0.02)
            assert ask(port, "/healthz")[0].status == 200
        assert highest - before < 50_000_000


def send_much(port: int) -> None:
    piece = b"x" * 65536
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        try:
            connection.sendall(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 94371840\r\n\r\n")
            for _ in range(1440):
                connection.sendall(piece)
        except OSError:
            return  # refused, as it should be


def test_the_same_parameter_twice_is_refused(site: Site) -> None:
    for path in ("/api/v1/projects/digits/runs?page=1&page=2", f"/api/v1/runs/{DIGITS_RUN}/console?limit=1&limit=2"):
        assert site.get(path).status_code == 400


def test_what_a_body_may_not_set_is_not_set(site: Site) -> None:
    """Mass assignment: owner, ids and roles in bodies that are about something else."""
    before = site.database["users"].find_one({"_id": "eva"})
    token = site.csrf("eva")
    form = {"csrf_token": token, "full_name": "Eva", "site": "admin", "name": "Eva", "role": "admin", "_id": "admin"}
    site.client("eva").post("/profile/name", data=form)
    after = site.database["users"].find_one({"_id": "eva"})
    assert after is not None
    assert before is not None
    assert {**after, "full_name": ""} == {**before, "full_name": ""}
    body = {"visibility": "private", "owner": "mallory", "_id": 9, "status": "COMPLETED"}
    headers = {"X-CSRF-Token": site.csrf("admin")}
    answer = site.client("admin").put(f"/api/v1/runs/{DIGITS_RUN}/access", json=body, headers=headers)
    assert answer.status_code == 400
    assert "owner" in answer.text or "_id" in answer.text
