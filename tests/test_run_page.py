"""A run's page: stopping it, what happened to it, its notes; and `cloister stop`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner
from cloister.__main__ import main
from cloister.observer.account import host_name, login_name
from cloister.observer.read_only import read_only
from cloister.observer.run_events import EVENTS_LIMIT, RunEvent, list_events, new_event, pushing
from cloister.observer.runs import RunStore
from cloister.observer.stop_requests import request_stop
from cloister.viewer.app import create_app
from flask.testing import FlaskClient
from pymongo.database import Database
from running_viewer import insert_run, running_viewer
from seeded_runs import text_of
from watched_browser import Watch

if TYPE_CHECKING:
    from playwright.sync_api import Browser

SESSION = {"time": datetime(2026, 3, 2, 14, 2, 3, 250_000, timezone.utc), "pid": 4, "host": "lab-gpu-03"}


def insert_recorded(database: Database[dict[str, Any]], run_id: int, **fields: Any) -> None:
    """A run that a process of ours records."""
    insert_run(database, run_id, host={"hostname": "lab-gpu-03"}, **fields)
    database["runs"].update_one({"_id": run_id}, {"$set": {"cloister.session": SESSION, "cloister.owner": "ana"}})


@pytest.fixture
def client(store: RunStore, database: Database[dict[str, Any]]) -> FlaskClient:
    insert_recorded(database, 1)
    return create_app(store).test_client()


def send_stop(client: FlaskClient, run_id: int, **body: Any) -> Any:
    return client.post(f"/api/v1/runs/{run_id}/stop", json=body)


def test_a_run_is_stopped_by_rest_and_the_page_says_who_asked_and_how_far_that_came(
    client: FlaskClient, store: RunStore, database: Database[dict[str, Any]]
) -> None:
    assert "Stop run" in text_of(client.get("/runs/1/header").text)

    answer = send_stop(client, 1).json
    assert (answer["level"], answer["by"], answer["heard_at"], answer["status"]) == (
        "interrupt",
        "local",
        None,
        "running",
    )
    page = text_of(client.get("/runs/1/header").text)
    assert "local asked it to stop just now; its training is interrupted with its next sign of life." in page
    assert "End process" in page
    database["runs"].update_one({"_id": 1}, {"$set": {"cloister.stop_requested.heard_at": datetime.now(timezone.utc)}})
    assert "its training was interrupted just now and is ending" in text_of(client.get("/runs/1/header").text)

    assert send_stop(client, 1, level="kill").json["level"] == "kill"
    assert send_stop(client, 1).json["level"] == "kill"  # what was asked for is not taken back
    page = client.get("/runs/1/header").text
    assert "its process is ended 10 s after it was interrupted" in page
    assert "disabled" in page
    assert client.get("/api/v1/runs/1/stop").json["heard_at"] is not None
    assert [entry["target"] for entry in database["audit"].find({"action": "run-stopped"})] == ["run 1"] * 3


def test_what_cannot_be_stopped_says_why(
    client: FlaskClient, store: RunStore, database: Database[dict[str, Any]]
) -> None:
    insert_run(database, 2, status="COMPLETED", stop_time=datetime.now(timezone.utc))
    insert_run(database, 3, status="QUEUED", start_time=None, heartbeat=None)
    assert send_stop(client, 2).status_code == 409
    assert "is completed and has nothing left to stop" in send_stop(client, 2).json["detail"]
    assert send_stop(client, 4).status_code == 404
    assert send_stop(client, 1, level="gently").status_code == 400
    assert "Stop run" not in client.get("/runs/2/header").text

    assert "Cancel run" in text_of(client.get("/runs/3/header").text)
    assert send_stop(client, 3).status_code == 200
    cancelled = store.load_run(3)
    assert (cancelled.status, cancelled.custom_status) == ("interrupted", "CANCELLED")
    assert [(event.kind, event.by) for event in cancelled.events] == [("cancelled", "local")]

    looking = create_app(RunStore(read_only(database)), read_only=True).test_client()
    assert "Stop run" not in looking.get("/runs/1/header").text
    assert send_stop(looking, 1).status_code in (403, 405)
    assert store.load_run(1).stop is None


def test_the_timeline_has_what_is_stored_and_what_the_run_s_fields_tell(
    client: FlaskClient, store: RunStore, database: Database[dict[str, Any]]
) -> None:
    started = store.load_run(1).start_time
    assert started is not None
    at = [started + timedelta(seconds=second) for second in range(40)]
    resumed = [{"time": at[5], "host": "lab-gpu-04", "pid": 9, "stopped": at[3], "config": [{"key": "lr"}]}]
    fields = {"cloister.resumed": resumed, "cloister.exit": {"signal": 2, "stopped": {"by": "ana", "at": at[20]}}}
    ended = {"status": "INTERRUPTED", "stop_time": at[30]}
    hostile = new_event("warning", "<img src=x onerror=alert(1)>", at=at[10])
    database["runs"].update_one({"_id": 1}, {"$set": {**fields, **ended}, **pushing(hostile)})

    assert [(event.kind, event.by) for event in list_events(store.load_run(1))] == [
        ("started", "ana"),
        ("resumed", ""),
        ("warning", ""),
        ("stopped", "ana"),
    ]
    rows = client.get("/api/v1/runs/1/events").json["events"]
    assert rows[3] == {"at": rows[3]["at"], "kind": "stopped", "text": "", "by": "ana"}
    page = client.get("/runs/1/overview/timeline").text
    assert "Started by ana on lab-gpu-03" in text_of(page)
    assert "Resumed on lab-gpu-04, 1 config value kept as they were" in text_of(page)
    assert "Stopped by ana" in text_of(page)
    assert "<img" not in page
    assert "Stopped by ana" in text_of(client.get("/runs/1/overview/top").text)

    many = [new_event("note", str(number)) for number in range(EVENTS_LIMIT + 5)]
    database["runs"].update_one({"_id": 1}, pushing(*many))
    kept = store.load_run(1).events
    assert (len(kept), kept[-1].text) == (EVENTS_LIMIT, str(EVENTS_LIMIT + 4))
    assert "earlier events" in text_of(client.get("/runs/1/overview/timeline").text)
    assert RunEvent(at[0], "from-a-newer-version").words == "From a newer version"


def test_notes_are_markdown_and_never_more(client: FlaskClient, database: Database[dict[str, Any]]) -> None:
    text = "# Why\n\n**dice** <script>alert(1)</script> [x](javascript:alert(1))"
    database["runs"].update_one({"_id": 1}, {"$set": {"cloister.notes": text}})
    token = re.findall(r'name="csrf-token" content="([^"]+)"', client.get("/runs/1").text)[0]
    assert client.post("/runs/1/notes/preview", data={"notes": text}).status_code == 403
    for page in (
        client.get("/runs/1/overview/side").text,
        client.post("/runs/1/notes/preview", data={"notes": text}, headers={"X-CSRF-Token": token}).text,
    ):
        assert "<strong>dice</strong>" in page
        assert "<script>alert" not in page
        assert 'href="javascript' not in page


def test_cloister_stop_asks_names_the_run_and_waits(
    store: RunStore, database_uri: str, database: Any, home: Any
) -> None:
    insert_recorded(database, 1)
    run = CliRunner().invoke(main, ["stop", "1", "--uri", database_uri], input="n\n")
    assert "Stop digits-1 (1)? [y/N]: n" in run.output
    assert store.load_run(1).stop is None

    run = CliRunner().invoke(main, ["stop", "1", "--force", "--yes", "--wait", "0.1", "--uri", database_uri])
    assert run.exit_code == 1
    assert "Run 1 (digits-1) is asked to stop." in run.output
    assert "Still running after 0.1 s: digits-1 (1)." in run.output
    stop = store.load_run(1).stop
    assert stop is not None
    assert (stop.level, stop.by) == ("kill", f"{login_name()}@{host_name()}")

    database["runs"].update_one({"_id": 1}, {"$set": {"status": "INTERRUPTED"}})
    run = CliRunner().invoke(main, ["stop", "1", "--yes", "--uri", database_uri])
    assert run.exit_code == 1
    assert "is interrupted and has nothing left to stop" in run.output


def test_a_request_moves_the_document_on_for_couriers_alone(
    store: RunStore, database: Database[dict[str, Any]]
) -> None:
    insert_recorded(database, 1)
    before = database["runs"].find_one({"_id": 1})
    assert before is not None
    request_stop(store, 1, by="ana")
    after = database["runs"].find_one({"_id": 1})
    assert after is not None
    changed = {key for key in after["cloister"] if after["cloister"][key] != before["cloister"].get(key)}
    assert changed == {"stop_requested", "events", "version", "updated_at"}
    assert after["cloister"]["version"] == before["cloister"]["version"] + 1
    assert {key for key in after if after[key] != before.get(key)} == {"cloister"}


@pytest.fixture
def address(store: RunStore, database: Database[dict[str, Any]], database_uri: str) -> Iterator[str]:
    insert_recorded(database, 1)
    with running_viewer(store, uri=database_uri) as port:
        yield f"http://127.0.0.1:{port}"


@pytest.mark.browser
def test_a_run_is_stopped_and_annotated_from_its_page(
    address: str, store: RunStore, database: Database[dict[str, Any]], browser: Browser
) -> None:
    from playwright.sync_api import expect

    with browser.new_context(viewport={"width": 1440, "height": 900}) as context:
        watch = Watch(context, address)
        page = context.new_page()
        page.goto(f"{address}/runs/1")
        page.get_by_role("button", name="Stop run").click()
        dialog = page.get_by_role("dialog", name="Stop run digits-1?")
        expect(dialog.get_by_role("button", name="Keep running")).to_be_focused()
        dialog.get_by_role("button", name="Keep running").click()
        assert store.load_run(1).stop is None

        page.get_by_role("button", name="Stop run").click()
        dialog.get_by_role("button", name="Stop run").click()
        expect(page.locator(".run-stopping")).to_contain_text("local asked it to stop")
        expect(page.locator("#run-timeline")).to_contain_text("Stop requested by local")
        page.get_by_role("button", name="End process").click()
        again = page.get_by_role("dialog", name="End the process of run digits-1?")
        again.get_by_role("button", name="End process").click()
        expect(page.locator(".run-stopping")).to_contain_text("its process is ended")

        page.get_by_role("button", name="Add", exact=True).click()
        notes = page.get_by_role("dialog", name="Notes on digits-1")
        notes.get_by_label("Notes, in Markdown").fill("better with **focal** loss")
        notes.get_by_role("button", name="Preview").click()
        expect(notes.locator("[data-notes-preview] strong")).to_have_text("focal")
        notes.get_by_role("button", name="Save notes").click()
        expect(page.locator("#overview-side .notes strong")).to_have_text("focal")

        page.get_by_role("button", name="Edit", exact=True).click()
        expect(notes.get_by_label("Notes, in Markdown")).to_have_value("better with **focal** loss")
        database["runs"].update_one({"_id": 1}, {"$set": {"cloister.notes": "theirs", "omniboard.notes": "theirs"}})
        notes.get_by_label("Notes, in Markdown").fill("mine")
        watch_trouble = len(watch.trouble)
        notes.get_by_role("button", name="Save notes").click()
        expect(notes.get_by_role("alert")).to_contain_text("Somebody else has changed the notes")
    assert store.load_run(1).notes == "theirs"
    assert all("412" in trouble for trouble in watch.trouble[watch_trouble:])
    assert watch.trouble[:watch_trouble] == []
