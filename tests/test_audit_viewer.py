"""What the viewer writes into the audit log, and how its auditors read it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from artifact_keeping import keep_artifact
from cloister.observer.audit import AuditEntry, record_entry, sightings
from cloister.observer.audit.evidence_folder import EvidenceFolder
from cloister.observer.audit.exporting import ExportReader
from cloister.observer.audit.searching import AuditQuery, iter_entries
from cloister.observer.audit.sightings import keep_evidence_in
from cloister.observer.audit.verifying import verify, verify_documents
from cloister.observer.runs import RunStore
from cloister.viewer import audited_looks
from cloister.viewer.access_rules import RULES
from cloister.viewer.accounts.csrf import make_csrf_token
from cloister.viewer.accounts.sessions import open_session
from cloister.viewer.accounts.users import add_user
from cloister.viewer.app import create_app
from cloister.viewer.run_artifacts_page import artifact_key
from flask import Flask
from flask.testing import FlaskClient
from pymongo.database import Database
from running_viewer import insert_run
from signing_in import Served, emptied
from stored_metrics import store_metric
from test_serve_command import serving

Site = Database[dict[str, Any]]
STARTED = datetime(2026, 3, 1, tzinfo=timezone.utc)


@pytest.fixture
def database(one_database: Site) -> Site:
    return emptied(one_database)


@pytest.fixture
def database_uri(mongod: str, database: Site) -> str:
    return mongod.replace("/?", f"/{database.name}?")


@pytest.fixture
def site(database: Site, tmp_path: Path) -> Iterator[Site]:
    """Run 1 is ana's and private, shared with bob; run 2 is seen by all of the project, of which bob is a viewer."""
    audited_looks._recent.clear()
    for name, roles in (("ana", []), ("bob", []), ("root", ["admin"]), ("ada", ["auditor"])):
        add_user(database, name, site=roles)
    member = {"kind": "person", "name": "bob", "role": "viewer"}
    database["projects"].insert_one({"_id": "digits", "created_at": STARTED, "members": [member]})
    for run_id in (1, 2):
        insert_run(database, run_id)
        store_metric(database, run_id, "loss", [0.5, 0.25])
        keep_artifact(database, tmp_path, "model.txt", b"weights", run_id=run_id)
    own = {"cloister.owner": "ana", "cloister.visibility": "private", "cloister.shared_with": {"people": ["bob"]}}
    database["runs"].update_one({"_id": 1}, {"$set": own})
    database["runs"].update_one({"_id": 2}, {"$set": {"cloister.owner": "ana"}})
    keep_evidence_in(tmp_path / "audit")
    yield database
    keep_evidence_in(None)
    sightings._told.clear()


@pytest.fixture
def app(served: Served, site: Site, store: RunStore, home: Path) -> Flask:
    return served.of(store)


def signed_in(app: Flask, site: Site, name: str) -> FlaskClient:
    client = app.test_client()
    session = open_session(site, name)
    client.set_cookie("cloister_session", session)
    client.environ_base["HTTP_X_CSRF_TOKEN"] = make_csrf_token(session)
    return client


def entries(site: Site, **query: str) -> list[AuditEntry]:
    return list(iter_entries(site, AuditQuery(**query)))  # type: ignore[arg-type]


LOOKS = (
    "/runs/1",
    "/runs/1/console",
    "/runs/1/config",
    "/runs/1/header",
    "/api/v1/runs/1",
    "/api/v1/runs/1/metrics",
    "/api/v1/curves?metric=loss&runs=2,1",
    "/api/v1/sparks?metric=loss&runs=1",
    "/api/v1/chart-sections?runs=1",
)


def test_each_way_to_look_at_anothers_private_run_is_written_down(app: Flask, site: Site) -> None:
    ana = signed_in(app, site, "ana")
    for path in LOOKS:
        ana.get(path)
    assert entries(site) == []  # looks at one's own
    for name in ("root", "bob"):
        client = signed_in(app, site, name)
        for path in LOOKS:
            audited_looks._recent.clear()
            assert client.get(path).status_code == 200
            last = entries(site, actor=name)[-1]
            assert (last.action, last.target, last.project) == ("run-viewed", "run 1", "digits"), path
            assert last.address == "127.0.0.1"
            assert last.details["owner"] == "ana"
    assert len(entries(site)) == 2 * len(LOOKS)


