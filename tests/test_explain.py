"""Explain: which columns are read, what figures say of them, and what the page answers."""

from __future__ import annotations

import csv
import io
import json
import math
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qsl, urlencode

import numpy as np
import pytest
from cloister.observer.access.principal import LOCAL
from cloister.observer.kept_columns import KeptColumns
from cloister.observer.query.fields import UnknownField, find_field
from cloister.observer.run_columns import RunColumns, load_run_columns
from cloister.observer.run_query import RunQuery
from cloister.observer.runs import RunStore
from cloister.viewer.app import create_app
from cloister.viewer.explain_address import VIEWS, parse_explain_address
from cloister.viewer.figure_scales import MISSING_PLACE, plain, scale_of
from cloister.viewer.importance import Importance, ImportanceDesk, pose
from explained_runs import accuracy, learning_rate, store_sweep, sweep_document
from flask.testing import FlaskClient
from pymongo.database import Database
from pymongo.monitoring import CommandListener
from signing_in import emptied
from werkzeug.datastructures import MultiDict

Site = Database[dict[str, Any]]
KEYS = ("config.lr", "config.optimizer", "metrics.val/acc")


@pytest.fixture(scope="module")
def database(one_database: Site) -> Site:
    emptied(one_database)
    store_sweep(one_database, range(1, 61))
    odd = sweep_document(61, lr=None, optimizer=["a", 1])
    del odd["cloister"]["summary"]["val/acc"]
    one_database["runs"].insert_one(odd)
    return one_database


@pytest.fixture(scope="module")
def store(database: Site) -> RunStore:
    return RunStore(database)


@pytest.fixture(scope="module")
def visitor(store: RunStore) -> Iterator[FlaskClient]:
    with create_app(store).test_client() as client:
        yield client


def ask(visitor: FlaskClient, **parameters: Any) -> str:
    answer = visitor.get(f"/p/digits/explain?{urlencode(parameters, doseq=True)}")
    assert answer.status_code == 200, answer.text
    return answer.text


# ---- columns


def test_columns_are_numbers_where_all_values_are_and_words_otherwise(store: RunStore) -> None:
    runs = load_run_columns(store, RunQuery("digits"), KEYS)
    assert (len(runs), runs.total, runs.ids[0]) == (61, 61, 61)
    assert runs.columns["config.lr"].dtype == np.float64
    assert math.isnan(runs.columns["config.lr"][0])
    assert runs.columns["config.lr"][1] == learning_rate(60)
    assert runs.columns["metrics.val/acc"][1] == accuracy(60)
    assert list(runs.columns["config.optimizer"][:2]) == ['["a", 1]', "adam"]
    assert runs.differs("config.optimizer")
    assert not load_run_columns(store, RunQuery("digits"), ["config.model.width"]).differs("config.model.width")


def test_columns_are_those_of_the_newest_runs_that_a_query_matches(store: RunStore) -> None:
    where = "config.optimizer = adam and metrics.val/acc > 0.5"
    runs = load_run_columns(store, RunQuery("digits", where=where), KEYS, most=4)
    assert runs.ids == (60, 57, 54, 51)
    assert runs.total == 20
    assert set(runs.columns["config.optimizer"]) == {"adam"}
    assert list(load_run_columns(store, RunQuery("digits"), ["duration"], most=1).columns["duration"]) == [90.0]
    with pytest.raises(UnknownField):
        load_run_columns(store, RunQuery("digits"), ["confg.lr"])


def test_a_viewers_own_columns_say_the_same_as_mongodb(store: RunStore, database: Site) -> None:
    keys = (*KEYS, "config.model.depth", "duration", "status", "tags", "id")
    keeping = store.keeping_columns()
    keeping.columns = KeptColumns(database, least_runs=0)
    keeping.columns.prepare()
    assert keeping.columns.read(RunQuery("digits"), LOCAL, [find_field("name")], 1) is not None
    for where in ("", "config.optimizer = sgd", "metrics.val/acc > 2"):
        query = RunQuery("digits", where=where)
        plain_runs = load_run_columns(store, query, keys, most=40)
        kept_runs = load_run_columns(keeping, query, keys, most=40)
        assert (kept_runs.ids, kept_runs.names, kept_runs.total) == (plain_runs.ids, plain_runs.names, plain_runs.total)
        for key in keys:
            expected, found = plain_runs.columns[key], kept_runs.columns[key]
            assert found.dtype == expected.dtype, key
            assert (
                found.tolist() == pytest.approx(expected.tolist(), nan_ok=True) or found.tolist() == expected.tolist()
            )


