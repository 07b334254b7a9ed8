"""Reports: what is kept of them, what their blocks show to whom, and what leaves as a file."""

from __future__ import annotations

import base64
import hashlib
import re
from typing import Any

import pytest
from cloister.observer.access.principal import LOCAL, NOBODY, Principal
from cloister.observer.audit.searching import AuditQuery, iter_entries
from cloister.observer.reports import (
    TEXT_LIMIT,
    BadReport,
    MayNotChangeReport,
    ReportChanged,
    ReportNotFound,
    change_report,
    delete_report,
    find_report,
    list_reports,
    list_versions,
    make_report,
)
from cloister.observer.runs import RunStore
from cloister.viewer import audited_looks
from cloister.viewer.accounts.sessions import open_session
from cloister.viewer.accounts.users import add_user
from cloister.viewer.report_blocks import MOST_BLOCKS, parse_report, split_keys
from explained_runs import store_sweep
from pymongo.database import Database
from signing_in import Served, Visitor, emptied
from stored_metrics import store_metric

Site = Database[dict[str, Any]]
TEXT = """Before.

```runs
name: best
query: config.optimizer = adam
sort: -metrics.val/acc
```

```table
runs: best
columns: config.lr, best(metrics.val/acc)
limit: 5
```

```chart
runs: 3, 6
metric: loss
smoothing: 0.6
```

```explain
view: parallel
```

[run 3](/runs/3) [paper](https://a.example/) <script>alert(1)</script>
"""


@pytest.fixture
def database(one_database: Site) -> Site:
    return emptied(one_database)


def person(name: str, **roles: Any) -> Principal:
    return Principal(name, "person", roles=roles)


# ---- what is kept


def test_a_report_keeps_all_that_it_ever_said(database: Site) -> None:
    first = make_report(database, LOCAL, project="digits", title="  What we\nlearned ", text="one\r\ntwo")
    assert (first.title, first.text, first.version) == ("What we learned", "one\ntwo", 1)
    second = change_report(database, LOCAL, first.id, title="Learned", text="three", seen=1)
    assert change_report(database, LOCAL, first.id, title="Learned", text="three", seen=2).version == 2  # nothing new
    assert find_report(database, LOCAL, first.id) == second
    assert find_report(database, LOCAL, first.id, 1).text == "one\ntwo"
    assert [version.version for version in list_versions(database, second)] == [2, 1]
    with pytest.raises(ReportChanged) as refused:
        change_report(database, LOCAL, first.id, title="Mine", text="four", seen=1)
    assert refused.value.report == second
    assert find_report(database, LOCAL, first.id).text == "three"
    database["report_versions"].delete_one({"version": 2})  # a save that was cut off between the two
    change_report(database, LOCAL, first.id, title="Learned", text="four", seen=2)
    assert find_report(database, LOCAL, first.id, 2).text == "three"
    delete_report(database, LOCAL, first.id)
    assert list_reports(database, LOCAL) == ()
    assert database["report_versions"].count_documents({}) == 0


@pytest.mark.parametrize(("title", "text"), [(" \x00", "x"), ("t" * 201, "x"), ("t", "x" * (TEXT_LIMIT + 1))])
def test_what_cannot_be_kept_is_refused(database: Site, title: str, text: str) -> None:
    with pytest.raises(BadReport):
        make_report(database, LOCAL, project="digits", title=title, text=text)


def test_roles_decide_who_reads_writes_and_deletes(database: Site) -> None:
    ana, eve, boss = person("ana", digits="editor"), person("eve", digits="editor"), person("boss", digits="admin")
    report = make_report(database, ana, project="digits", title="t", text="x")
    viewer, other = person("vic", digits="viewer"), person("oz", letters="admin")
    assert find_report(database, viewer, report.id) == report
    for stranger in (other, NOBODY):
        assert list_reports(database, stranger) == ()
        with pytest.raises(ReportNotFound):
            find_report(database, stranger, report.id)
    with pytest.raises(MayNotChangeReport):
        change_report(database, viewer, report.id, title="t", text="y", seen=1)
    with pytest.raises(MayNotChangeReport):
        make_report(database, viewer, project="digits", title="t", text="x")
    assert change_report(database, eve, report.id, title="t", text="y", seen=1).changed_by == "eve"
    with pytest.raises(MayNotChangeReport):
        delete_report(database, eve, report.id)
    assert delete_report(database, boss, report.id).owner == "ana"


