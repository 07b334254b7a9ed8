"""The viewer over databases that Sacred wrote: ids of any type, several databases on one server, nothing written."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from bson import ObjectId
from cloister.observer.run_collections import Collections
from cloister.observer.run_ids import format_run_id
from cloister.observer.runs import RunStore
from cloister.observer.settings import BadSetting, load_settings
from cloister.viewer.app import create_app
from cloister.viewer.database_link import open_databases
from cloister.viewer.database_specs import BadDatabaseSpec, DatabaseSpec, parse_spec, parse_specs
from cloister.viewer.run_keys import path_segment, run_key, shown_id
from cloister.viewer.store_access import ServedDatabase
from flask.testing import FlaskClient
from pymongo.database import Database
from running_viewer import ask, running_viewer
from test_foreign_runs import metric, mutated, sacred_run
from test_serve_command import serving
from test_viewer_live import LiveReader, kept_changing
from watched_browser import Watch

Documents = Database[dict[str, Any]]
TABS = ("", "/charts", "/console", "/config", "/source", "/system", "/artifacts", "/environment")
FRAGMENTS = ("/header", "/overview/top", "/overview/side", "/console/lines", "/artifacts/list")
API = ("", "/metrics", "/console", "/artifacts", "/system-strip")
ADDRESSES = re.compile(r'(?:href|src|action|hx-get|data-live-src|data-url)="([^"]*)"')


def with_database(uri: str, name: str) -> str:
    return uri.replace("/?", f"/{name}?")


@contextmanager
def opened(uri: str, *also: str) -> Iterator[tuple[ServedDatabase, ...]]:
    databases = open_databases(load_settings(uri=uri), also=also, only_read=True)
    yield databases
    for one in databases:
        one.access.get().close()


@pytest.fixture
def client(mongod: str, sacreds: str) -> Iterator[FlaskClient]:
    """A viewer over all four sets of runs that Sacred wrote."""
    also = (f"lab={sacreds}:lab_", f"text={sacreds}_text", f"mine={sacreds}_text:runs=mine")
    with opened(with_database(mongod, sacreds), *also) as databases:
        yield create_app(databases, read_only=True).test_client()


@pytest.fixture
def own(store: RunStore) -> FlaskClient:
    """A viewer over the test's own database."""
    return create_app(store).test_client()


def text_of(client: FlaskClient, path: str) -> str:
    """A page without its tags and surplus space."""
    response = client.get(path)
    assert response.status_code == 200, (path, response.text)
    return " ".join(re.sub(r"<[^>]+>", " ", response.text).split())


def ids_of(client: FlaskClient, root: str) -> list[int | str]:
    projects = client.get(f"{root}/api/v1/projects").get_json()["projects"]
    pages = (client.get(f"{root}/api/v1/projects/{quote(one['name'])}/runs").get_json() for one in projects)
    return [run["id"] for page in pages for run in page["runs"]]


# ---- everything that Sacred wrote, on the tab where people look for it


@pytest.mark.parametrize(
    ("root", "ids"), [("", {1, 2, 3, 4, 5}), ("/db/lab", {1}), ("/db/text", {"id:77"}), ("/db/mine", {1})]
)
def test_every_run_has_all_its_pages_and_routes(client: FlaskClient, root: str, ids: set[int | str]) -> None:
    assert set(ids_of(client, root)) == ids
    for run in ids:
        word = quote(str(run), safe=":")
        pages = [f"{root}/runs/{word}{part}" for part in (*TABS, *FRAGMENTS)]
        routes = [f"{root}/api/v1/runs/{word}{part}" for part in API]
        assert {client.get(path).status_code for path in (*pages, *routes)} == {200}


def test_a_run_shows_what_sacred_knows_of_it(client: FlaskClient) -> None:
    overview = text_of(client, "/runs/1")
    assert "Written by Sacred" in overview
    assert "a comment" in overview
    assert "150 of 3 metrics" in overview
    assert "Lost not counted" in overview
    assert "shared [1, 2]" in overview
    assert "trained with 0.1" in text_of(client, "/runs/1/console")
    environment = text_of(client, "/runs/1/environment")
    for words in ("--beat-interval 1", "MongoObserver-0.7.0", "Comment a comment", "Packages it imported", "numpy"):
        assert words in environment
    assert "sacred_writes.py" in text_of(client, "/runs/1/source")
    files = text_of(client, "/runs/1/artifacts")
    assert "model.txt" in files
    assert "Read by the run 1" in files
    assert re.search(r"data\.csv CSV not kept [0-9a-f]{10}", files)
    assert "samples no hardware" in text_of(client, "/runs/1/system")


