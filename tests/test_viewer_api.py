"""The REST API: what it answers, that it describes itself truly, and what bad questions get."""

from __future__ import annotations

import json
import math
import re
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from artifact_keeping import store_blob
from cloister.observer.access.principal import LOCAL
from cloister.observer.blobs import digest_stream
from cloister.observer.chart_layouts import share_layout
from cloister.observer.reports import make_report
from cloister.observer.runs import RunStore
from cloister.observer.saved_views import save_view
from cloister.viewer.api import ROUTES
from cloister.viewer.api.openapi import openapi_path
from cloister.viewer.app import create_app
from flask import Flask
from flask.testing import FlaskClient
from pymongo.database import Database
from running_viewer import insert_run
from werkzeug.test import TestResponse

Documents = Database[dict[str, Any]]


@pytest.fixture
def app(store: RunStore) -> Flask:
    return create_app(store)


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


def strict_json(response: TestResponse) -> Any:
    """The answer's JSON, read as browsers do: bare NaN and Infinity are errors."""

    def refuse(name: str) -> None:
        raise AssertionError(f"bare {name} in JSON")

    return json.loads(response.data, parse_constant=refuse)


def insert_metric(database: Documents, run_id: int, name: str, values: list[float]) -> None:
    """A metric in Sacred's layout, as another tool writes it."""
    now = datetime.now(timezone.utc)
    database["metrics"].insert_one(
        {
            "run_id": run_id,
            "name": name,
            "steps": list(range(len(values))),
            "values": values,
            "timestamps": [now + timedelta(seconds=index) for index in range(len(values))],
        }
    )


def insert_artifact(database: Documents, folder: Path, run_id: int, name: str, content: bytes) -> str:
    path = folder / "content"
    path.write_bytes(content)
    with path.open("rb") as stream:
        digests = digest_stream(stream)
    file_id = store_blob(database, path, digests, name, None)
    entry = {"name": name, "file_id": file_id, "sha256": digests.sha256, "size": digests.size, "content_type": None}
    database["runs"].update_one({"_id": run_id}, {"$push": {"artifacts": entry}})
    return str(file_id)


def insert_everything(database: Documents, folder: Path) -> str:
    """A project with a run that has one of each thing; the id of its artifact."""
    insert_run(database, 1, result=math.nan, info={"a.b": [1, {"c": math.inf}]})
    database["runs"].update_one(
        {"_id": 1},
        {"$set": {"cloister.summary.loss": {"last": math.nan, "min": 0.5, "max": None, "last_step": 2, "count": 3}}},
    )
    insert_metric(database, 1, "loss", [0.5, math.nan, math.inf])
    database["console"].insert_one(
        {"run_id": 1, "n": 1, "stream": "stdout", "time": datetime.now(timezone.utc), "text": "epoch 1\n"}
    )
    return insert_artifact(database, folder, 1, "model.bin", b"0123456789")


