"""Tables of runs as CSV, JSON, Parquet and LaTeX: what a spreadsheet, a script or a paper gets."""

from __future__ import annotations

import csv
import io
import json
import sys
from typing import Any

import pytest
from access_world import signed_in
from cloister.observer.audit.searching import AuditQuery, list_entries
from cloister.observer.runs import RunStore
from cloister.viewer import run_exports, table_formats
from cloister.viewer.accounts.users import add_user
from cloister.viewer.app import create_app
from cloister.viewer.table_formats import escape_latex
from flask.testing import FlaskClient
from pymongo.database import Database
from seeded_runs import add_run, text_of
from signing_in import emptied

Documents = Database[dict[str, Any]]
COLUMNS = "metrics.val/acc,curve(metrics.val/acc),config.lr,config.note,tags,duration"


@pytest.fixture
def database(one_database: Documents) -> Documents:
    database = emptied(one_database)
    add_run(database, 1, name="=cmd|' /C calc'!A0", metrics={"val/acc": -0.5}, tags=["a", "b"], config={"lr": 3e-5})
    add_run(database, 2, name="plain_50%", metrics={"val/acc": 0.75}, config={"lr": 0.1, "note": "+1\\x & y"})
    add_run(database, 3, name="bare", config={"note": [1, {"x": None}]})
    return database


@pytest.fixture
def client(database: Documents) -> FlaskClient:
    return create_app(RunStore(database)).test_client()


def exported(client: FlaskClient, ending: str, query: str = "") -> bytes:
    answer = client.get(f"/export/runs.{ending}?project=digits&columns={COLUMNS}&sort=id&{query}")
    assert answer.status_code == 200, answer.text
    assert answer.headers["Content-Disposition"] == f"attachment; filename=digits-runs.{ending}"
    return answer.data


def test_csv_has_all_digits_and_no_formulas(client: FlaskClient) -> None:
    header, *rows = csv.reader(io.StringIO(exported(client, "csv").decode()))
    assert header == ["id", "name", "status", "metrics.val/acc", "config.lr", "config.note", "tags", "duration"]
    assert rows == [
        ["1", "'=cmd|' /C calc'!A0", "completed", "-0.5", "3e-05", "", "a, b", "41.0"],
        ["2", "plain_50%", "completed", "0.75", "0.1", "'+1\\x & y", "", "41.0"],
        ["3", "bare", "completed", "", "", '[1, {"x": null}]', "", "41.0"],
    ]


def test_json_is_one_list_of_what_the_runs_have(client: FlaskClient) -> None:
    first, second, third = json.loads(exported(client, "json"))
    assert first["name"] == "=cmd|' /C calc'!A0"
    assert (first["tags"], second["metrics.val/acc"], third["config.note"]) == (["a", "b"], 0.75, [1, {"x": None}])


def test_parquet_has_columns_of_numbers_and_lists(client: FlaskClient) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="needs pyarrow")
    table = parquet.read_table(io.BytesIO(exported(client, "parquet")))
    assert table.column("metrics.val/acc").to_pylist() == [-0.5, 0.75, None]
    assert table.column("tags").to_pylist() == [["a", "b"], None, None]
    assert table.column("config.note").to_pylist() == [None, "+1\\x & y", '[1, {"x": null}]']


def test_latex_sets_every_sign_as_itself(client: FlaskClient) -> None:
    lines = exported(client, "tex").decode().splitlines()
    assert lines[1] == "\\begin{tabular}{rllrrlll}"
    assert lines[5] == (
        "1 & =cmd\\textbar{}' /C calc'!A0 & completed & $-0.500$ & $3 \\times 10^{-5}$ & -- & a, b & 41s \\\\"
    )
    assert "plain\\_50\\%" in lines[6]
    assert "+1\\textbackslash{}x \\& y" in lines[6]
    assert escape_latex("{$#^~<\n>}") == "\\{\\$\\#\\textasciicircum{}\\textasciitilde{}\\textless{} \\textgreater{}\\}"


def test_a_package_that_is_missing_is_named(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    answer = client.get("/export/runs.parquet?project=digits")
    assert answer.status_code == 409
    assert "pip install pyarrow" in text_of(answer.text)


def test_an_export_has_all_pages_and_only_what_the_query_finds(
    client: FlaskClient, database: Documents, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_exports, "ROWS_AT_A_TIME", 2)
    assert len(json.loads(exported(client, "json"))) == 3
    assert [row["id"] for row in json.loads(exported(client, "json", "q=config.lr > 1e-3"))] == [2]
    assert [row["id"] for row in json.loads(exported(client, "json", "runs=3,1"))] == [3, 1]
    monkeypatch.setattr(run_exports, "MOST_ROWS", 2)
    answer = client.get("/export/runs.csv?project=digits")
    assert answer.status_code == 400
    assert "3 runs match, and an export holds 2." in text_of(answer.text)
    assert client.get("/export/runs.xls?project=digits").status_code == 404
    assert client.get("/export/runs.csv?q=lr <").status_code == 400


def test_who_exports_what_is_noted_and_hidden_runs_stay_hidden(database: Documents) -> None:
    for name in ("root", "mallory"):
        add_user(database, name, site=["admin"] if name == "root" else [])
    app = create_app(RunStore(database))
    assert len(json.loads(signed_in(app, database, "root").get("/export/runs.json?q=id > 1").data)) == 2
    assert json.loads(signed_in(app, database, "mallory").get("/export/runs.json").data) == []
    noted = [entry for entry in list_entries(database, AuditQuery()).entries if entry.action == "exported"]
    assert [(entry.actor, entry.details["what"], entry.details["runs"]) for entry in noted] == [
        ("mallory", "json", 0),
        ("root", "json", 2),
    ]


def test_each_format_is_a_row_with_its_own_name() -> None:
    names = [each.name for each in table_formats.FORMATS]
    assert names == ["csv", "json", "parquet", "tex"]