@pytest.mark.parametrize(("run_id", "word"), [(2, "TIMEOUT"), (3, "MY_STATUS")])
def test_a_status_of_a_users_own_stands_as_it_was_written(client: FlaskClient, run_id: int, word: str) -> None:
    overview = text_of(client, f"/runs/{run_id}")
    assert f"mnist-{run_id} {word}" in overview
    assert f"Ended as {word}" in overview
    assert word in client.get("/p/mnist").text
    assert client.get(f"/api/v1/runs/{run_id}").get_json()["custom_status"] == word
    assert "Runs 1 of 5 match" in text_of(client, f"/p/mnist?q={word.lower()}")


def test_a_failed_run_promises_nothing_that_sacred_does_not_keep(client: FlaskClient) -> None:
    overview = text_of(client, "/runs/4")
    assert "ValueError: a wrong turn" in overview
    assert "exit code" not in overview


def test_a_queued_run_says_since_when_and_with_which_priority(
    client: FlaskClient, own: FlaskClient, database: Documents
) -> None:
    assert re.search(r"Waits in the queue Queued (just now|\d+ min ago)", text_of(client, "/runs/5"))
    assert "1 queued" in text_of(client, "/p/mnist")
    queued = datetime(2026, 3, 2, 14, 2, tzinfo=timezone.utc)
    meta = {
        "queue_time": queued,
        "priority": 5.0,
        "comment": "after the reboot",
        "options": {},
        "named_configs": ["big"],
    }
    database["runs"].insert_one(sacred_run(status="QUEUED", start_time=None, stop_time=None, heartbeat=None, meta=meta))
    overview = text_of(own, "/runs/1")
    assert "with priority 5" in overview
    assert "after the reboot" in overview
    assert "Presets big" in text_of(own, "/runs/1/environment")
    assert "preset big" in text_of(own, "/runs/1/config")


def test_what_was_set_for_a_run_stands_out_in_its_config(client: FlaskClient) -> None:
    page = client.get("/db/lab/runs/1/config").text
    assert '<ins title="Set for this run">0.2</ins>' in page
    assert "1 set for this run" in page


def test_values_that_are_no_numbers_are_counted(own: FlaskClient, database: Documents) -> None:
    values = [0.5, None, "checkpoint", float("nan"), True]
    ids = [database["metrics"].insert_one(metric(name="odd", values=values, steps=[0, 1, 2, 3, 4])).inserted_id]
    ids.append(database["metrics"].insert_one(metric(name="text", values=["a"], steps=[0])).inserted_id)
    listed = [{"name": name, "id": str(each)} for name, each in zip(("odd", "text"), ids, strict=True)]
    database["runs"].insert_one(sacred_run(info={"metrics": listed}))
    odd, text = own.get("/api/v1/curves?metric=odd&metric=text&runs=1").get_json()["curves"]
    assert (odd["y"], odd["not_numbers"]) == ([0.5, None, None, None, 1.0], 2)
    assert (text["y"], text["not_numbers"]) == ([None], 1)
    page = text_of(own, "/runs/1")
    assert "odd 1 at step 4" in page
    assert "no number" not in page.split("Points stored")[0], "a metric without any number is no key figure"


def test_a_repository_with_changes_says_that_sacred_did_not_keep_them(own: FlaskClient, database: Documents) -> None:
    database["runs"].insert_one(sacred_run())
    page = text_of(own, "/runs/1/source?diff=1")
    assert "c0ffeec0ff" in page
    assert "Uncommitted changes that were not kept" in page
    assert "https://git.lab/mnist.git" in page
    assert "token" not in page


def test_omniboards_tags_and_notes_are_shown(own: FlaskClient, database: Documents) -> None:
    database["runs"].insert_one(sacred_run(omniboard={"tags": ["paper"], "notes": "Table 2"}))
    overview = text_of(own, "/runs/1")
    assert "paper" in overview
    assert "Notes Edit Table 2" in overview
    assert "paper" in text_of(own, "/p/mnist")