class TestAnswers:
    def test_every_answer_is_what_the_description_says(
        self, client: FlaskClient, database: Documents, tmp_path: Path
    ) -> None:
        file_id = insert_everything(database, tmp_path)
        insert_run(database, 2)
        report = make_report(database, LOCAL, project="digits", title="A report", text="# So far")
        save_view(database, LOCAL, project="digits", name="mine", address="sort=name")
        layout = share_layout(database, "", "digits", "mine", {})
        asked = {
            "list_all_runs": "/runs?query=config.lr%20%3C%201",
            "group_runs": "/groups-of-runs?by=status,config.lr&columns=metrics.loss",
            "list_fields": "/fields?project=digits",
            "compare_runs": "/compare?runs=1,2",
            "check_query": "/query/check?query=config.lr%20%3C",
            "complete_query": "/query/complete?query=con&column=3",
            "search_charts": "/chart-search?runs=1&q=lo.s",
            "send_run_values": "/run-values?runs=1&key=config.lr",
            "list_events": "/runs/1/events",
            "show_stop": "/runs/1/stop",
            "list_views": "/views?project=digits",
            "show_layouts": "/layouts?project=digits",
            "show_layout": f"/layouts/{layout.id}",
            "list_reports": "/reports",
            "show_report": f"/reports/{report.id}?version=1",
            "list_versions": f"/reports/{report.id}/versions",
            "list_projects": "/projects",
            "show_project": "/projects/digits",
            "list_runs": "/projects/digits/runs",
            "list_columns": "/projects/digits/columns",
            "show_run": "/runs/1",
            "list_metrics": "/runs/1/metrics",
            "list_points": "/runs/1/metrics/points?name=loss",
            "show_console": "/runs/1/console",
            "list_artifacts": "/runs/1/artifacts",
            "download_artifact": f"/runs/1/artifacts/{file_id}",
            "list_changes": "/changes?since=2026-01-01T00:00:00Z",
            "send_line_chart": "/plots/line",
            "send_curves": "/curves?metric=loss&runs=1",
            "send_sections": "/chart-sections?runs=1",
            "send_sparks": "/sparks?metric=loss&runs=1",
            "send_system_strip": "/runs/1/system-strip",
            "send_points": "/points.csv?metric=loss&runs=1",
            "show_me": "/me",
            "show_access": "/runs/1/access",
            "show_settings": "/projects/digits/settings",
            "list_groups": "/groups",
            "list_audit": "/audit",
            "list_shares": "/shares",
            "show_recording": "/recording",
            "list_trash": "/trash",
            "show_retention": "/projects/digits/retention",
            "list_purges": "/purges",
            "list_accounts": "/users",
            "show_description": "/openapi.json",
        }
        of_people = {"list_own_tokens", "list_own_sessions"}  # test_accounts.py asks them, who has signed in
        reading = {route.name: route for route in ROUTES if route.method == "GET"}
        assert {*asked, *of_people, "stream_changes"} == reading.keys()
        for route in (reading[name] for name in asked):
            response = client.get(f"/api/v1{asked[route.name]}")
            assert response.status_code == 200, (route.name, response.data)
            assert response.mimetype == route.content_type, route.name
            if route.content_type == "application/json":
                jsonschema.validate(strict_json(response), route.answer)

    def test_points_come_back_exactly_and_in_pieces(self, client: FlaskClient, database: Documents) -> None:
        insert_run(database, 1)
        insert_metric(database, 1, "loss", [0.1, math.nan, math.inf, -math.inf, -0.0, 5e-324])
        answer = strict_json(client.get("/api/v1/runs/1/metrics/points?name=loss"))
        assert answer["values"] == [0.1, "NaN", "Infinity", "-Infinity", 0.0, 5e-324]
        assert math.copysign(1, answer["values"][4]) == -1
        assert answer["steps"] == [0, 1, 2, 3, 4, 5]
        part = strict_json(client.get("/api/v1/runs/1/metrics/points?name=loss&offset=4&limit=1"))
        assert (part["total"], part["offset"], part["steps"]) == (6, 4, [4])
        beyond = strict_json(client.get("/api/v1/runs/1/metrics/points?name=loss&offset=99"))
        assert (beyond["total"], beyond["values"]) == (6, [])

    def test_runs_are_filtered_sorted_and_paged(self, client: FlaskClient, database: Documents) -> None:
        for run_id in range(1, 6):
            insert_run(database, run_id)
        insert_run(database, 9, project="faces")
        first = strict_json(client.get("/api/v1/projects/digits/runs?sort=name&page_size=2"))
        assert ([run["id"] for run in first["runs"]], first["total"]) == ([1, 2], 5)
        third = strict_json(client.get("/api/v1/projects/digits/runs?sort=name&page_size=2&page=3"))
        assert [run["id"] for run in third["runs"]] == [5]
        found = strict_json(client.get("/api/v1/projects/digits/runs?text=digits-4"))
        assert [run["id"] for run in found["runs"]] == [4]
        nothing = strict_json(client.get("/api/v1/projects/digits/runs?text=zzz"))
        assert (nothing["runs"], nothing["total"]) == ([], 0)

    def test_a_project_may_have_any_name(self, client: FlaskClient, database: Documents) -> None:
        name = "faces/2026 #1 % ü?"
        insert_run(database, 1, project=name)
        answer = strict_json(client.get("/api/v1/projects/faces%2F2026%20%231%20%25%20%C3%BC%3F/runs"))
        assert [run["project"] for run in answer["runs"]] == [name]

    def test_changes_tell_where_to_go_on(self, client: FlaskClient, database: Documents) -> None:
        start = strict_json(client.get("/api/v1/changes"))
        assert start["changes"] == []
        insert_run(database, 1)
        answer = strict_json(client.get("/api/v1/changes?project=digits&since=2026-01-01T00:00:00Z"))
        assert [change["run_id"] for change in answer["changes"]] == [1]
        again = strict_json(client.get("/api/v1/changes", query_string={"since": answer["next_since"]}))
        assert again == {"changes": [], "next_since": answer["next_since"]}

    def test_a_foreign_record_is_shown_as_far_as_it_goes(self, client: FlaskClient, database: Documents) -> None:
        from bson import Code, Decimal128, MaxKey, ObjectId

        odd = {"code": Code("f()"), "id": ObjectId(), "dec": Decimal128("1.5"), "max": MaxKey(), "raw": b"\xff\x00"}
        database["runs"].insert_one({"_id": 1, "config": odd, "status": 7, "artifacts": "none", "experiment": None})
        response = client.get("/api/v1/runs/1")
        assert response.status_code == 200
        assert strict_json(response)["config"]["raw"] == "(2 bytes)"