def test_only_the_fields_that_are_shown_leave_the_database(
    mongod: str, database: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    import pymongo

    class Answers(CommandListener):
        def __init__(self) -> None:
            self.documents: list[dict[str, Any]] = []

        def started(self, event: Any) -> None: ...
        def failed(self, event: Any) -> None: ...
        def succeeded(self, event: Any) -> None:
            if event.command_name == "aggregate":
                self.documents += event.reply["cursor"]["firstBatch"]

    answers = Answers()
    with pymongo.MongoClient(mongod, tz_aware=True, event_listeners=[answers]) as client:
        load_run_columns(RunStore(client[database.name]), RunQuery("digits"), KEYS)
    assert len(answers.documents) == 61
    assert {name for document in answers.documents for name in document} == {"_id", "name", "c0", "c1", "c2"}


# ---- scales


@pytest.mark.parametrize(
    ("values", "log", "kind"),
    [
        pytest.param([1e-5, 1e-4, 1e-3, 1e-2, 1e-1], None, "log", id="over decades"),
        pytest.param(list(np.linspace(0.001, 0.5, 50)), None, "linear", id="even, although the ends are far apart"),
        pytest.param([1.0, 2.0, 3.0], True, "log", id="asked for"),
        pytest.param([0.0, 1.0, 1000.0], True, "linear", id="asked for, and not possible"),
        pytest.param([1e-5, 1e-4, 1e-1], False, "linear", id="refused"),
        pytest.param([2.0, 2.0], None, "linear", id="all the same"),
        pytest.param([float("nan")], None, "linear", id="nothing"),
        pytest.param([-1e308, 1e308, 1.0, 2.0], None, "linear", id="farther apart than a number says"),
    ],
)
def test_a_scale_leads_there_and_back(values: list[float], log: bool | None, kind: str) -> None:
    column = np.array(values)
    scale = scale_of(column, log=log)
    assert scale.kind == kind
    places = scale.places(column)
    known = np.isfinite(places) & (np.abs(column) < 1e300)
    assert ((places[known] >= -1e-9) & (places[known] <= 1 + 1e-9)).all()
    back = [scale.value_at(place) for place in places[known]]
    assert np.allclose(back, column[known], rtol=1e-9)
    ticks = scale.ticks()
    assert ticks
    assert all(-0.01 <= place <= 1.01 for place in ticks)


def test_words_stand_side_by_side_and_no_text_is_taken_for_tex() -> None:
    scale = scale_of(np.array(["b", "a", None, "a"], dtype=object))
    assert scale.words == ("a", "b")
    assert scale.places(np.array(["a", "b", None], dtype=object)).tolist()[:2] == [0.25, 0.75]
    assert MISSING_PLACE < 0
    assert not {"$$", r"\[", r"\("} & {plain(r"$$x$$ \[ \(")[start : start + 2] for start in range(12)}


# ---- the page


def test_each_figure_is_of_the_runs_of_the_query(visitor: FlaskClient) -> None:
    expected = {
        "parallel": ["60 runs, a line each through lr, optimizer, depth, val/acc", "1 run without val/acc left out"],
        "scatter": ["val/acc over lr of 61 runs, coloured by optimizer", "Rank correlation"],
        "matrix": ["lr, optimizer, depth, val/acc against each other"],
        "boxes": ["val/acc by optimizer: the highest median is", "of adam (20 runs)", "The boxes as a table"],
        "contour": ["val/acc over lr and depth, between 60 runs"],
    }
    chosen = {"boxes": {"by": "config.optimizer"}, "contour": {"x": "config.lr", "y": "config.model.depth"}}
    for view, sentences in expected.items():
        page = ask(visitor, view=view, **chosen.get(view, {}))
        for sentence in sentences:
            assert sentence in page, (view, sentence)
        assert "data-figure-json" in page
    assert "20 runs, a line each" in ask(visitor, q="config.optimizer = adam")


def test_a_figure_that_the_runs_cannot_make_says_why(visitor: FlaskClient) -> None:
    for parameters, sentence in [
        ({"q": "config.optimizer = nobody"}, "No run matches."),
        ({"view": "contour", "y": "config.optimizer"}, "all of them numbers"),
        ({"view": "boxes", "target": "config.optimizer"}, "Box plots take a number"),
        ({"view": "scatter", "x": "config.nothing", "y": "metrics.val/acc"}, "has both config.nothing and"),
        ({"view": "importance", "q": "id < 5"}, "at least 10 runs"),
    ]:
        page = ask(visitor, **parameters)
        assert sentence in page, parameters
        assert "data-figure-json" not in page


def test_a_query_that_is_wrong_is_shown_where_it_is_wrong(visitor: FlaskClient) -> None:
    page = ask(visitor, q="config.lr => 1")
    assert 'aria-invalid="true"' in page
    assert "Column " in page
    assert visitor.get("/p/digits/explain?param=confg.lr").status_code == 400
    assert visitor.get("/p/digits/explain?view=pie").status_code == 400
    assert visitor.get("/p/nobodys/explain").status_code == 404


def test_the_address_holds_all_that_is_chosen() -> None:
    given = MultiDict(
        [
            ("view", "scatter"),
            ("q", 'tags has "a,b&c"'),
            ("target", "best(metrics.val/acc)"),
            ("param", "config.lr"),
            ("param", 'config."odd name"'),
            ("x", "config.lr"),
            ("by", "status"),
            ("decided", "config.lr"),
            ("log", "config.lr"),
        ]
    )
    address = parse_explain_address("a/b", given)
    path, _, query = address.url().partition("?")
    assert path == "/p/a%2Fb/explain"
    assert parse_explain_address("a/b", MultiDict(parse_qsl(query))) == address
    assert address.wants_log("config.lr") is True
    assert address.wants_log("config.model.depth") is None
    assert set(VIEWS) >= {address.view}


def test_the_data_leave_as_csv_that_no_spreadsheet_reckons_with(store: RunStore, database: Site) -> None:
    database["runs"].insert_one(sweep_document(70, name="=cmd()", optimizer="+1", project="cells"))
    answer = create_app(store).test_client().get("/p/cells/explain/data.csv?view=boxes&by=config.optimizer")
    database["runs"].delete_one({"_id": 70})
    rows = list(csv.reader(io.StringIO(answer.text)))
    assert rows[0] == ["run_id", "run", "config.optimizer", "metrics.val/acc"]
    assert rows[1][:3] == ["70", "'=cmd()", "'+1"]
    assert float(rows[1][3]) == accuracy(70)


# ---- importance


def known_runs(count: int) -> RunColumns:
    numbers = range(1, count + 1)
    columns = {
        "config.lr": np.array([learning_rate(number) for number in numbers]),
        "config.optimizer": np.array([["adam", "sgd", "lion"][number % 3] for number in numbers], dtype=object),
        "config.width": np.full(count, 64.0),
        "metrics.acc": np.array([accuracy(number) for number in numbers]),
    }
    return RunColumns(tuple(numbers), tuple(map(str, numbers)), columns, count)


def asked(desk: ImportanceDesk, method: Any) -> Importance:
    parameters = ["config.lr", "config.optimizer", "config.width"]
    question = pose(known_runs(60), "metrics.acc", parameters, method, ["config.lr"])
    assert question is not None
    # The constant one is not asked about.
    assert set(json.loads(question.text)["columns"]) == {
        "config.lr",
        "config.optimizer",
    }
    answer = desk.ask(question)
    assert desk.ask(question) is answer
    return answer


def finished(answer: Importance) -> Importance:
    while not answer.done:
        time.sleep(0.02)
    return answer


def test_what_matters_most_comes_first() -> None:
    pytest.importorskip("sklearn")
    pytest.importorskip("optuna")
    answers = [asked(ImportanceDesk(), method) for method in ("forest", "fanova")]  # beside each other
    for answer in map(finished, answers):
        assert (answer.problem, answer.missing, answer.runs) == ("", "", 60)
        assert next(iter(answer.values)) == "config.lr"
        assert answer.values["config.lr"] > 2 * answer.values["config.optimizer"]
    assert answers[0].score is not None
    assert answers[0].score > 0.5


def test_a_reckoning_that_takes_too_long_is_ended_and_says_so() -> None:
    answer = finished(asked(ImportanceDesk(limit_seconds=0.01), "forest"))
    assert "was ended" in answer.problem
    assert answer.values == {}


def test_the_page_asks_again_until_there_are_importances(visitor: FlaskClient) -> None:
    page = ask(visitor, view="importance", method="forest")
    assert "random forest, permutation importance (scikit-learn)" in page
    if 'hx-trigger="load delay' in page:
        part = visitor.get("/p/digits/explain/importance?view=importance")
        assert 'id="importance"' in part.text


def test_too_few_runs_or_nothing_that_differs_is_no_question() -> None:
    assert pose(known_runs(9), "metrics.acc", ["config.lr"], "forest", []) is None
    assert pose(known_runs(60), "metrics.acc", ["config.width"], "forest", []) is None
    assert pose(known_runs(60), "config.optimizer", ["config.lr"], "forest", []) is None
