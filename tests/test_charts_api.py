"""The chart endpoints over a real database: curves, sections, spark lines, CSV, and what bad questions get."""

from __future__ import annotations

import json
import math
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest
from cloister.observer.runs import RunStore
from cloister.viewer.app import create_app
from flask.testing import FlaskClient
from pymongo.database import Database
from running_viewer import insert_run
from stored_metrics import store_metric

Documents = Database[dict[str, Any]]
SPIKE = 617_283


@pytest.fixture
def client(store: RunStore) -> FlaskClient:
    return create_app(store).test_client()


def get_json(client: FlaskClient, path: str) -> Any:
    def refuse(name: str) -> None:
        raise AssertionError(f"bare {name} in JSON")

    response = client.get(path)
    assert response.status_code == 200, response.text
    return json.loads(response.data, parse_constant=refuse)


def test_one_spike_in_a_million_points_is_in_the_curve_at_full_zoom_out(
    client: FlaskClient, database: Documents
) -> None:
    insert_run(database, 1)
    values = np.sin(np.arange(1_000_000) / 90_000)
    values[SPIKE] = 25.0
    store_metric(database, 1, "signal", values, seconds_apart=0.01)

    [curve] = get_json(client, "/api/v1/curves?metric=signal&runs=1&pixels=600")["curves"]

    assert curve["total"] == 1_000_000
    assert curve["thinned"]
    assert len(curve["y"]) < 2000
    assert curve["x"][curve["y"].index(25.0)] == SPIKE


def test_a_zoomed_curve_has_every_point_of_its_range(client: FlaskClient, database: Documents) -> None:
    insert_run(database, 1)
    store_metric(database, 1, "signal", np.arange(100_000.0))

    [curve] = get_json(client, "/api/v1/curves?metric=signal&runs=1&pixels=600&from=5000&to=5100")["curves"]

    assert curve["step"] == list(range(4999, 5102))  # and one neighbour on each side, so that the line leaves the chart
    assert not curve["thinned"]


def test_values_that_are_no_numbers_are_null_and_told_apart(client: FlaskClient, database: Documents) -> None:
    insert_run(database, 1)
    store_metric(database, 1, "loss", [1.0, math.nan, math.inf, 2.0])

    [curve] = get_json(client, "/api/v1/curves?metric=loss&runs=1")["curves"]

    assert curve["y"] == [1.0, None, None, 2.0]
    assert curve["nonfinite"] == {"nan": [1], "inf": [2]}
    assert curve["last"]["max"] == 2.0


def test_several_metrics_of_several_runs_come_in_one_answer(client: FlaskClient, database: Documents) -> None:
    for run_id in (1, 2):
        insert_run(database, run_id)
        store_metric(database, run_id, "val/acc", [0.1, 0.2])
    store_metric(database, 2, "a,b", [3.0])

    answer = get_json(client, "/api/v1/curves?metric=val/acc&metric=a,b&runs=2,1,99")

    assert [(curve["run_id"], curve["metric"]) for curve in answer["curves"]] == [
        (2, "val/acc"),
        (2, "a,b"),
        (1, "val/acc"),
    ]
    assert answer["missing"] == [99]
    assert [run["name"] for run in answer["runs"]] == ["digits-2", "digits-1"]


def test_x_is_the_step_the_time_since_the_start_or_the_clock(client: FlaskClient, database: Documents) -> None:
    insert_run(database, 1)
    store_metric(database, 1, "loss", [1.0, 2.0], seconds_apart=30)

    curves = {
        axis: get_json(client, f"/api/v1/curves?metric=loss&runs=1&axis={axis}")["curves"][0]
        for axis in ("step", "relative", "wall")
    }

    assert curves["step"]["x"] == [0, 1]
    assert curves["relative"]["x"] == pytest.approx([0, 30], abs=1e-3)
    assert curves["wall"]["x"] == curves["wall"]["time"]