class TestDescription:
    def test_every_address_of_the_api_is_described_and_nothing_else(self, app: Flask, client: FlaskClient) -> None:
        described = strict_json(client.get("/api/v1/openapi.json"))["paths"]
        prefix = "/api/v1"
        answered = {
            openapi_path(rule.rule.removeprefix(prefix))
            for rule in app.url_map.iter_rules()
            if rule.rule.startswith(f"{prefix}/")
        }
        assert set(described) == answered

    def test_its_schemas_are_json_schemas_and_its_names_unique(self, client: FlaskClient) -> None:
        description = strict_json(client.get("/api/v1/openapi.json"))
        names = []
        for methods in description["paths"].values():
            for operation in methods.values():
                names.append(operation["operationId"])
                for parameter in operation["parameters"]:
                    jsonschema.Draft202012Validator.check_schema(parameter["schema"])
                for answer in operation["responses"].values():
                    assert answer["description"]
                    for content in answer.get("content", {}).values():
                        jsonschema.Draft202012Validator.check_schema(content["schema"])
        assert len(names) == len(set(names))
        assert description["openapi"] == "3.1.0"

    def test_each_parameter_in_a_path_is_declared(self, client: FlaskClient) -> None:
        for path, methods in strict_json(client.get("/api/v1/openapi.json"))["paths"].items():
            for operation in methods.values():
                declared = {given["name"] for given in operation["parameters"] if given["in"] == "path"}
                assert declared == set(re.findall(r"{(\w+)}", path))

    def test_every_address_is_in_the_documentation(self) -> None:
        text = (Path(__file__).parent.parent / "docs" / "api.md").read_text(encoding="utf-8")
        for route in ROUTES:
            assert f"`/api/v1{openapi_path(route.path)}`" in text