def test_a_page_that_refreshes_itself_is_one_look_and_a_later_one_another(
    app: Flask, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = signed_in(app, site, "root")
    for path in LOOKS:
        root.get(path)
    assert len(entries(site)) == 1
    monkeypatch.setattr(audited_looks, "SAME_LOOK_SECONDS", 0)
    root.get("/runs/1")
    assert len(entries(site)) == 2


def test_runs_that_others_may_see_are_looked_at_without_a_word(app: Flask, site: Site) -> None:
    signed_in(app, site, "bob").get("/runs/2")
    signed_in(app, site, "ada").get("/runs/1")  # not hers to see: not a look
    assert entries(site) == []


def test_every_download_and_export_is_written_down_whoever_owns_the_run(app: Flask, site: Site) -> None:
    artifact = RunStore(site).load_run(2).artifacts[0]
    ana = signed_in(app, site, "ana")
    asked = {
        "artifact": f"/runs/2/artifacts/{artifact_key(artifact)}/download",
        "console": "/runs/2/console/download",
        "points": "/api/v1/points.csv?metric=loss&runs=2",
    }
    for what, path in asked.items():
        assert ana.get(path, headers={"Range": "bytes=1-"}).status_code in (200, 206)
        noted = entries(site)[-1]
        assert noted.action == ("exported" if what == "points" else "artifact-downloaded")
        assert (noted.actor, noted.target, noted.details["what"]) == ("ana", "run 2", what)
    assert entries(site)[0].details["file"] == "model.txt"
    assert ana.get(f"/api/v1/runs/2/artifacts/{artifact.file_id}").data == b"weights"
    assert len(entries(site)) == 3  # the same file, asked for again within minutes


def test_no_view_that_lets_bytes_out_is_missing_from_the_table() -> None:
    letting_out = {name for name in RULES if "download" in name or "send_points" in name}
    own = {"share_page.download_shared"}  # notes by itself: no run is in its address
    assert letting_out - own <= audited_looks.DOWNLOADS.keys() | audited_looks.EXPORTS.keys()


def test_without_a_log_there_is_no_answer(app: Flask, site: Site) -> None:
    record_entry(site, actor="root", action="login")
    site.command("collMod", "audit", validator={"never": True})
    answer = signed_in(app, site, "root").get("/runs/1")
    assert answer.status_code >= 500
    assert "digits-1" not in answer.get_data(as_text=True)
    artifact = RunStore(site).load_run(2).artifacts[0]
    assert b"weights" not in signed_in(app, site, "ana").get(f"/api/v1/runs/2/artifacts/{artifact.file_id}").data
    site.drop_collection("audit")  # with its validator


def test_without_accounts_looks_are_nobodys(database: Site, store: RunStore) -> None:
    insert_run(database, 1)
    database["runs"].update_one({"_id": 1}, {"$set": {"cloister.visibility": "private", "cloister.owner": "ana"}})
    assert create_app(store).test_client().get("/runs/1").status_code == 200
    assert database["audit"].count_documents({}) == 0


def test_an_auditor_reads_the_log_and_nothing_else(app: Flask, site: Site) -> None:
    record_entry(site, actor="ana", action="exported", target="run 1", details={"metric": "<script>alert(1)</script>"})
    ada, bob = signed_in(app, site, "ada"), signed_in(app, site, "bob")
    page = ada.get("/privacy/audit").get_data(as_text=True)
    assert "run 1" in page
    assert "&lt;script&gt;alert(1)" in page
    assert "<script>alert" not in page
    assert ada.get("/api/v1/audit").get_json()["total"] == 1
    for path in (*LOOKS, "/p/digits", "/api/v1/projects/digits/runs", "/runs/2", "/privacy/people"):
        answer = ada.get(path)
        assert answer.status_code == 404 or b'"missing": [' in answer.data or b"digits-" not in answer.data, path
    for path in ("/privacy/audit", "/privacy/audit/state", "/privacy/audit/export.csv", "/api/v1/audit"):
        assert bob.get(path).status_code == 404
    assert bob.post("/privacy/audit/verify").status_code == 404
    assert app.test_client().get("/privacy/audit").status_code == 303


def test_the_page_filters_pages_and_exports(app: Flask, site: Site) -> None:
    for number in range(54):
        record_entry(site, actor="ana" if number % 2 else "bob", action="login", target=f"entry-{number}-here")
    record_entry(site, actor="", action="login-failed", target="user eve")
    ada = signed_in(app, site, "ada")

    def page(query: str) -> str:
        return ada.get(f"/privacy/audit{query}").get_data(as_text=True)

    assert page("").count('id="entry-') == 50
    assert page("?before=12").count('id="entry-') == 11
    assert page("?actor=ana").count('id="entry-') == 27
    assert page("?refused=1").count('id="entry-') == 1
    assert page("?topic=keys").count('id="entry-') == 0
    assert page("?text=ENTRY-7-&period=today").count('id="entry-') == 1
    assert page("?day=2020-01-01").count('id="entry-') == 0
    for wrong in ("?topic=$ne", "?period=ever", "?day=soon", "?text=" + "x" * 201):
        assert ada.get(f"/privacy/audit{wrong}").status_code == 400
    table = ada.get("/privacy/audit/export.csv?actor=ana").get_data(as_text=True)
    assert table.count("\r\n") == 28
    whole = ada.get("/privacy/audit/export.jsonl").data.splitlines(keepends=True)
    reader = ExportReader(whole)
    assert verify_documents(reader).problems == []
    assert reader.public
    noted = [entry.details for entry in entries(site, action="audit-exported")]
    assert noted == [{"filter": {"actor": "ana"}}, {"filter": {}}]
    assert [entry.actor for entry in entries(site, action="audit-exported")] == ["ada", "ada"]


def test_the_page_verifies_the_chain_and_names_what_is_broken(app: Flask, site: Site) -> None:
    for number in range(5):
        record_entry(site, actor="ana", action="login", target=f"number {number}")
    ada = signed_in(app, site, "ada")

    def verified() -> str:
        assert ada.post("/privacy/audit/verify").status_code == 303
        for _ in range(200):
            state = ada.get("/privacy/audit/state").get_data(as_text=True)
            if "hx-get" not in state:
                return state
            time.sleep(0.02)
        raise AssertionError("the verification does not end")

    assert "Not verified since" in ada.get("/privacy/audit").get_data(as_text=True)
    assert "Chain verified" in verified()
    site["audit"].update_one({"_id": 3}, {"$set": {"action": "logout"}})
    broken = verified()
    assert "The chain is broken" in broken
    assert "Entry 3 was changed" in broken
    assert not verify(site).is_whole
    assert ada.get("/privacy/audit", headers={"X-CSRF-Token": ""}).status_code == 200
    unsigned = app.test_client()
    unsigned.set_cookie("cloister_session", open_session(site, "ada"))
    assert unsigned.post("/privacy/audit/verify").status_code == 403  # a page of another site could send that


def test_a_viewer_process_signs_the_log_with_a_key_of_its_own(database: Site, database_uri: str, home: Path) -> None:
    record_entry(database, actor="ana", action="login")
    with serving("--port", "0", "--uri", database_uri):
        for _ in range(200):
            if database["audit_seals"].count_documents({}):
                break
            time.sleep(0.05)
    report = verify(database, folder=EvidenceFolder(home / "audit"))
    assert (report.problems, report.signed_until) == ([], 1)


def test_who_looks_as_somebody_else_is_named_and_so_is_a_token(app: Flask, site: Site) -> None:
    root = signed_in(app, site, "root")
    assert root.post("/view-as", data={"whom": "person:bob"}).status_code == 303
    assert root.get("/runs/1").status_code == 200
    noted = entries(site, action="run-viewed")
    assert [(entry.actor, entry.details.get("viewing_as")) for entry in noted] == [("root", "bob")]