def test_a_list_reads_the_points_of_a_metric_once_for_each_sign_of_life(own: FlaskClient, database: Documents) -> None:
    listed = [
        {"name": "loss", "id": str(database["metrics"].insert_one(metric(values=[0.5, 0.25, 0.125])).inserted_id)}
    ]
    database["runs"].insert_one(sacred_run(info={"metrics": listed}))

    def shown() -> float:
        [run] = own.get("/api/v1/projects/mnist/runs").get_json()["runs"]
        return float(run["summary"]["loss"]["last"])

    assert shown() == 0.125
    database.command("profile", 2)
    assert shown() == 0.125
    database.command("profile", 0)
    assert database["system.profile"].count_documents({"ns": f"{database.name}.metrics"}) == 0
    database["metrics"].update_one({"name": "loss"}, {"$push": {"values": 0.0625, "steps": 3}})
    database["runs"].update_one({"_id": 1}, {"$set": {"heartbeat": datetime.now(timezone.utc)}})
    assert shown() == 0.0625


# ---- ids


IDS = [
    "77",
    "a/b 50%",
    "id:x",
    "../..",
    "",
    "\u0663",
    ObjectId("65f0c0ffee65f0c0ffee65f0"),
    None,
    3.5,
    True,
    2**60,
    {"a": 1},
]


def test_runs_with_ids_of_any_type_have_pages_that_lists_lead_to(own: FlaskClient, database: Documents) -> None:
    for number, run_id in enumerate(IDS):
        database["runs"].insert_one(sacred_run(run_id, command=f"command-{number}"))
        database["metrics"].insert_one(metric(run_id))
    links = set(re.findall(r'href="(/runs/[^"]+)" title', own.get("/p/mnist").text))
    assert len(links) == len(IDS)
    shown = {command for link in links for command in re.findall(r"command-\d+", text_of(own, f"{link}/environment"))}
    assert shown == {f"command-{number}" for number in range(len(IDS))}
    keys = [run_key(run_id) for run_id in IDS]
    words = quote(",".join(map(str, keys)))
    curves = own.get(f"/api/v1/curves?metric=loss&runs={words}").get_json()
    assert {curve["run_id"] for curve in curves["curves"]} == set(keys)
    assert {run["id"] for run in own.get("/api/v1/projects/mnist/runs").get_json()["runs"]} == set(keys)
    drawn = own.get(f"/p/mnist?draw={words}").text
    assert drawn.count('aria-pressed="true" href="/p/mnist') == len(IDS)


def test_the_text_7_and_the_number_7_are_two_runs(own: FlaskClient, database: Documents) -> None:
    database["runs"].insert_many([sacred_run(7, command="number"), sacred_run("7", command="text")])
    assert "Command number" in text_of(own, "/runs/7/environment")
    assert "Command text" in text_of(own, "/runs/id:7/environment")


@pytest.mark.parametrize("word", ["id", "id%3A", "oid:7", "oid:" + "g" * 24, "bson:!", "x", "1.5", "9" * 20, "-"])
def test_a_word_that_is_no_id_is_an_address_that_does_not_exist(own: FlaskClient, word: str) -> None:
    for path in (f"/runs/{word}", f"/api/v1/runs/{word}/metrics"):
        assert own.get(path).status_code == 404


def test_numbers_that_browsers_would_round_are_sent_as_text() -> None:
    assert run_key(2**53 - 1) == 2**53 - 1
    assert run_key(2**53 + 1) == str(2**53 + 1)
    assert run_key("7") == "id:7"
    assert shown_id(None) == "without an id"
    assert path_segment("50%/x") == "id:50%2525%252Fx"


@pytest.mark.parametrize("streamed", [True, False], ids=["streamed", "polled"])
def test_pages_hear_of_runs_with_text_as_ids(
    store: RunStore, database: Documents, database_uri: str, streamed: bool
) -> None:
    now = datetime.now(timezone.utc)
    fresh = {"start_time": now, "heartbeat": now, "status": "RUNNING", "stop_time": None}
    database["runs"].insert_many([sacred_run("a b", **fresh), sacred_run("7", **fresh)])
    word = quote(format_run_id("a b"))
    with ExitStack() as stack:
        port = stack.enter_context(running_viewer(store, uri=database_uri if streamed else None))
        reader = stack.enter_context(closing(LiveReader(port, f"?run={word}")))
        for run_id in ("a b", "7"):
            stack.enter_context(kept_changing(database, run_id))
        heard = [reader.next_event() for _ in range(2)]
    assert {(event["run_id"], event["project"], event["status"]) for event in heard} == {
        ("id:a%20b", "mnist", "running")
    }