class TestRefusals:
    @pytest.mark.parametrize(
        ("query", "words"),
        [
            ("page=abc", "page='abc'"),
            ("page=NaN", "whole number from 1"),
            ("page=1e3", "page='1e3'"),
            ("page=1180591620717411303424", "1180591620717411303424"),
            ("page=%D9%A3", "page='٣'"),
            ("page=-1", "page='-1'"),
            ("page=0", "from 1 to"),
            ("page=+1", "page=' 1'"),
            ("page=1_0", "page='1_0'"),
            ("page=", "page=''"),
            ("page=1&page=2", "page is given 2 times"),
            ("page_size=501", "from 1 to 500"),
            ("page_size=1e9", "page_size='1e9'"),
            ("pge=1", "no parameter 'pge'"),
            ("text[$ne]=x", "text[$ne]"),
            ("sort=$where", "$where"),
            ("text=%00", "without NUL"),
            (f"text={'(' * 10_000}", "10000"),
        ],
    )
    def test_a_parameter_that_cannot_be_used_is_named_with_its_value(
        self, client: FlaskClient, database: Documents, query: str, words: str
    ) -> None:
        insert_run(database, 1)
        response = client.get(f"/api/v1/projects/digits/runs?{query}")
        answer = strict_json(response)
        assert (response.status_code, response.mimetype) == (400, "application/problem+json")
        assert answer["status"] == 400
        assert words in answer["detail"]

    @pytest.mark.parametrize(
        ("path", "words"),
        [
            ("/runs/1/metrics/points", "name is missing"),
            ("/runs/1/metrics/points?name=loss&limit=0", "from 1 to 50000"),
            ("/runs/1/metrics/points?name=loss&offset=-5", "offset='-5'"),
            ("/runs/1/console?after=abc", "'abc'"),
            ("/runs/1/console?limit=1e9", "limit='1e9'"),
            ("/changes?since=yesterday", "2026-03-02T14:02:07Z"),
            ("/changes?since=0001-01-01T00:00:00%2B14:00", "0001-01-01"),
            ("/openapi.json?x=1", "takes none"),
            ("/curves?metric=loss&runs=1&pixels=abc", "pixels"),
        ],
    )
    def test_so_is_one_of_the_other_addresses(
        self, client: FlaskClient, database: Documents, path: str, words: str
    ) -> None:
        insert_run(database, 1)
        response = client.get(f"/api/v1{path}")
        assert (response.status_code, response.mimetype) == (400, "application/problem+json")
        assert words in strict_json(response)["detail"]

    @pytest.mark.parametrize(
        "path",
        [
            "/runs/2",
            "/runs/x",
            "/runs/-1",
            "/runs/1.5",
            "/runs/%D9%A3",
            "/runs/1180591620717411303424",
            "/runs/9999999999999999999",
            "/runs/1%00",
            "/runs/2/metrics",
            "/runs/2/metrics/points?name=loss",
            "/runs/1/metrics/points?name=accuracy",
            "/runs/2/console",
            "/runs/2/artifacts",
            "/runs/1/artifacts/64b000000000000000000000",
            "/projects/nobody",
            "/projects/nobody/runs",
            "/projects/nobody/columns",
            "/projects/%00",
            "/nothing",
            "/%252e%252e%252fetc/passwd",
        ],
    )
    def test_what_does_not_exist_is_not_found(self, client: FlaskClient, database: Documents, path: str) -> None:
        insert_run(database, 1)
        response = client.get(f"/api/v1{path}")
        assert (response.status_code, response.mimetype) == (404, "application/problem+json")
        assert strict_json(response)["title"] == "Nothing here for you"

    def test_a_misspelt_project_gets_the_nearest_name(self, client: FlaskClient, database: Documents) -> None:
        insert_run(database, 1)
        assert "Did you mean 'digits'?" in strict_json(client.get("/api/v1/projects/digts"))["detail"]
        page = client.get("/p/digts")
        assert page.status_code == 404
        assert 'href="/p/digits"' in page.text

    @pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
    def test_what_an_address_does_not_do_is_refused(
        self, client: FlaskClient, database: Documents, method: str
    ) -> None:
        insert_run(database, 1)
        response = client.open("/api/v1/runs/1/metrics", method=method)
        assert response.status_code == 405
        assert "GET" in response.headers["Allow"]
        assert strict_json(response)["detail"] == f"{method} does nothing at /api/v1/runs/1/metrics."

    def test_a_server_without_streams_says_what_to_ask_instead(self, client: FlaskClient) -> None:
        response = client.get("/api/v1/live?project=digits")
        assert response.status_code == 501
        assert "/api/v1/changes" in strict_json(response)["detail"]