def test_sections_name_the_charts_of_all_runs(client: FlaskClient, database: Documents) -> None:
    insert_run(database, 1)
    insert_run(database, 2)
    store_metric(database, 1, "val/acc", [0.5])
    store_metric(database, 2, "train/loss", [0.5])
    store_metric(database, 2, "system/cpu.percent", [50.0])

    metrics = get_json(client, "/api/v1/chart-sections?runs=1,2")["sections"]
    system = get_json(client, "/api/v1/chart-sections?runs=1,2&kind=system")["sections"]

    assert [section["name"] for section in metrics] == ["val", "train"]
    assert system[0]["charts"][0]["title"] == "CPU of the run"


def test_spark_lines_come_for_the_runs_that_have_the_metric(client: FlaskClient, database: Documents) -> None:
    insert_run(database, 1)
    insert_run(database, 2)
    store_metric(database, 1, "val/acc", np.linspace(0, 1, 5000))

    answer = get_json(client, "/api/v1/sparks?metric=val/acc&runs=1,2,3")

    assert [spark["run_id"] for spark in answer["sparks"]] == [1]
    assert answer["sparks"][0]["path"].startswith("M1.5 ")
    assert len(answer["sparks"][0]["path"]) < 1500


def test_csv_has_every_point_and_no_formula(client: FlaskClient, database: Documents) -> None:
    insert_run(database, 1)
    database["runs"].update_one({"_id": 1}, {"$set": {"cloister.name": "=cmd()"}})
    store_metric(database, 1, "val/acc", np.arange(10_000) / -7)

    response = client.get("/api/v1/points.csv?metric=val/acc&runs=1")

    lines = response.text.splitlines()
    assert len(lines) == 10_001
    assert lines[0] == "run_id,run,step,wall_time,value"
    assert lines[2].startswith("1,'=cmd(),1,")
    assert lines[2].endswith(f",{-1 / 7!r}")
    assert response.headers["Content-Disposition"] == "attachment; filename=val-acc.csv"


def test_the_strip_says_what_the_hardware_does_now(client: FlaskClient, database: Documents) -> None:
    insert_run(database, 1)
    store_metric(database, 1, "system/memory.used", [20.0 * 2**30] * 20)
    store_metric(database, 1, "system/memory.percent", [25.0] * 20)
    store_metric(database, 1, "system/disk.read", [184e6] * 20)
    store_metric(database, 1, "system/disk.write", [0.0] * 20)
    store_metric(database, 1, "system/network.sent", [4217.0] * 20)

    cells = get_json(client, "/api/v1/runs/1/system-strip")["cells"]

    assert [(cell["title"], cell["shown"]) for cell in cells] == [
        ("Memory", "20 of 80 GiB"),
        ("Disk read", "184 MB/s"),
        ("Disk write", "0 MB/s"),
        ("Network out", "4.22 kB/s"),
    ]
    assert cells[2]["path"].endswith("L158.5 30.5"), "nothing all the time lies on the ground"


def test_the_empty_chart_is_asked_for_again_rather_than_kept_for_ever(client: FlaskClient) -> None:
    response = client.get("/api/v1/plots/line")

    assert response.json["root_id"] in response.text
    assert "no-cache" in response.headers["Cache-Control"]


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("runs=1", "metric"),
        ("metric=loss", "runs"),
        ("metric=loss&runs=1&pixels=1", "pixels='1' is not a whole number from 2 to 4000"),
        ("metric=loss&runs=1&pixels=" + "9" * 5000, "pixels"),
        ("metric=loss&runs=1&pixels=١٢٣", "pixels"),
        ("metric=loss&runs=1&axis=epoch", "axis='epoch' is not one of step, relative, wall"),
        ("metric=loss&runs=1&from=NaN", "from='NaN' is not a finite number"),
        ("metric=loss&runs=1&to=x", "to='x' is not a number"),
        ("metric=loss&runs=1&encoding=xml", "encoding"),
        ("metric=loss&runs=" + ",".join(map(str, range(201))), "at most 200"),
        ("&".join(f"metric={index}" for index in range(13)) + "&runs=1", "at most 12"),
        ("metric=" + "x" * 1001 + "&runs=1", "at most 1000 characters"),
        ("metric=%00&runs=1", "metric"),
        ("metric=loss&runs=%00", "runs"),
    ],
)
def test_a_bad_question_is_refused_with_its_value(client: FlaskClient, query: str, words: str) -> None:
    response = client.get(f"/api/v1/curves?{quote(query, safe='=&,%')}")

    assert response.status_code == 400
    assert response.content_type == "application/problem+json"
    assert words in response.json["detail"]