# ---- blocks


def test_blocks_are_parts_of_their_own_between_the_text() -> None:
    kinds = [part.block.kind if part.block else "text" for part in parse_report(TEXT, "digits")]
    assert kinds == ["text", "runs", "table", "chart", "explain", "text"]
    table, chart = (part.block for part in parse_report(TEXT, "digits")[2:4])
    assert table is not None
    assert chart is not None
    assert (table.runs.where, table.runs.sort, table.runs.limit) == ("config.optimizer = adam", "-metrics.val/acc", 5)
    assert chart.runs.ids == (3, 6)


def test_a_block_that_is_wrong_says_in_which_line_and_the_others_stand() -> None:
    for block, sentence in [
        ("table\ncolums: a", "Line 4: 'colums: a' is not understood. A table block has"),
        ("table\nlimit: 0", "limit: 0 is not a number from 1 to 200"),
        ("table\nlimit: 5\nlimit: 6", "Line 5: 'limit' is said twice"),
        ("table\nruns: nobody", "No run set above is called 'nobody'"),
        ("chart\nruns: 3", "A chart needs the line 'metric: ...'"),
        ("chart\nmetric: loss\nruns: 3, nobody", "Line 3"),
    ]:
        parts = parse_report(f"a\n\n```{block}\n```\n\n```runs\n```", "digits")
        assert sentence in parts[1].problem, block
        assert parts[2].block is not None
    many = parse_report("```runs\n```\n\n" * (MOST_BLOCKS + 1), "digits")
    assert [bool(part.problem) for part in many] == [False] * MOST_BLOCKS + [True]
    quoted = parse_report("> ```runs\n> ```\n\n- ```table\n  ```\n", "digits")
    assert all(part.block is None for part in quoted)


def test_keys_are_parted_by_commas_outside_of_quotes_and_brackets() -> None:
    assert split_keys('name, metrics."a, b", best(metrics.x) ,') == ("name", 'metrics."a, b"', "best(metrics.x)")


# ---- pages


@pytest.fixture
def site(database: Site, served: Served) -> Site:
    """Runs 1 to 30 are of the project; 3 is ana's and private, 6 has a curve that all see."""
    audited_looks._recent.clear()
    for name, roles in (("root", ["admin"]), ("ana", []), ("vic", [])):
        add_user(database, name, site=roles)
    members = [{"kind": "person", "name": name, "role": role} for name, role in (("ana", "editor"), ("vic", "viewer"))]
    database["projects"].insert_one({"_id": "digits", "members": members})
    store_sweep(database, range(1, 31), owner="ana")
    database["runs"].update_one({"_id": 3}, {"$set": {"cloister.visibility": "private"}})
    for run_id in (3, 6):
        store_metric(database, run_id, "loss", [1.0, 0.5, 0.25, float("nan"), 0.2])
    served.of(RunStore(database))
    return database


def visitor(site: Site, served: Served, name: str) -> Visitor:
    found = Visitor(served.app)
    found.client.set_cookie("cloister_session", open_session(site, name), domain="localhost")
    return found


def write(ana: Visitor, text: str = TEXT) -> str:
    answer = ana.post("/p/digits/reports/new", {"title": "Sweep", "text": text}, page="/p/digits/reports/new")
    assert answer.status_code == 303, answer.text
    return str(answer.headers["Location"])


def test_each_reader_of_a_report_sees_the_runs_that_they_may_see(site: Site, served: Served) -> None:
    ana, vic = visitor(site, served, "ana"), visitor(site, served, "vic")
    address = write(ana)
    page = vic.get(address).text
    assert "Before." in page
    assert "<script>alert" not in page
    assert "/edit" not in page.replace("/credit", "")
    readers = (("ana", ana), ("vic", vic))
    blocks = {name: [who.get(f"{address}/blocks/{place}").text for place in range(4)] for name, who in readers}
    assert "cnn-3<" in blocks["ana"][0]
    assert "cnn-3<" not in blocks["vic"][0]
    assert ("10 runs" in blocks["ana"][0], "9 runs" in blocks["vic"][0]) == (True, True)
    assert "loss, 2 runs, smoothed by 0.6." in blocks["ana"][2]
    assert "loss, 1 run, smoothed" in blocks["vic"][2]
    assert "30 runs, a line each" in blocks["ana"][3]
    assert "29 runs, a line each" in blocks["vic"][3]
    assert vic.get(f"{address}/blocks/4").status_code == vic.get(f"{address}/blocks/x").status_code == 404


