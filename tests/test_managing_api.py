"""Changing stored runs by REST: one, many at once, a project's name; for whom, and what the audit log says."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from cloister.observer.access.project_settings import Member, put_member
from cloister.observer.retention.purge import close_report, open_report
from cloister.observer.retention.purge_progress import noting
from cloister.viewer.accounts import passwords
from guarded_site import DIGITS_RUN, SECRET_RUN, Site, make_guarded_site
from pymongo.database import Database
from running_viewer import insert_run
from signing_in import emptied, make_hashing_fast, make_hashing_slow_again


@pytest.fixture(scope="module", autouse=True)
def _fast_hashing() -> Iterator[None]:
    """Each site has an account's password, which is hashed slowly on purpose."""
    memory, passes = passwords.MEMORY_KIB, passwords.PASSES
    make_hashing_fast()
    yield
    make_hashing_slow_again(memory, passes)


@pytest.fixture
def site(one_database: Database[dict[str, Any]], tmp_path: Any) -> Site:
    return make_guarded_site(emptied(one_database), tmp_path)


def send(site: Site, who: str, method: str, path: str, body: dict[str, Any]) -> Any:
    headers = {"X-CSRF-Token": site.csrf(who)}
    return site.client(who).open(f"/api/v1{path}", method=method, json=body, headers=headers)


def act(site: Site, who: str, action: str, runs: list[Any], **how: Any) -> dict[str, Any]:
    answer = send(site, who, "POST", "/runs/actions", {"action": action, "runs": runs, **how})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json
    return found


def run_of(site: Site, run_id: int) -> dict[str, Any]:
    found: dict[str, Any] = site.get(f"/api/v1/runs/{run_id}").json
    return found


def test_an_edit_asks_for_the_role_and_is_noted(site: Site) -> None:
    path = f"/runs/{DIGITS_RUN}"
    body = {"name": "best", "tags": ["a"], "notes": "**good**"}
    assert [send(site, who, "PATCH", path, body).status_code for who in ("eva", "mallory")] == [403, 404]
    answer = send(site, "olga", "PATCH", path, body)
    assert (answer.status_code, answer.json["changed"], answer.json["run"]["name"]) == (
        200,
        ["name", "tags", "notes"],
        "best",
    )
    stored = run_of(site, DIGITS_RUN)
    assert (stored["name"], stored["tags"], stored["notes"]) == ("best", ["a"], "**good**")
    noted = site.database["audit"].find_one({"action": "run-changed"})
    assert noted is not None
    assert noted["actor"] == "olga"
    assert "**good**" not in noted["details"]
    without_sign = site.client("olga").patch(f"/api/v1{path}", json={"name": "forged"})
    assert without_sign.status_code == 403


def test_what_somebody_else_changed_meanwhile_is_not_replaced(site: Site) -> None:
    path = f"/runs/{DIGITS_RUN}"
    before = run_of(site, DIGITS_RUN)["notes"]
    assert send(site, "olga", "PATCH", path, {"notes": "olga's", "expected": {"notes": before}}).status_code == 200
    late = send(site, "admin", "PATCH", path, {"notes": "admin's", "expected": {"notes": before}})
    assert late.status_code == 412
    assert "olga" in late.json["detail"]
    assert run_of(site, DIGITS_RUN)["notes"] == "olga's"


def test_an_edit_that_means_nothing_is_refused(site: Site) -> None:
    bodies: list[dict[str, Any]] = [
        {"name": ""}, {"name": "a\nb"}, {"tags": "one"}, {"tags": ["a", 1]}, {"notes": None}, {"owner": "me"},
        {"expected": 1},
    ]  # fmt: skip
    for body in bodies:
        answer = send(site, "olga", "PATCH", f"/runs/{DIGITS_RUN}", body)
        assert (answer.status_code, answer.content_type) == (400, "application/problem+json"), body


def test_of_many_runs_each_has_its_outcome(site: Site) -> None:
    insert_run(site.database, 2, project="digits")
    insert_run(site.database, 3, project="digits", status="COMPLETED")
    asked = [2, DIGITS_RUN, SECRET_RUN, 999, 2]
    found = act(site, "olga", "archive", asked)
    assert [(each["run"], each["status"]) for each in found["outcomes"]] == [
        (2, 200),
        (DIGITS_RUN, 200),
        (SECRET_RUN, 404),
        (999, 404),
    ]
    assert (found["changed"], found["refused"]) == (2, 2)
    # What is hidden is refused as what is not there.
    hidden, missing = (each["detail"] for each in found["outcomes"][2:])
    assert hidden.replace(str(SECRET_RUN), "N") == missing.replace("999", "N")
    again = act(site, "olga", "archive", [2])
    assert (again["outcomes"][0]["status"], again["changed"]) == (200, 0)
    assert act(site, "olga", "unarchive", [2])["changed"] == 1
    assert act(site, "eva", "archive", [2])["outcomes"][0]["status"] == 403

    assert act(site, "olga", "add-tags", [2, 3], tags=["good", "seen"])["changed"] == 2
    assert act(site, "olga", "remove-tags", [3], tags=["good"])["changed"] == 1
    assert [run_of(site, run)["tags"] for run in (2, 3)] == [["good", "seen"], ["seen"]]
    # A run's project is its admins' and owner's affair, and so is deleting it.
    assert act(site, "olga", "move", [2], project="other")["outcomes"][0]["status"] == 403
    assert act(site, "olga", "trash", [3])["outcomes"][0]["status"] == 403
    assert act(site, "admin", "move", [2, 3], project="speech")["changed"] == 2
    assert [run_of(site, run)["project"] for run in (2, 3)] == ["speech", "speech"]
    assert act(site, "admin", "trash", [3])["changed"] == 1
    assert site.get("/api/v1/runs/3").status_code == 404
    assert act(site, "admin", "restore", [3])["changed"] == 1
    assert run_of(site, 3)["project"] == "speech"
    assert act(site, "admin", "stop", [3])["outcomes"][0]["status"] == 409