# ---- several databases


def test_every_address_on_a_further_databases_pages_stays_within_it(client: FlaskClient) -> None:
    for path in ("/", "/p/cifar", *(f"/runs/1{tab}" for tab in TABS)):
        page = client.get(f"/db/lab{path}").text
        assert 'data-root="/db/lab"' in page
        switcher = {"/", "/db/lab/", "/db/text/", "/db/mine/"}
        found = {address for address in ADDRESSES.findall(page) if address.startswith("/")} - switcher
        assert {address.split("/")[1] for address in found} <= {"db", "static", "bokeh"}, found
        assert {address.split("/")[2] for address in found if address.startswith("/db/")} <= {"lab"}
    files = client.get("/db/lab/api/v1/runs/1/artifacts").get_json()["artifacts"]
    assert files[0]["url"].startswith("/db/lab/api/v1/runs/1/artifacts/")
    assert client.get(files[0]["url"]).data == b"weights"


def test_scripts_and_styles_have_one_address_for_all_databases(client: FlaskClient) -> None:
    first, further = (
        {url for url in ADDRESSES.findall(client.get(path).text) if "/static/" in url} for path in ("/", "/db/text/")
    )
    assert first == further
    for url in first:
        with client.get(url) as response:
            assert response.status_code == 200


def test_the_switcher_names_all_databases_and_marks_the_one_that_is_shown(client: FlaskClient, sacreds: str) -> None:
    page = client.get("/db/mine/").text
    rows = re.findall(r'class="menu-row" href="([^"]+)" title="([^"]+)"( aria-current="true")?', page)
    by_path = {path: (source, bool(current)) for path, source, current in rows}
    assert set(by_path) == {"/", "/db/lab/", "/db/text/", "/db/mine/"}
    assert [path for path, (_, current) in by_path.items() if current] == ["/db/mine/"]
    assert by_path["/db/lab/"][0].endswith(f"/{sacreds}, collections lab_*")
    assert by_path["/db/mine/"][0].endswith(f"/{sacreds}_text, collection mine")


def test_a_viewer_of_one_database_has_no_switcher(own: FlaskClient) -> None:
    assert "Switch database" not in own.get("/").text


def test_the_first_database_answers_under_its_name_too(client: FlaskClient, sacreds: str) -> None:
    page = client.get(f"/db/{sacreds}/runs/2").text
    assert "TIMEOUT" in page
    assert 'data-root=""' in page


@pytest.mark.parametrize("path", ["/db/nosuch/", "/db/", "/db/lab/runs/4711", "/db/lab/p/nosuch", "/db/../runs/1x"])
def test_what_a_database_does_not_have_is_an_error_page_within_it(client: FlaskClient, path: str) -> None:
    response = client.get(path)
    assert response.status_code == 404
    assert f'href="{"/db/lab" if path.startswith("/db/lab") else ""}/"' in response.text


def test_each_database_has_a_live_stream_of_its_own(database: Documents, database_uri: str) -> None:
    now = datetime.now(timezone.utc)
    for collection in ("runs", "lab_runs"):
        database[collection].insert_one(sacred_run(status="RUNNING", start_time=now, heartbeat=now, stop_time=None))
    with opened(database_uri, f"lab={database.name}:lab_") as databases, ExitStack() as stack:
        first, app = databases[0].access.get(), create_app(databases)
        port = stack.enter_context(running_viewer(first, app=app, uri=database_uri))
        of_first = stack.enter_context(closing(LiveReader(port)))
        of_lab = stack.enter_context(closing(LiveReader(port, root="/db/lab")))
        with kept_changing(database, 1, collection="lab_runs"):
            assert of_lab.next_event()["run_id"] == 1
        with kept_changing(database, 1):
            assert of_first.next_event()["run_id"] == 1
        response, body = ask(port, "/db/lab/api/v1/live", headers={"Origin": "http://evil.example"})
        assert response.status == 403
        assert "evil.example" in json.loads(body)["detail"]