class TestDownloads:
    @pytest.fixture
    def url(self, database: Documents, tmp_path: Path) -> str:
        insert_run(database, 1)
        insert_run(database, 2)
        return f"/api/v1/runs/1/artifacts/{insert_artifact(database, tmp_path, 1, 'model.bin', b'0123456789')}"

    def test_a_file_leaves_as_an_attachment_in_a_sandbox(self, client: FlaskClient, url: str) -> None:
        response = client.get(url)
        assert response.data == b"0123456789"
        assert response.headers["Content-Length"] == "10"
        assert response.headers["Content-Disposition"].startswith('attachment; filename="model.bin"')
        assert "sandbox" in response.headers["Content-Security-Policy"]
        assert response.headers["X-Content-Type-Options"] == "nosniff"

    @pytest.mark.parametrize(
        ("wanted", "status", "content"),
        [
            ("bytes=2-4", 206, b"234"),
            ("bytes=7-", 206, b"789"),
            ("bytes=-3", 206, b"789"),
            ("bytes=8-99", 206, b"89"),
            ("bytes=0-9", 200, b"0123456789"),
            ("bytes=4-2", 200, b"0123456789"),
            ("lines=1-2", 200, b"0123456789"),
            ("nonsense", 200, b"0123456789"),
        ],
    )
    def test_a_part_of_a_file_can_be_had(
        self, client: FlaskClient, url: str, wanted: str, status: int, content: bytes
    ) -> None:
        response = client.get(url, headers={"Range": wanted})
        assert (response.status_code, response.data) == (status, content)
        if status == 206:
            start = b"0123456789".index(content)
            assert response.headers["Content-Range"] == f"bytes {start}-{start + len(content) - 1}/10"

    @pytest.mark.parametrize("wanted", ["bytes=10-", "bytes=99-100", "bytes=" + ",".join(["0-0"] * 10_000)])
    def test_a_part_that_is_not_there_or_many_at_once_are_refused(
        self, client: FlaskClient, url: str, wanted: str
    ) -> None:
        response = client.get(url, headers={"Range": wanted})
        assert response.status_code == 416
        assert response.headers["Content-Range"] == "bytes */10"

    def test_a_file_that_the_client_has_is_not_sent_again(self, client: FlaskClient, url: str) -> None:
        etag = client.get(url).headers["ETag"]
        assert client.get(url, headers={"If-None-Match": etag}).status_code == 304
        assert client.get(url, headers={"Range": "bytes=0-0", "If-Range": '"other"'}).status_code == 200
        assert client.get(url, headers={"Range": "bytes=0-0", "If-Range": etag}).status_code == 206

    def test_a_file_is_found_only_under_the_run_that_made_it(self, client: FlaskClient, url: str) -> None:
        assert client.get(url.replace("/runs/1/", "/runs/2/")).status_code == 404

    def test_a_damaged_file_says_so(self, client: FlaskClient, database: Documents, url: str) -> None:
        database["fs.chunks"].delete_many({})
        response = client.get(url)
        assert response.status_code == 502
        assert "damaged" in strict_json(response)["detail"]

    @pytest.mark.parametrize("name", ["../../etc/passwd", "a\r\nSet-Cookie: x=1", "C:\\x", "", "ü" * 4000, "a\x00b"])
    def test_a_hostile_name_is_only_a_name(
        self, client: FlaskClient, database: Documents, tmp_path: Path, name: str
    ) -> None:
        insert_run(database, 1)
        file_id = insert_artifact(database, tmp_path, 1, name, b"x")
        header = client.get(f"/api/v1/runs/1/artifacts/{file_id}").headers["Content-Disposition"]
        assert header.startswith("attachment; ")
        assert not re.search(r"[\r\n\x00/\\]", header.replace("UTF-8''", ""))
