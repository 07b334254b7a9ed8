"""A site in which every text that anybody could write is hostile: runs, people, groups, tokens, the audit log."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any
from urllib.parse import quote

from cloister.observer.audit import record_entry
from cloister.observer.retention.trash import move_to_trash
from cloister.observer.runs import RunStore
from cloister.viewer.accounts.sessions import open_session
from cloister.viewer.accounts.tokens import make_token
from cloister.viewer.accounts.users import add_user
from console_writing import write_pieces
from flask import Flask
from pymongo.database import Database
from recorded_script import RecordedScript
from stored_metrics import store_metric
from werkzeug.routing import Rule
from xss_payloads import PAYLOADS

Documents = Database[dict[str, Any]]

PERSON, REPORT, VIEW, LAYOUT = "eve", "hostile", "view", "layout"
# What is looked up, compared or parsed: another text there is another record, or none.
KEPT = frozenset({
    "_id", "uid", "run_id", "project", "status", "stream", "visibility", "owner", "source", "user", "kind", "type",
    "sha256", "md5", "file_id", "diff_file", "schema", "encoder", "journal", "losses",
})  # fmt: skip
SCRIPT = """
    import sys
    from cloister import experiment

    @experiment(project="hostile", hardware=False, tags=["tag"], notes="notes")
    def train(run, lr=0.1, model="small", nested={"a": ["b"]}):
        for step in range(3):
            run.log({"loss": 1 / (step + 1), "group/accuracy": step}, step=step)
        run.log_artifact(__file__, name="model.txt")
        run.info["about"] = {"data": ["set"]}
        print("out", file=sys.stdout)
        print("err", file=sys.stderr)
        raise ValueError("the end")

    train()