def test_drawn_runs_of_projects_of_one_name_are_kept_apart(
    own: FlaskClient, database: Documents, database_uri: str
) -> None:
    database["runs"].insert_one(sacred_run(1))
    database["lab_runs"].insert_one(sacred_run(2))
    with opened(database_uri, f"lab={database.name}:lab_") as databases:
        client = create_app(databases).test_client()
        cookies = [client.get(f"{root}/p/mnist").headers["Set-Cookie"].partition(";")[0] for root in ("", "/db/lab")]
    assert [cookie.partition("=")[2] for cookie in cookies] == ["1", "2"]
    assert len({cookie.partition("=")[0] for cookie in cookies}) == 2


def test_an_empty_database_tells_where_runs_are(client: FlaskClient, own: FlaskClient, sacreds: str) -> None:
    page = text_of(own, "/")
    assert "No runs in this database" in page
    assert f"{sacreds} lab_runs" in page


# ---- how databases are named


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("sacred", DatabaseSpec("sacred", None, "sacred", Collections())),
        ("lab:prefix_", DatabaseSpec("lab-prefix", None, "lab", Collections(prefix="prefix"))),
        ("lab:runs=mine", DatabaseSpec("lab-mine", None, "lab", Collections(runs="mine"))),
        ("old=sacred", DatabaseSpec("old", None, "sacred", Collections())),
        ("mongodb://h:1/s?a=b", DatabaseSpec("s", "mongodb://h:1/s?a=b", "s", Collections())),
        ("o=mongodb://u:p@h,i/s#lab_", DatabaseSpec("o", "mongodb://u:p@h,i/s", "s", Collections(prefix="lab"))),
    ],
)
def test_a_further_database_is_named_in_one_word(text: str, expected: DatabaseSpec) -> None:
    assert parse_spec(text) == expected


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "'' is no name of a database"),
        ("a/b", "'a/b' is no name of a database"),
        ("daten\u00e4", "needs a name before a '='"),
        ("mongodb://u:secret@h", "the URI ends without the database's name"),
        ("lab:$x", "MongoDB takes no such name"),
        ("first", "called 'first' already"),
    ],
)
def test_a_name_that_names_no_database_is_refused_in_words(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=re.escape(words)) as raised:
        parse_specs([text], first_name="first")
    assert "secret" not in str(raised.value)


def test_the_first_database_may_have_a_prefix_too(database: Documents, database_uri: str) -> None:
    database["lab_runs"].insert_one(sacred_run())
    [served] = open_databases(load_settings(uri=database_uri), collections="lab_")
    assert (served.name, served.path) == (f"{database.name}-lab", "")
    assert "mnist" in create_app([served]).test_client().get("/").text
    served.access.get().close()


