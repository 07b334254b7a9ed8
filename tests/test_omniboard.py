"""Omniboard 2.16 reads what we write: every call of its pages, and its pages in a browser."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator
from datetime import datetime

import pytest
from conftest import free_port
from omniboard_pages import COMPLAINTS, TABS, Table, open_files, open_tab
from peer_installs import NpmMissing, omniboard_program
from playwright.sync_api import Browser, expect
from recorded_script import wait_for
from running_omniboard import DETAILS, FIRST_COLUMNS, NOT_COMPARED, Omniboard, running_omniboard
from runs_for_readers import HOSTILE_CONFIG, HOSTILE_NAMES, LONG_POINTS, LOUD_BYTES, PEAK_STEP, artifact_files
from runs_to_read import STATUSES, RunsToRead
from watched_browser import PATIENCE_MS, Watch

SKELETON = {
    "_id", "experiment", "format", "command", "host", "start_time", "stop_time", "heartbeat", "status", "config",
    "meta", "info", "resources", "artifacts", "captured_out", "result", "fail_trace", "cloister",
}  # fmt: skip
NOT_FROM_SACRED = {"start_time", "stop_time", "result", "fail_trace"}  # until they are known
WITHOUT_METRICS = ("plain", "loud", "lost", "queued", "twins", "sacred queued")


@pytest.fixture(scope="module")
def _installed() -> None:
    """Omniboard, before the runs are recorded for it."""
    try:
        omniboard_program()
    except NpmMissing as reason:
        pytest.skip(str(reason))


@pytest.fixture(scope="module")
def runs(_installed: None, runs_to_read: RunsToRead) -> RunsToRead:
    return runs_to_read


@pytest.fixture(scope="module")
def omniboard(runs: RunsToRead, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Omniboard]:
    with running_omniboard(runs.uri, tmp_path_factory.mktemp("omniboard"), free_port()) as omniboard:
        yield omniboard


@pytest.fixture(params=STATUSES)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


# ---- what is stored


def test_every_run_has_each_field_that_omniboard_reads(runs: RunsToRead, kind: str) -> None:
    document = runs.database["runs"].find_one({"_id": runs.number(kind)})
    assert document is not None
    assert set(document) >= (SKELETON - NOT_FROM_SACRED if kind.startswith("sacred") else SKELETON)
    assert isinstance(document["_id"], int)
    assert [type(document[name]) for name in ("config", "meta", "host", "info", "experiment")] == [dict] * 5
    assert [type(document.get(name, [])) for name in ("fail_trace", "artifacts", "resources")] == [list] * 3
    assert isinstance(document.get("start_time"), datetime | None if STATUSES[kind] == "QUEUED" else datetime)
    assert isinstance(document["captured_out"], str)
    assert all(isinstance(entry["id"], str) and len(entry["id"]) == 24 for entry in document["info"].get("metrics", []))
    files = [file_id for _, file_id in document["experiment"]["sources"]]
    files += [artifact["file_id"] for artifact in document["artifacts"]]
    assert runs.database["fs.files"].count_documents({"_id": {"$in": files}}) == len(set(files))


def test_the_metrics_of_a_run_are_found_by_an_index(runs: RunsToRead) -> None:
    plan = runs.database["metrics"].find({"run_id": runs.number("completed"), "name": "loss"}).explain()
    assert plan["queryPlanner"]["winningPlan"]["inputStage"]["keyPattern"] == {"run_id": 1, "name": 1}


# ---- REST


def test_the_table_shows_every_run(omniboard: Omniboard, runs: RunsToRead) -> None:
    rows = omniboard.ask_table(FIRST_COLUMNS)
    assert {row["_id"]: row["status"] for row in rows} == {
        runs.number(kind): status for kind, status in STATUSES.items()
    }
    for row in rows:
        assert isinstance(row["config"], dict)
        assert isinstance(row["meta"], dict)
        assert row["duration"] is None if row["status"] == "QUEUED" else row["duration"] >= 0
    assert omniboard.ask_json("Runs/count") == {"count": len(STATUSES)}
    [completed] = [row for row in rows if row["_id"] == runs.number("completed")]
    assert completed["omniboard"] == {"tags": ["good", "second"], "notes": "A note."}
    assert "good" in omniboard.ask_json("Runs", distinct="omniboard.tags")


def test_the_table_can_be_asked_for_the_columns_that_it_showed(omniboard: Omniboard) -> None:
    keys = {key for row in omniboard.ask_table(FIRST_COLUMNS) for key in row["config"]}
    assert {"a%2Eb", "%", "%24where", "a,b", "tags", "status", "_id", "optimizer"} <= keys
    columns = "_id,heartbeat,experiment.name,host.hostname,duration,status,config.tags,omniboard.tags,meta.comment"
    shown = ",".join([columns, *(f"config.{key}" for key in sorted(keys - {"tags"}))])
    assert len(omniboard.ask_table(shown)) == len(STATUSES)


@pytest.mark.parametrize("key", ["lr", "a%2Eb", "%", "optimizer.name"])
def test_the_table_is_sorted_and_filtered_by_config(omniboard: Omniboard, runs: RunsToRead, key: str) -> None:
    value = {"lr": 0.1, "a%2Eb": 1, "%": "empty", "optimizer.name": "adam"}[key]
    query = json.dumps({"$and": [{f"config.{key}": {"$eq": value}}]})
    found = omniboard.ask_table(FIRST_COLUMNS, sort_by=f"config.{key}", order_by="1", query=query)
    assert runs.number("hostile") in {row["_id"] for row in found}


@pytest.mark.parametrize("extrema", ["last", "last_avg", "min", "max", "avg"])
def test_a_metric_is_a_column(omniboard: Omniboard, runs: RunsToRead, extrema: str) -> None:
    columns = runs.database["omniboard.metric.columns"]
    expected = {"last": 0.01, "last_avg": (0.01 + 1 / 99) / 2, "min": 0.01, "max": 1.0}.get(extrema)
    columns.insert_one({"name": "L", "metric_name": "loss", "extrema": extrema, "lastn": 2})
    try:
        rows = omniboard.ask_table(f"{FIRST_COLUMNS},L", sort_by="L", order_by="-1")
    finally:
        columns.delete_many({})
    assert len(rows) == len(STATUSES)
    by_number = {row["_id"]: row.get("L") for row in rows}
    assert by_number[runs.number("plain")] is None
    assert by_number[runs.number("running")] == 1.0
    assert by_number[runs.number("completed")] == pytest.approx(expected or sum(1 / n for n in range(1, 101)) / 100)


def test_every_hostile_metric_can_be_chosen_for_a_column(omniboard: Omniboard) -> None:
    assert {*HOSTILE_NAMES} - {"\ud800"} <= set(omniboard.ask_json("Metrics", distinct="name"))


def test_every_run_is_opened(omniboard: Omniboard, runs: RunsToRead, kind: str) -> None:
    number = runs.number(kind)
    run = omniboard.ask_json(f"Runs/{number}", select=DETAILS)
    assert run["_id"] == number
    assert run["status"] == STATUSES[kind]
    assert isinstance(run["captured_out"], str)
    metrics = omniboard.ask_metrics(number)
    named = {entry["id"]: entry["name"] for entry in run["info"].get("metrics", [])}
    assert named == {metric["_id"]: metric["name"] for metric in metrics}
    for metric in metrics:
        assert metric["run_id"] == number
        assert len(metric["steps"]) == len(metric["values"]) == len(metric["timestamps"]) > 0
    assert len(omniboard.ask_json(f"files/source/{number}")) == len({pair[1] for pair in run["experiment"]["sources"]})
    assert len(omniboard.ask_json(f"files/artifacts/{number}")) == len({file["file_id"] for file in run["artifacts"]})
    assert omniboard.is_alive()


def test_what_is_opened_is_what_was_recorded(omniboard: Omniboard, runs: RunsToRead) -> None:
    completed = omniboard.ask_json(f"Runs/{runs.number('completed')}", select=DETAILS)
    assert "what the training printed" in completed["captured_out"]
    loss = omniboard.ask_metric(runs.number("completed"), "loss")
    assert loss["values"] == [1 / (step + 1) for step in range(100)]
    assert loss["steps"] == list(range(100))
    failed = omniboard.ask_json(f"Runs/{runs.number('failed')}", select=DETAILS)
    assert "ZeroDivisionError: division by zero" in "".join(failed["fail_trace"])
    assert omniboard.ask_metric(runs.number("forked"), "loss")["steps"] == list(range(60))
    assert omniboard.ask_metric(runs.number("resumed"), "loss")["steps"] == list(range(11))
    assert omniboard.ask_json(f"Runs/{runs.number('plain')}", select=DETAILS)["config"] == {}
    for kind in ("sacred", "adopted"):
        assert omniboard.ask_metric(runs.number(kind), "loss")["values"] == [1 / (step + 1) for step in range(50)]
        assert omniboard.ask_metric(runs.number(kind), "system/threads too")["values"] == [None, None, 1]
        run = omniboard.ask_json(f"Runs/{runs.number(kind)}", select=DETAILS)
        assert "what the experiment printed" in run["captured_out"]
        assert run["config"]["layers"] == {"sizes": [3, 2], "none": None}


def test_hardware_is_not_drawn_over_the_metrics_of_the_training(omniboard: Omniboard, runs: RunsToRead) -> None:
    document = runs.database["runs"].find_one({"_id": runs.number("completed")})
    assert document is not None
    assert document["cloister"]["system"]
    names = {metric["name"] for metric in omniboard.ask_metrics(runs.number("completed"))}
    assert names == {"loss", "val/accuracy"} == {entry["name"] for entry in document["info"]["metrics"]}


def test_a_million_points_are_drawn_as_few_with_their_peak(omniboard: Omniboard, runs: RunsToRead) -> None:
    wave = omniboard.ask_metric(runs.number("long"), "wave")
    assert len(wave["values"]) <= 10_000
    assert wave["values"][wave["steps"].index(PEAK_STEP)] == 1000.0
    assert (wave["steps"][0], wave["steps"][-1]) == (0, LONG_POINTS - 1)
    assert wave["steps"] == sorted(wave["steps"])


def test_of_fifty_megabytes_of_output_the_end_is_shown(omniboard: Omniboard, runs: RunsToRead) -> None:
    text = omniboard.ask_json(f"Runs/{runs.number('loud')}", select="captured_out,status,heartbeat")["captured_out"]
    assert text.endswith("x\nthe last line\n")
    assert 100_000 < len(text) < 1_000_000
    document = runs.database["runs"].find_one({"_id": runs.number("loud")})
    assert document is not None
    assert document["cloister"]["console"]["bytes"] > LOUD_BYTES * 0.99


def test_values_that_are_no_numbers_are_gaps(omniboard: Omniboard, runs: RunsToRead) -> None:
    metrics = omniboard.ask_metrics(runs.number("hostile"))
    assert {metric["name"] for metric in metrics} >= {*HOSTILE_NAMES} - {"\ud800"}
    assert all(metric["values"] == [None, None, None, 0, 0.5] for metric in metrics)
    config = omniboard.ask_json(f"Runs/{runs.number('hostile')}", select=DETAILS)["config"]
    assert config["nan"] is None
    assert config["optimizer"] == {"name": "adam", "betas": [0.9, 0.999], "none": None}
    assert len(config) >= len(HOSTILE_CONFIG) - 1  # JavaScript has no field "__proto__"


def test_files_are_shown_downloaded_and_packed(omniboard: Omniboard, runs: RunsToRead) -> None:
    number, expected = runs.number("completed"), artifact_files()
    run = omniboard.ask_json(f"Runs/{number}", select=DETAILS)
    assert {file["name"] for file in run["artifacts"]} == set(expected)
    for file in run["artifacts"]:
        assert omniboard.ask(f"files/download/{file['file_id']}/{file['name']}") == expected[file["name"]]
        assert omniboard.ask(f"files/preview/{file['file_id']}") == expected[file["name"]]
    [[path, source]] = run["experiment"]["sources"]
    assert b"def main(" in omniboard.ask(f"files/preview/{source}")
    with zipfile.ZipFile(io.BytesIO(omniboard.ask(f"files/downloadAll/{number}/artifacts"))) as packed:
        stored = {name.split("/", 1)[1]: packed.read(name) for name in packed.namelist()}
    assert stored == expected
    with zipfile.ZipFile(io.BytesIO(omniboard.ask(f"files/downloadAll/{number}/source_files"))) as packed:
        assert packed.namelist() == [f"source_files-{number}/{path}"]
    assert omniboard.is_alive()


def test_the_same_bytes_are_packed_under_each_of_their_names(omniboard: Omniboard, runs: RunsToRead) -> None:
    number = runs.number("twins")
    with zipfile.ZipFile(io.BytesIO(omniboard.ask(f"files/downloadAll/{number}/artifacts"))) as packed:
        names = [name.split("/", 1)[1] for name in packed.namelist()]
    assert sorted(names) == ["empty.bin", "in/a/folder.txt", "one.txt", "two.txt"]


def test_all_runs_are_compared(omniboard: Omniboard, runs: RunsToRead) -> None:
    chosen = {"$in": list(runs.numbers.values())}
    run = {"path": "run", "select": [f"-{name}" for name in NOT_COMPARED]}
    metrics = omniboard.ask_json("Metrics", query=json.dumps({"run_id": chosen}), populate=run)
    assert {metric["run_id"] for metric in metrics} == {
        runs.number(kind) for kind in STATUSES if kind not in WITHOUT_METRICS
    }
    assert all(metric["run"][0]["_id"] == metric["run_id"] for metric in metrics)
    for select in ("_id,captured_out", "_id,config"):
        assert len(omniboard.ask_json("Runs", query=json.dumps({"_id": chosen}), select=select)) == len(STATUSES)
    files = omniboard.ask_json("SourceFiles", query=json.dumps({"_id": chosen}))
    assert len(files) == len(STATUSES)
    assert all(file["filename"] and file["length"] for run in files for file in run["files"])


def test_what_people_do_in_omniboard_stays_while_the_run_goes_on(omniboard: Omniboard, runs: RunsToRead) -> None:
    number, database = runs.number("running"), runs.database
    by_hand = {"tags": ["mine"], "notes": "by hand"}
    database["runs"].update_one({"_id": number}, {"$set": {"omniboard": by_hand}})

    def count_points() -> int:
        run = database["runs"].find_one({"_id": number})
        assert run is not None
        return int(run["cloister"]["summary"]["loss"]["count"])

    before = count_points()
    wait_for(lambda: count_points() > before, "the run goes on")
    [row] = [row for row in omniboard.ask_table(FIRST_COLUMNS) if row["_id"] == number]
    assert row["omniboard"] == by_hand


# ---- pages


@pytest.fixture(scope="module")
def table(browser: Browser, omniboard: Omniboard, runs: RunsToRead) -> Iterator[Table]:
    """Loaded a second time: with the columns that it showed the first time."""
    with browser.new_context(viewport={"width": 1600, "height": 2400}) as context:
        expect.set_options(timeout=60_000)  # the whole suite may run beside; this only ends a hang
        watch, page = Watch(context, omniboard.address), context.new_page()
        page.goto(omniboard.page)
        rows = page.locator("[test-attr^=cell-row_expander]")
        expect(rows).to_have_count(len(STATUSES))
        page.reload()
        expect(rows).to_have_count(len(STATUSES))
        table = Table(page, watch, sorted(runs.numbers.values(), reverse=True))
        table.assert_no_trouble()
        yield table
        expect.set_options(timeout=PATIENCE_MS)  # as it was


@pytest.mark.browser
def test_a_browser_shows_every_tab_of_a_run(table: Table, omniboard: Omniboard, runs: RunsToRead, kind: str) -> None:
    with table.opened(runs.number(kind)) as details:
        tabs = details.locator("#sidebar li")
        expect(tabs).to_have_text([name for name in TABS if name != "Fail Trace" or STATUSES[kind] == "FAILED"])
        for name in tabs.all_inner_texts():
            open_tab(details, name)
            if name in ("Artifacts", "Source Files"):
                open_files(details)
        open_tab(details, "Metrics Plot")
    table.assert_no_trouble(*COMPLAINTS.get(kind, ()))
    assert omniboard.is_alive()


@pytest.mark.browser
def test_a_browser_draws_the_metrics(table: Table, runs: RunsToRead) -> None:
    with table.opened(runs.number("completed")) as details:
        open_tab(details, "Metrics Plot")
        expect(details.locator(".legendtext")).to_have_text(["loss", "val/accuracy"])
        expect(details.locator(".scatterlayer path.js-line")).to_have_count(4)  # each as it is, and smoothed
    table.assert_no_trouble()


@pytest.mark.browser
def test_a_browser_compares_runs(table: Table, omniboard: Omniboard, runs: RunsToRead) -> None:
    for kind in ("completed", "forked", "failed", "long", "queued"):
        table.cell("row_selection", runs.number(kind)).click()
    table.page.get_by_role("button", name="Compare").click()
    modal = table.page.locator(".compare-runs-modal")
    expect(modal.locator(".legendtext").first).to_be_visible()
    for name, shown in (
        ("Captured Out", "what the training printed"),
        ("Config", "optimizer"),
        ("Source Files", "runs_for_readers.py"),
        ("Metrics Plot", "Metrics to plot"),
    ):
        modal.locator("#sidebar li", has_text=name).click()
        expect(modal.locator(".sidebar-content")).to_contain_text(shown)
    table.assert_no_trouble()
    assert omniboard.is_alive()
