"""cloister.Api against a real viewer: reading, changing, following; whom a token is shown."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import cloister
import numpy as np
import pytest
from artifact_keeping import keep_artifact
from cloister.observer.access.project_settings import Member, put_member
from cloister.observer.api_connection import BadApiAddress
from cloister.observer.runs import RunStore
from cloister.viewer.accounts.tokens import make_token
from cloister.viewer.accounts.users import add_user
from cloister.viewer.app import create_app
from cloister.viewer.rate_limit import RateLimit
from console_writing import write_pieces
from pymongo.database import Database
from running_viewer import insert_run, running_viewer, touch_run
from signing_in import emptied
from stored_metrics import store_metric

Documents = Database[dict[str, Any]]


@pytest.fixture(scope="module")
def address(one_database: Documents) -> Iterator[str]:
    """A viewer with accounts over runs of two projects, and whoever asks more than 30 times at once has to wait."""
    emptied(one_database)
    app = create_app(RunStore(one_database), api_rate=RateLimit(per_second=200, at_once=30))
    add_user(one_database, "ana")
    put_member(one_database, "digits", Member("person", "ana", "editor"))
    for run_id in range(1, 26):
        insert_run(one_database, run_id, project="digits" if run_id < 24 else "hidden")
    with running_viewer(RunStore(one_database), uri=None, app=app) as port:
        yield f"http://127.0.0.1:{port}"


@pytest.fixture
def api(address: str, one_database: Documents) -> Iterator[cloister.Api]:
    token, _ = make_token(one_database, "ana", name="tests", scopes=["read", "record", "admin"])
    with cloister.Api(address, token) as api:
        yield api
    one_database["tokens"].delete_many({})


def test_runs_come_page_by_page_and_only_those_that_one_sees(api: cloister.Api) -> None:
    assert [run["id"] for run in api.runs(page_size=4, sort="id")] == list(range(1, 24))
    assert [run["id"] for run in api.runs("name = 'digits-7'", project="digits")] == [7]
    assert [project["name"] for project in api.projects()] == ["digits"]
    with pytest.raises(cloister.ApiError) as refused:
        api.run(25)
    assert refused.value.status == 404
    with pytest.raises(cloister.ApiError, match="column") as misread:
        list(api.runs("config.lr <"))
    assert misread.value.status == 400


def test_what_a_run_recorded_comes_back_exactly(api: cloister.Api, one_database: Documents, tmp_path: Path) -> None:
    values = np.array([0.5, math.nan, math.inf, -0.0, 1e-300])
    store_metric(one_database, 1, "val/acc", values)
    write_pieces(one_database, 1, [("stdout", "one\n"), ("stderr", "two\n")])
    keep_artifact(one_database, tmp_path, "model.pt", b"\0weights" * 1000, run_id=1)
    steps, read, times = api.points(1, "val/acc")
    assert (steps, len(times)) == ([0, 1, 2, 3, 4], 5)
    assert np.array(read).tobytes() == values.tobytes()
    assert "".join(piece["text"] for piece in api.console(1)) == "one\ntwo\n"
    assert api.download(1, "model.pt", tmp_path / "copy").read_bytes() == b"\0weights" * 1000
    with pytest.raises(cloister.ApiError, match="no artifact"):
        api.download(1, "other", tmp_path / "copy")
    assert sorted(each.name for each in tmp_path.glob("copy*")) == ["copy"]


def test_runs_are_changed_as_far_as_the_account_may(api: cloister.Api) -> None:
    assert api.edit_run(2, notes="new", tags=["a"])["changed"] == ["tags", "notes"]
    with pytest.raises(cloister.ApiError) as late:
        api.edit_run(2, notes="newer", expected={"notes": "old"})
    assert late.value.status == 412
    outcomes = api.act("archive", [3, 4, 25, *range(1000, 1250)])  # more than one request's worth
    assert [each["status"] for each in outcomes[:3]] == [200, 200, 404]
    assert len(outcomes) == 253
    assert [run["id"] for run in api.runs(archived="only", sort="id")] == [3, 4]
    with pytest.raises(cloister.ApiError) as refused:
        api.stop(3, level="softly")
    assert refused.value.status == 400


def test_who_asks_too_often_waits_and_gets_all_answers(api: cloister.Api) -> None:
    assert {api.run(5)["id"] for _ in range(80)} == {5}


def test_changes_are_followed(api: cloister.Api, one_database: Documents) -> None:
    done = threading.Event()

    def touch() -> None:
        while not done.wait(0.1):
            touch_run(one_database, 6)
            touch_run(one_database, 25)

    thread = threading.Thread(target=touch)
    thread.start()
    try:
        changes = api.changes()
        assert {next(changes).get("run_id") for _ in range(3)} <= {6, None, *range(1, 24)}
        changes.close()  # type: ignore[attr-defined]
    finally:
        done.set()
        thread.join()


@pytest.mark.parametrize(
    "url", ["http://runs.lab:6390", "ftp://127.0.0.1", "http://me:secret@127.0.0.1", "http://", "http://127.0.0.1?x=1"]
)
def test_a_token_goes_to_no_address_where_others_read_it(url: str) -> None:
    with pytest.raises(BadApiAddress) as refused:
        cloister.Api(url, "clst_secret")
    assert "secret" not in str(refused.value)
    assert "clst" not in repr(cloister.Api("https://runs.lab", "clst_secret"))


def test_a_redirect_leads_to_no_other_server() -> None:
    asked: list[str] = []

    class Elsewhere(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(308)
            self.send_header("Location", "http://127.0.0.1:9/steal" if len(asked) > 1 else "/api/v1/again")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002  # the base class's name
            pass

    with HTTPServer(("127.0.0.1", 0), Elsewhere) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with (
            cloister.Api(f"http://127.0.0.1:{server.server_port}", "clst_x") as api,
            pytest.raises(cloister.ApiError, match="another server"),
        ):
            api.get("/projects")
        server.shutdown()
    assert asked == ["/api/v1/projects", "/api/v1/again"]