"""


def text_of(payloads: Sequence[str]) -> str:
    return "\n".join(payloads)


FORWARD, BACKWARD = text_of(PAYLOADS), text_of(PAYLOADS[::-1])
METRICS = [text_of(PAYLOADS[start : start + 20]) for start in range(0, len(PAYLOADS), 20)]  # 1,000 characters at most
# For what stands in an address, and has a limit: one for each way out of an attribute, a script and a path.
PROJECT = "\"'><img src=x onerror=alert(1)>{{7*7}}${alert(1)} <!--"


def make_hostile_site(script: RecordedScript, database: Documents) -> None:
    """Fill the database: run 1 has all payloads in every text, run 2 in the other order, for one may hide another."""
    _record_run(script)
    found = database["runs"].find_one()
    assert found is not None
    database["runs"].delete_many({})
    for run_id, text in ((1, FORWARD), (2, BACKWARD)):
        document = {**hostile(found, text), "_id": run_id}
        document["cloister"].update(uid=f"uid-{run_id}", project=PROJECT, owner=PERSON)
        document["cloister"]["argv"] = [text, text]
        document["config"] = {text.replace(".", " ").replace("$", " ")[:500]: text, "lr": text}
        database["runs"].insert_one(document)
        for name in (*METRICS, "loss"):
            store_metric(database, run_id, name, [1.0, 0.5, 0.25])
        write_pieces(database, run_id, [("stdout", text + "\n"), ("stderr", text + "\n")])
    _fill_the_trash(database)
    database["projects"].delete_many({})
    database["projects"].insert_one({"_id": PROJECT, "visibility": "site", "description": FORWARD})
    for name in ("fs.files",):
        for file in database[name].find():
            database[name].update_one({"_id": file["_id"]}, {"$set": {"filename": FORWARD, "contentType": "text/html"}})
    _make_hostile_people(database)
    _make_hostile_report(database)
    _make_hostile_arrangements(database)


def _make_hostile_arrangements(database: Documents) -> None:
    """What people have kept of a table and of charts: shared with everybody, called as hostile people call things."""
    now = datetime.now(timezone.utc)
    whose = {"project": PROJECT, "place": "", "owner": FORWARD, "name": BACKWARD, "shared": True}
    address = f"q={quote(PROJECT)}&columns={quote(BACKWARD)}"
    database["views"].replace_one(
        {"_id": VIEW}, {"_id": VIEW, **whose, "address": address, "made_at": now}, upsert=True
    )
    charts = json.dumps({"pinned": [*METRICS, FORWARD], "hidden": [BACKWARD], "expressions": [FORWARD]})
    layout = {"_id": LAYOUT, **whose, "text": charts, "changed_at": now}
    database["layouts"].replace_one({"_id": LAYOUT}, layout, upsert=True)


def _make_hostile_report(database: Documents) -> None:
    """Its text, its title, what its blocks are called and ask for."""
    blocks = [f"```{kind}\ntitle: {PROJECT}\nmetric: loss\n```" for kind in ("chart", "table")]
    blocks += [
        f"```runs\nname: {PROJECT}\n```",
        "```table\ncolumns: config.lr, notes, tags\n```",
        f"```table\n{PROJECT}\n```",
    ]
    text = "\n\n".join([FORWARD, *blocks, BACKWARD])
    saved = {
        "title": FORWARD,
        "text": text,
        "version": 1,
        "changed_at": datetime.now(timezone.utc),
        "changed_by": FORWARD,
    }
    report = {"_id": REPORT, "project": PROJECT, "owner": BACKWARD, **saved}
    database["reports"].replace_one({"_id": REPORT}, report, upsert=True)
    database["report_versions"].replace_one({"_id": f"{REPORT}:1"}, {"report": REPORT, **saved}, upsert=True)


def _fill_the_trash(database: Documents) -> None:
    document = database["runs"].find_one({"_id": 2})
    assert document is not None
    document["cloister"]["uid"] = "uid-3"
    database["runs"].insert_one({**document, "_id": 3})
    move_to_trash(database, 3, by=FORWARD, trash_days=7, reason=BACKWARD)


def _record_run(script: RecordedScript) -> None:
    for command in (["init", "-q"], ["add", "."], ["-c", "user.name=x", "-c", "user.email=x@x", "commit", "-qm", "m"]):
        script.write(SCRIPT)
        subprocess.run(["git", *command], cwd=script.folder, check=True, capture_output=True)
    done = script.run(SCRIPT.replace("0.1", "0.2"))
    assert "the end" in done.stderr
    script.wait_until_shipped()


def _make_hostile_people(database: Documents) -> None:
    add_user(database, PERSON, full_name=FORWARD[:200], email=BACKWARD[:200], site=["admin", "auditor"])
    database["groups"].insert_one({"_id": PROJECT, "name": PROJECT, "people": [PERSON, FORWARD]})
    for text in (FORWARD, BACKWARD):
        make_token(database, user=PERSON, name=text[:60].replace("\n", " "), scopes=["read"], projects=None, days=1)
        database["users"].insert_one({"_id": text, "full_name": text, "email": text, "source": "local", "site": []})
        open_session(database, PERSON, address=text, agent=text)
        details = {text[:100]: text, "list": [text]}
        record_entry(database, actor=text, action="login", target=text, project=text, address=text, details=details)


def hostile(value: Any, text: str, key: str = "") -> Any:
    """The same document with `text` in place of every text that is not looked up by anybody."""
    if isinstance(value, Mapping):
        return {name: hostile(each, text, name) for name, each in value.items()}
    if isinstance(value, list):
        return [hostile(each, text, key) for each in value]
    return text if isinstance(value, str) and key not in KEPT else value


@dataclass(frozen=True)
class Address:
    endpoint: str
    path: str


def addresses(app: Flask, store: RunStore, run_ids: Sequence[int] = (1, 2)) -> Iterator[Address]:
    """Every address of the viewer that GET answers and ends, with what the hostile site has for its parts."""
    seen = set()
    for rule in app.url_map.iter_rules():
        for values in _values(rule, store, run_ids):
            path = re.sub(r"<run:(?!run_id>)\w+>", "3", rule.rule)  # the one in the trash
            for name, value in values.items():
                path = _with_value(path, name, value)
            assert "<" not in path, f"{rule.rule} has a part that hostile_site.py knows no value for"
            if "GET" in (rule.methods or ()) and path not in seen and rule.endpoint != "api.stream_changes":
                seen.add(path)
                yield Address(rule.endpoint, path + _QUERIES.get(rule.endpoint, ""))


_HERE = quote(PROJECT, safe="")
_METRIC = quote(METRICS[0], safe="")
_QUERIES = {
    "compare.show_choices": f"?q={quote(PROJECT)}",
    "compare.show_comparison": "?runs=1,2&keys=all",
    "compare.show_part": "?runs=1,2&keys=all",
    "charts.send_line_chart": f"?run=1&metric={_METRIC}",
    "charts.send_curves": f"?run=1&metric={_METRIC}",
    "charts.send_points": f"?run=1&metric={_METRIC}",
    "charts.send_sections": "?run=1",
    "charts.send_sparks": f"?run=1&metric={_METRIC}",
    "api.list_points": f"?name={_METRIC}",
    "run_source_page.download_source": "?file=train.py",
    "runs.show_runs": f"?q={quote(PROJECT)}&layout={LAYOUT}",
    "login.show_login": f"?next={quote(PROJECT)}",
    "audit.show_log": f"?actor={quote(PROJECT)}",
}


def _values(rule: Rule, store: RunStore, run_ids: Sequence[int]) -> Iterator[dict[str, str]]:
    fixed = {
        "project": _HERE,
        "part": "top",
        "shown": "source",
        "kind": "csv",
        "version": "x",
        "filename": "js/theme.js",
        "name": _HERE,
        "key": "x",
        "file_id": "x",
        "link_id": "x",
        "token": "x",
        "secret": "x",
        "person": PERSON,
        "report_id": REPORT,
        "layout_id": LAYOUT,
        "view_id": VIEW,
        "number": "1",
    }
    wanted = {name: fixed.get(name) for name in rule.arguments if name != "run_id"}
    known = {name: value for name, value in wanted.items() if value is not None}
    if "run_id" not in rule.arguments:
        yield known
        return
    for run_id in run_ids:
        entries = store.load_run(run_id).artifacts
        file_id = str(entries[0].file_id) if entries else "x"
        yield {**known, "run_id": str(run_id), **{name: file_id for name in ("key", "file_id") if name in known}}


def _with_value(path: str, name: str, value: str) -> str:
    return re.sub(rf"<(?:[^<>:]+:)?{name}>", lambda _: value, path)