def test_a_site_may_settle_its_further_databases(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cloister.toml").write_text('databases = ["sacred", "lab:vision_"]', encoding="utf-8")
    assert load_settings(tmp_path).databases == ("sacred", "lab:vision_")
    monkeypatch.setenv("CLOISTER_DATABASES", "old=mongodb://a,b/sacred  lab:vision_")
    assert load_settings(tmp_path).databases == ("old=mongodb://a,b/sacred", "lab:vision_")
    monkeypatch.delenv("CLOISTER_DATABASES")
    (tmp_path / "cloister.toml").write_text("databases = [1]", encoding="utf-8")
    with pytest.raises(BadSetting, match='not a list such as \\["sacred", "lab:prefix_"\\]'):
        load_settings(tmp_path)


def test_two_databases_of_one_name_are_refused() -> None:
    with pytest.raises(BadDatabaseSpec, match="called 'a' already"):
        parse_specs(["a", "a=b"], first_name="first")


# ---- reading only


def test_a_user_who_may_only_read_suffices_and_nothing_is_written(guarded: tuple[Any, int]) -> None:
    root, port = guarded
    theirs = root["theirs"]
    theirs["runs"].insert_one(sacred_run("a"))
    theirs["metrics"].insert_one(metric("a"))
    theirs["lab_runs"].insert_one(sacred_run(2))
    root.admin.command("createUser", "eve", pwd="pw", roles=[{"role": "read", "db": "theirs"}])
    theirs.command("profile", 2)
    mine = f"mongodb://eve:pw@127.0.0.1:{port}/theirs?authSource=admin&directConnection=true"
    with serving("--port", "0", "--uri", mine, "--also", "theirs:lab_", "--read-only") as (process, viewer):
        for path in ("/", "/p/mnist", *(f"/runs/id:a{tab}" for tab in TABS), "/db/theirs-lab/runs/2"):
            response, body = ask(viewer, path)
            assert response.status == 200
            assert b"Read-only" in body
        response, body = ask(viewer, "/api/v1/runs/id:a", method="POST", body=b"{}")
        assert response.status == 403
        assert "--read-only" in json.loads(body)["detail"]
        with closing(LiveReader(viewer, "?run=id:a")) as reader, kept_changing(theirs, "a"):
            assert reader.next_event()["run_id"] == "id:a"
        process.terminate()
        assert process.wait(10) == 0
        assert process.stderr is not None
        assert "poll" not in process.stderr.read()  # the stream itself was open to a reader
    theirs.command("profile", 0)
    by_eve = list(theirs["system.profile"].find({"user": {"$regex": "eve"}}))
    assert by_eve
    assert {entry["op"] for entry in by_eve} <= {"query", "command", "getmore"}
    names = {next(iter(entry["command"])) for entry in by_eve}
    assert names <= {
        "find",
        "aggregate",
        "count",
        "getMore",
        "listCollections",
        "distinct",
        "listIndexes",
        "killCursors",
    }
    assert sorted(theirs.list_collection_names()) == ["lab_runs", "metrics", "runs", "system.profile"]


def test_without_the_option_the_pages_say_nothing_of_it(own: FlaskClient) -> None:
    assert "Read-only" not in own.get("/").text
    assert own.post("/api/v1/projects").status_code == 405


# ---- documents in any state


def test_no_document_of_any_shape_breaks_a_page(own: FlaskClient, database: Documents) -> None:
    documents = [document for _, document in mutated()]
    database["runs"].drop_indexes()  # ours refuse two runs of one uid, whatever it is
    database["runs"].insert_many(documents)
    database["metrics"].insert_many([metric(document["_id"]) for document in documents[::50]])
    for place, document in enumerate(documents[::11]):
        parts = (
            TABS if place % 4 == 0 else ("", "/console", "/environment")
        )  # each shape of each field, some in all tabs
        word = path_segment(document["_id"])
        for path in (*(f"/runs/{word}{part}" for part in parts), f"/api/v1/runs/{word}"):
            assert own.get(path).status_code == 200, (path, document)
    for project in own.get("/api/v1/projects").get_json()["projects"]:
        assert own.get(f"/p/{quote(project['name'], safe='')}").status_code == 200, project
    assert own.get("/").status_code == own.get("/projects/menu").status_code == 200


def test_a_field_that_cannot_be_read_is_named_on_the_page(own: FlaskClient, database: Documents) -> None:
    database["runs"].insert_one(sacred_run(config="lr=1"))
    assert "config holds text instead of a document" in text_of(own, "/runs/1")
    assert own.get("/api/v1/runs/1").get_json()["unreadable"] == ["config holds text instead of a document"]


# ---- in a browser


@pytest.mark.browser
def test_a_person_goes_from_one_database_to_the_charts_of_another(
    browser: Any, mongod: str, sacreds: str, database_uri: str
) -> None:
    with opened(with_database(mongod, sacreds), f"text={sacreds}_text") as databases, ExitStack() as stack:
        app, first = create_app(databases, read_only=True), databases[0].access.get()
        address = f"http://127.0.0.1:{stack.enter_context(running_viewer(first, app=app, uri=database_uri))}"
        context = stack.enter_context(browser.new_context(base_url=address, viewport={"width": 1440, "height": 900}))
        watch = Watch(context, address)
        page = context.new_page()
        page.goto("/p/mnist")
        page.get_by_title("Switch database").click()
        page.get_by_role("link", name="text").first.click()
        page.get_by_role("link", name="named").click()
        page.locator(".chart-canvas canvas").first.wait_for(state="attached")
        assert page.locator("#runs-table").get_attribute("data-drawn") == "id:77"
        page.locator('[data-run-row="id:77"] .eye').click()
        page.locator("#runs-table[data-drawn=none]").wait_for(state="attached")
        page.locator('[data-run-row="id:77"] [data-open]').click()
        page.wait_for_url("**/db/text/runs/id:77")
        page.locator(".chart-canvas canvas").first.wait_for(state="attached")
        page.get_by_role("link", name="Console").click()
        page.get_by_text("trained with 0.1").wait_for()
        assert watch.trouble == []