def test_an_export_holds_what_its_exporter_sees_and_is_in_the_audit_log(site: Site, served: Served) -> None:
    ana, vic = visitor(site, served, "ana"), visitor(site, served, "vic")
    address = write(ana)
    answer = vic.get(f"{address}/export.html")
    file = answer.text
    assert answer.headers["Content-Disposition"].startswith('attachment; filename="Sweep.html"')
    assert "cnn-6" in file
    assert "cnn-3<" not in file
    assert '"cnn-3"' not in file
    [entry] = list(iter_entries(site, AuditQuery(topic="files")))
    assert (entry.actor, entry.action, entry.target) == ("vic", "exported", "report Sweep")
    assert " 6," in f" {entry.details['runs']},"
    assert " 3," not in f" {entry.details['runs']},"
    assert "cnn-3<" in ana.get(f"{address}/export.html").text


def test_an_exported_file_asks_nobody_for_anything(site: Site, served: Served) -> None:
    ana = visitor(site, served, "ana")
    file = ana.get(f"{write(ana)}/export.html").text
    scripts = re.findall(r"<script>(.*?)</script>", file, re.DOTALL)
    assert len(scripts) == 2
    [policy] = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', file)
    for script in scripts:
        assert base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() in policy
    assert "default-src 'none'" in policy.replace("&#39;", "'")
    page = file
    for script in scripts:
        page = page.replace(script, "")
    assert re.findall(r' (?:src|href|action)="(?!https://a\.example/)[^"]*"', page) == []
    assert "http://" not in re.sub(r"<style>.*?</style>", "", page, flags=re.DOTALL)
    bare = ana.get(f"{write(ana, 'Nothing but text.')}/export.html").text
    assert "<script" not in bare
    assert len(bare) < 100_000


def test_a_report_is_written_changed_brought_back_and_deleted_by_those_who_may(site: Site, served: Served) -> None:
    ana, vic, root = (visitor(site, served, name) for name in ("ana", "vic", "root"))
    address = write(ana)
    edit = {"title": "Sweep 2", "text": "new", "seen": "1"}
    assert ana.post(f"{address}/edit", edit, page=address).status_code == 303
    conflict = ana.post(f"{address}/edit", {**edit, "text": "mine"}, page=address)
    assert conflict.status_code == 409
    assert "ana saved version 2" in conflict.text
    assert "mine</textarea>" in conflict.text
    assert ana.post(f"{address}/edit", {**edit, "title": " ", "seen": "2"}, page=address).status_code == 400
    assert "Before." in ana.get(f"{address}?version=1").text
    assert ana.post(f"{address}/restore", {"version": "1"}, page=address).status_code == 303
    assert "Version 3" in ana.get(address).text
    assert "Before." in ana.get(address).text
    assert vic.post(f"{address}/edit", {**edit, "seen": "3"}, page=address).status_code == 403
    assert ana.post_bare(f"{address}/delete").status_code == 403  # a form of another site
    assert vic.get("/p/letters/reports").status_code == vic.get(address.replace("digits", "letters")).status_code == 404
    assert "Sweep" in vic.get("/reports").text
    assert root.post(f"{address}/delete", page=address).status_code == 303
    assert ana.get(address).status_code == 404
    actions = [entry.action for entry in iter_entries(site, AuditQuery(topic="runs"))]
    assert sorted(actions) == ["report-changed"] * 3 + ["report-deleted"]


def test_a_preview_shows_what_is_written_and_keeps_nothing(site: Site, served: Served) -> None:
    ana = visitor(site, served, "ana")
    shown = ana.post("/p/digits/reports/preview", {"text": TEXT + "\n```table\nquery: lr >\n```"}, page="/reports").text
    assert "cnn-3" in shown
    assert "report-problem" in shown
    assert site["reports"].count_documents({}) == 0