def test_moving_asks_for_a_role_where_the_runs_go(site: Site) -> None:
    insert_run(site.database, 2, project="digits")
    put_member(site.database, "digits", Member("person", "mallory", "admin"))
    assert act(site, "mallory", "move", [2], project="hidden")["outcomes"][0]["status"] == 403
    put_member(site.database, "other", Member("person", "mallory", "editor"))
    assert act(site, "mallory", "move", [2], project="other")["changed"] == 1


def test_an_action_that_there_is_not_is_refused(site: Site) -> None:
    bodies: list[dict[str, Any]] = [
        {"action": "burn", "runs": [1]},
        {"action": "archive"},
        {"action": "archive", "runs": list(range(201))},
        {"action": "archive", "runs": [1.5]},
        {"action": "archive", "runs": ["$where"]},
        {"action": "move", "runs": [1]},
        {"action": "add-tags", "runs": [1]},
        {"action": "stop", "runs": [1], "level": "softly"},
    ]
    for body in bodies:
        assert send(site, "admin", "POST", "/runs/actions", body).status_code == 400, body


def test_a_renamed_project_takes_links_tokens_and_layouts_along(site: Site) -> None:
    put_member(site.database, "digits", Member("person", "mallory", "admin"))
    made = send(site, "admin", "POST", f"/runs/{DIGITS_RUN}/shares", {"kind": "run", "days": 1})
    assert made.status_code == 201, made.text
    token = send(site, "olga", "POST", "/me/tokens", {"name": "ci", "projects": ["digits"]}).json["token"]
    assert send(site, "olga", "PUT", "/projects/digits/name", {"name": "numbers"}).status_code == 403
    answer = send(site, "mallory", "PUT", "/projects/digits/name", {"name": "numbers"})
    assert (answer.status_code, answer.json) == (200, {"name": "numbers", "run_count": 1})
    assert run_of(site, DIGITS_RUN)["project"] == "numbers"
    assert site.database["shares"].distinct("project") == ["numbers"]
    by_token = site.app.test_client().get(f"/api/v1/runs/{DIGITS_RUN}", headers={"Authorization": f"Bearer {token}"})
    assert by_token.status_code == 200
    # Roles went along, and the old address leads to the new one for those who may know it.
    assert site.get(f"/runs/{DIGITS_RUN}", "eva").status_code == 200
    moved = site.get("/p/digits?sort=name", "eva")
    assert (moved.status_code, moved.headers["Location"]) == (308, "/p/numbers?sort=name")
    assert site.get("/p/digits").status_code == 308
    assert send(site, "mallory", "PUT", "/projects/numbers/name", {"name": "hidden"}).status_code == 409
    # By the page, too; what it was called is no project any more.
    form = {"csrf_token": site.csrf("mallory"), "name": "hidden"}
    refused = site.client("mallory").post("/privacy/projects/numbers/name", data=form)
    assert (refused.status_code, "already" in refused.text) == (409, True)
    done = site.client("mallory").post("/privacy/projects/numbers/name", data={**form, "name": "figures"})
    assert (done.status_code, done.headers["Location"]) == (303, "/privacy/projects/figures")
    listed = site.get("/privacy/projects", "admin").text
    assert ("/privacy/projects/figures" in listed, "/privacy/projects/digits" in listed) == (True, False)


def test_how_far_a_purge_is_can_be_watched(site: Site) -> None:
    database = site.database
    trashed = send(site, "admin", "DELETE", f"/runs/{DIGITS_RUN}", {})
    assert trashed.status_code == 200
    site.get("/privacy/trash")
    open_report(database, {"_id": "r", "of": "u", "run_id": 5, "project": "digits", "kind": "runs", "before": {}}, [])
    assert "data-live-every" in site.get("/privacy/trash").text
    noting(database, "purges", ["r"], "files")(3, 10)
    [report] = site.get("/api/v1/purges").json["reports"]
    assert report["progress"] == {"step": "files", "done": 3, "total": 10}
    assert "3 of 10 files" in " ".join(site.get("/privacy/trash").text.split())
    close_report(database, "r", {})
    assert "data-live-every" not in site.get("/privacy/trash").text
    assert site.get("/api/v1/purges").json["reports"][0]["progress"] is None