@pytest.mark.parametrize("run_id", [-1, 4711, "id:x", "id:%24where", "id:12", f"oid:{'0' * 24}", f"{2**62}"])
def test_an_id_that_no_run_has_is_missing_not_an_error(client: FlaskClient, run_id: int | str) -> None:
    answer = get_json(client, f"/api/v1/curves?metric=loss&runs={quote(str(run_id))}")

    assert answer["curves"] == []
    assert answer["missing"] == [run_id]


@pytest.mark.parametrize("word", ["x", str(2**70), "9" * 900, "1.5", "$where", "oid:12", "bson:x", "\u0663"])
def test_a_word_that_can_be_no_id_is_refused_in_words(client: FlaskClient, word: str) -> None:
    response = client.get(f"/api/v1/curves?metric=loss&runs={quote(word)}")

    assert response.status_code == 400
    assert "a list of run ids such as 12,13" in response.json["detail"]


@pytest.mark.parametrize(
    "name", ["__proto__", "a.b$c/d", "<script>alert(1)</script>", "\u202eevil", "say \"hi\" 'now'"]
)
def test_a_hostile_metric_name_stands_harmless_in_the_page(client: FlaskClient, database: Documents, name: str) -> None:
    insert_run(database, 1)
    store_metric(database, 1, name, [1.0, 2.0])

    page = client.get("/runs/1/charts").text
    [curve] = get_json(client, f"/api/v1/curves?metric={quote(name, safe='')}&runs=1")["curves"]

    assert "<script>alert" not in page
    assert curve["y"] == [1.0, 2.0]


def test_a_group_is_the_mean_of_its_runs_between_their_extremes(client: FlaskClient, database: Documents) -> None:
    values = np.random.default_rng(1).random((3, 20))
    for run_id, row in enumerate(values, 1):
        insert_run(database, run_id, config={"lr": 0.1 if run_id < 3 else 0.2})
        store_metric(database, run_id, "loss", row)

    address = "/api/v1/curves?metric=loss&runs=1,2,3&group=config.lr"
    first, second = get_json(client, address)["curves"]

    assert (first["group"], first["runs"], second["group"]) == (["0.1"], [1, 2], ["0.2"])
    assert first["mean"] == pytest.approx(values[:2].mean(axis=0))
    assert first["std"] == pytest.approx(values[:2].std(axis=0, ddof=1))
    assert (first["min"], first["max"]) == (values[:2].min(axis=0).tolist(), values[:2].max(axis=0).tolist())
    assert second["std"] == [0.0] * 20


def test_a_group_of_long_runs_that_log_at_other_steps_loses_no_spike(client: FlaskClient, database: Documents) -> None:
    for run_id, every in ((1, 1), (2, 3)):
        insert_run(database, run_id)
        values = np.full(30_000 // every, float(run_id))
        values[5000] = 25.0 * run_id
        store_metric(database, run_id, "signal", values, steps=np.arange(len(values)) * every)

    [band] = get_json(client, "/api/v1/curves?metric=signal&runs=1,2&group=config.lr&pixels=300")["curves"]

    assert len(band["x"]) == 300
    assert max(band["max"]) == 50.0
    assert min(band["min"]) == 1.0
    assert sorted(band["mean"])[150] == pytest.approx(1.5)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ('"val/loss" - "train/loss"', [10.0, 8.0]),
        ("2 * 'val/loss' ** 2 / 2", [144.0, 121.0]),
        ('max("val/loss", 11.5) + -1', [11.0, 10.5]),
        ('metrics."val/loss" % 5 + step', [2.0, 3.0]),
        ('1 / ("val/loss" - 12)', [None, -1.0]),
        ("metrics.alone + 'val/loss'", [13.0, 12.0]),  # logged between the others' steps: its latest value
    ],
)
def test_an_expression_is_reckoned_where_all_its_metrics_are(
    client: FlaskClient, database: Documents, expression: str, expected: list[float | None]
) -> None:
    insert_run(database, 1)
    store_metric(database, 1, "val/loss", [12.0, 11.0], steps=[0, 2])
    store_metric(database, 1, "train/loss", [2.0, 5.0, 3.0], steps=[0, 1, 2])
    store_metric(database, 1, "alone", [1.0], steps=[-1])

    [curve] = get_json(client, f"/api/v1/curves?expression={quote(expression)}&runs=1")["curves"]

    assert curve["metric"] == expression
    assert curve["y"][-2:] == expected


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("expression=loss%20%2B", "something is missing at its end"),
        ("expression=eval(loss)", "no function 'eval'"),
        ("expression=loss%2C1", "does not fit here"),
        ("expression=" + "(" * 60 + "loss" + ")" * 60, "at most 40 brackets"),
        ("expression=" + "loss" * 300, "at most 1000 characters"),
        ("expression=1", "names no metric"),
        ("metric=loss&group=nonsense.key", "group="),
        ("metric=loss&axis=metric:", "axis="),
        ("metric=loss&x_scale=cubic", "x_scale="),
    ],
)
def test_what_cannot_be_drawn_says_why(client: FlaskClient, query: str, words: str) -> None:
    response = client.get(f"/api/v1/curves?{query}&runs=1")

    assert (response.status_code, words in response.json["detail"]) == (400, True)


def test_x_is_another_metric_or_drawn_by_its_logarithm(client: FlaskClient, database: Documents) -> None:
    insert_run(database, 1)
    values = np.zeros(100_000)
    values[[3, 40, 70_000]] = [1.0, 2.0, 3.0]
    store_metric(database, 1, "loss", values)
    store_metric(database, 1, "epoch", np.arange(0, 100_000, 10) / 1000, steps=np.arange(0, 100_000, 10))

    [over] = get_json(client, "/api/v1/curves?metric=loss&runs=1&axis=metric:epoch&pixels=300")["curves"]
    [log] = get_json(client, "/api/v1/curves?metric=loss&runs=1&x_scale=log&pixels=300")["curves"]

    assert over["x"][over["y"].index(3.0)] == 70.0
    assert [log["x"][log["y"].index(spike)] for spike in (1.0, 2.0, 3.0)] == [3, 40, 70_000]
    assert log["x"] == sorted(log["x"])
    assert set(range(1, 30)) <= set(log["x"]), "what is near 0 is not thinned away"


def test_an_answer_is_remembered_until_the_run_has_new_points(client: FlaskClient, database: Documents) -> None:
    insert_run(database, 1)
    store_metric(database, 1, "loss", [1.0, 2.0])
    address = "/api/v1/curves?metric=loss&runs=1"
    before = get_json(client, address)
    database["metric_chunks"].rename("away")

    assert get_json(client, address) == before, "no point is read again"
    database["away"].rename("metric_chunks")
    store_metric(database, 1, "loss", [1.0, 2.0, 3.0])
    assert get_json(client, address)["curves"][0]["y"] == [1.0, 2.0, 3.0]
    database["runs"].delete_one({"_id": 1})
    assert get_json(client, address)["missing"] == [1]


def test_names_are_searched_in_linear_time_and_values_come_in_words(client: FlaskClient, database: Documents) -> None:
    insert_run(database, 1, config={"lr": 3e-4, "net": {"depth": 3}})
    store_metric(database, 1, "a" * 60, [1.0])
    store_metric(database, 1, "Val/loss", [1.0])

    for pattern, found in (("^val/", ["Val/loss"]), ("(a+)+$", ["a" * 60]), ("(a|aa)+b", [])):
        assert get_json(client, f"/api/v1/chart-search?runs=1&q={quote(pattern)}")["metrics"] == found
    refused = client.get("/api/v1/chart-search?runs=1&q=a(")
    assert (refused.status_code, "missing )" in refused.json["detail"]) == (400, True)
    values = get_json(client, "/api/v1/run-values?runs=1,9&key=config.lr&key=config.net.depth&key=tags")
    assert values["runs"] == [{"run_id": 1, "name": "digits-1", "values": ["3e-4", "3", "\u2013"]}]
