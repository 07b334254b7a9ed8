"""The query language: what is understood, what is said of what is not, and that all who answer a query agree."""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from typing import Any

import cloister
import pytest
from cloister.observer.kept_columns.answers import KeptColumns
from cloister.observer.query import QueryError, UnknownField, find_field, parse_query
from cloister.observer.query.completion import Known, complete_query
from cloister.observer.query.conditions import All, AnyOf, Condition, Negated, Node
from cloister.observer.query.evaluation import value_test
from cloister.observer.query.parsing import DEPTH_LIMIT, QUERY_LIMIT
from cloister.observer.run_query import BadRunQuery, RunQuery
from cloister.observer.run_record import new_run_document
from cloister.observer.runs import RunStore
from cloister.viewer.app import create_app
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pymongo import MongoClient
from pymongo.database import Database

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=timezone.utc)
ISSUE = (
    'status = completed and config.lr < 1e-2 and metrics.val/acc > 0.9 and tags has "baseline" '
    'and started > -7d and "oom" in notes'
)
VALUES: list[Any] = [None, 1, 2, 3, -4, 0.5, 1e-3, 2**60, math.nan, math.inf, True, False, "adam", "Adam W", "3", ""]
VALUES += [[1, 2], [3, "adam"], [], {"x": 1}, "a.c", "(", 2.0]


def a_run(number: int, **ours: Any) -> dict[str, Any]:
    """A run whose values differ from those of the next one."""
    value = VALUES[number % len(VALUES)]
    config: dict[str, Any] = {"lr": value, "deep": {"er": VALUES[(number * 5 + 3) % len(VALUES)]}, "two words": number}
    if value is None:
        del config["lr"]
    header = {
        "experiment": "train",
        "project": f"project-{number % 3}",
        "name": f"run-{number}",
        "uid": f"uid-{number}",
        "start_time": NOW - timedelta(hours=number * 7),
        "config": config,
        "owner": ("ana", "ben", "")[number % 3],
        "tags": (["baseline"], ["base", "old"], [])[number % 3],
        "notes": ("went oom at step 3", "", "fine")[number % 3],
    }
    document = new_run_document(header, number)
    status = ("COMPLETED", "FAILED", "RUNNING", "INTERRUPTED", "QUEUED", "TIMEOUT")[number % 6]
    document |= {"status": status, "stop_time": None if status == "RUNNING" else NOW - timedelta(hours=number * 6)}
    document["heartbeat"] = NOW if number % 12 == 2 else document["start_time"]
    summary = {"last": VALUES[number % len(VALUES)], "min": -1.0 * number, "max": 1.0 * number, "count": number}
    if isinstance(summary["last"], (int, float)):
        document["cloister"]["summary"] = {"val/acc": summary}
    document["cloister"] |= ours
    return document


@pytest.fixture(scope="module")
def stored(mongod: str) -> Iterator[Database[dict[str, Any]]]:
    """46 runs with values of every kind."""
    with MongoClient[dict[str, Any]](mongod, tz_aware=True) as client:
        database = client["test_query"]
        database["runs"].insert_many([a_run(number) for number in range(1, 47)])
        yield database
        client.drop_database("test_query")


@pytest.fixture(scope="module")
def columns(stored: Database[dict[str, Any]]) -> KeptColumns:
    kept = KeptColumns(stored, least_runs=0)
    kept.prepare()
    return kept


def found(stored: Database[dict[str, Any]], where: str) -> list[int]:
    return [run.id for run in RunStore(stored).find_runs(RunQuery(where=where, sort="id"))]


CONDITIONS = (
    *("config.lr = 2", "config.lr != 2", "config.lr < 1e-2", "config.lr >= 2", "config.lr = adam", "config.lr = true"),
    *("config.lr in (1, 2, adam)", "config.lr not in (3)", "config.lr exists", "not config.lr exists"),
    *("config.lr = null", "config.lr = nan", "config.lr < inf", 'config.lr = "3"', 'config.lr = ""', "config.lr > a"),
    *("config.lr contains AD", "config.lr has 3", "config.lr has adam", 'config.lr contains "("', "config.lr = 2.0"),
    *("config.lr = 1152921504606846976", "config.deep.er > 0", "config.deep.er exists", 'config."two words" <= 9'),
    *(
        "metrics.val/acc > 0.9",
        "best(metrics.val/acc) >= 20",
        "min(metrics.val/acc) < -30",
        "count(metrics.val/acc) = 7",
    ),
    *("metrics.val/acc = nan", "metrics.none exists", "tags has baseline", 'tags contains "ASE"', '"old" in tags'),
    *("base in tags", "tags exists", "not tags has base", "tags in (old, baseline)", "notes exists", '"OOM" in notes'),
    *('"oom" not in notes', "notes = fine", "owner = ana", "owner = me", 'owner = ""', "owner in (ana, ben)"),
    *("project = project-1", "name = run-7", "name contains UN-4", "status = completed", "status in (running, lost)"),
    *("status = interrupted", "status = TIMEOUT", "status = queued", "status != failed", "started > -7d"),
    *("started >= 2026-11-15", "started = 2026-11-15", "started < 2026-11-15T03:00Z", "started <= 2026-11-15"),
    *("started > 2026-11-15", "started = yesterday", "ended exists", "duration > 1h30m", "duration <= 7200"),
    *("id = 7", "id in (7, 8, 9)", "id > 40", 'id = "7"', "archived = false", '"run-1"', '"baseline 3"', '"val"'),
)
Text = st.sampled_from(CONDITIONS)
Texts = st.recursive(
    Text,
    lambda parts: st.one_of(
        st.tuples(parts, st.sampled_from(("and", "or")), parts).map(lambda it: f"({it[0]}) {it[1]} ({it[2]})"),
        parts.map(lambda part: f"not ({part})"),
    ),
    max_leaves=5,
)


def test_every_condition_is_answered_alike_by_mongodb_and_by_columns(
    stored: Database[dict[str, Any]], columns: KeptColumns
) -> None:
    store = RunStore(stored)
    answers = {}
    for where in CONDITIONS:
        query = RunQuery(where=where, sort="id", page_size=100, me=("ben",))
        page = columns.find_page(query, store.principal)
        assert page is not None
        answers[where] = list(page.ids)
        assert answers[where] == [run.id for run in store.find_runs(query)], where
    # None of them is true of nothing or of all but those that are so by their nature.
    assert {where for where, ids in answers.items() if not ids} == {"metrics.none exists", 'id = "7"', '"val"'}
    assert {where for where, ids in answers.items() if len(ids) == 46} == {"archived = false"}
    assert answers["config.lr = 2"] == answers["config.lr = 2.0"] == [2, 16, 22, 25, 39, 45]
    assert answers["owner = me"] == [number for number in range(1, 47) if number % 3 == 1]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(where=Texts)
def test_mongodb_and_plain_python_agree_on_every_query(
    stored: Database[dict[str, Any]], columns: KeptColumns, where: str
) -> None:
    query = RunQuery(where=where, sort="id", page_size=100, me=("ben",))
    in_mongodb = [document["_id"] for document in stored["runs"].find(query.filter(NOW), {"_id": 1}).sort("_id", 1)]
    page = columns.find_page(query, RunStore(stored).principal)
    now = datetime.now(timezone.utc)
    assert page is not None
    assert list(page.ids) == [run["_id"] for run in stored["runs"].find(query.filter(now), {"_id": 1}).sort("_id", 1)]
    node = parse_query(where).node
    if node is not None and all(is_plain(part) for part in parts_of(node)):
        documents = stored["runs"].find().sort("_id", 1)
        assert [document["_id"] for document in documents if is_met(node, document)] == in_mongodb


def parts_of(node: Node) -> list[Node]:
    if isinstance(node, Negated):
        return parts_of(node.part)
    return [each for part in node.parts for each in parts_of(part)] if isinstance(node, (All, AnyOf)) else [node]


def is_plain(node: Node) -> bool:
    """Whether a condition is about one value of a document."""
    return (
        isinstance(node, Condition)
        and node.field.kind not in ("status", "duration", "id")
        and len(node.field.paths) < 2
    )


def is_met(node: Node, document: dict[str, Any]) -> bool:
    if isinstance(node, All):
        return all(is_met(part, document) for part in node.parts)
    if isinstance(node, AnyOf):
        return any(is_met(part, document) for part in node.parts)
    if isinstance(node, Negated):
        return not is_met(node.part, document)
    assert isinstance(node, Condition)
    value: Any = document
    for part in node.field.paths[0].split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value_test(node, NOW, ("ben",))(value)


def test_the_query_of_the_issue_is_understood_and_written_from_allowed_operators_alone() -> None:
    query = parse_query(ISSUE)
    assert [field.key for field in query.fields()] == [
        *("status", "config.lr", "metrics.val/acc", "tags", "started", "notes")
    ]
    allowed = {"$and", "$or", "$nor", "$eq", "$lt", "$gt", "$in", "$regex", "$options"}
    assert set(operators(query.to_filter(NOW))) <= allowed


def operators(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, each in value.items():
            if key.startswith("$"):
                yield key
            yield from operators(each)
    elif isinstance(value, list):
        for each in value:
            yield from operators(each)


@pytest.mark.parametrize(
    ("text", "column", "length", "message"),
    [
        ("stauts = x", 0, 6, "There is no field 'stauts'. Did you mean status?"),
        ("acc > 1", 0, 3, "Did you mean metrics.val/acc?"),
        ("metric.acc > 1", 0, 10, "Did you mean metrics.acc?"),
        ("config > 1", 0, 6, "config is a group of fields; say which one."),
        ("status = complted", 9, 8, "No run has the status 'complted'. Did you mean completed?"),
        ("metrics.a > x", 12, 1, "metrics.a is a number, and 'x' is none."),
        ("best(metrics.foo) > 1", 0, 16, "max(metrics.foo) or min(metrics.foo)"),
        ("best(config.x) = 1", 0, 13, "best() takes a metric"),
        ("name = x and started > soon", 23, 4, "started is a time, and 'soon' is none."),
        ("duration > long", 11, 4, "duration is a span of time"),
        ("archived = maybe", 11, 5, "archived is true or false"),
        ("tags < 3", 5, 1, "tags has no order."),
        ("config.x < null", 11, 4, "Nothing is less or more than that."),
        ("config.x < nan", 11, 3, "Nothing is less or more than that."),
        ("metrics.a contains 3", 0, 9, "metrics.a is no text."),
        ("config.x has null", 13, 4, "null is none"),
        ("best(x) in tags", 0, 4, "A text in quotes stands before in."),
        ("status =", 8, 0, "The query ends here, where a value is missing."),
        ("status completed", 7, 9, "'completed' stands here, where =, <, >"),
        ("mnist", 0, 5, "'mnist' alone is no condition. Did you mean \"mnist\"?"),
        ("(status = failed", 16, 0, "The query ends here, where ) is missing."),
        ("status = failed name = x", 16, 4, "where and, or is missing."),
        ("name = x)", 8, 1, "')' stands here"),
        ("id in", 5, 0, "a field, or a list in brackets, is missing"),
        ("id in (1, 2", 11, 0, "where ) is missing."),
        ("and", 0, 3, "alone is no condition"),
        ('name = "x', 7, 2, "A quote begins here and does not end."),
        ("config.lr ! 3", 10, 1, "Did you mean !=?"),
        ("name = a, b", 8, 1, "',' stands here"),
        ("x" * (QUERY_LIMIT + 1), QUERY_LIMIT, 0, "at most 4,000 characters"),
        ("name = \x00", 0, 0, "no NUL"),
        ("(" * 400 + "id = 1" + ")" * 400, DEPTH_LIMIT, 1, "too deep"),
        ("config.$where = 1", 0, 13, "is no key of a config entry"),
        ("config. = 1", 0, 7, "config is a group of fields"),
    ],
)
def test_what_is_not_understood_is_said_at_its_column(text: str, column: int, length: int, message: str) -> None:
    with pytest.raises(QueryError) as raised:
        parse_query(text, known=["metrics.val/acc"])
    assert message in str(raised.value)
    assert (raised.value.column, raised.value.length) == (column, length)
    with pytest.raises(BadRunQuery):
        RunQuery(where=text)


@given(st.text(max_size=60) | st.lists(st.sampled_from(ISSUE.split() + list("()!='\"")), max_size=12).map(" ".join))
def test_no_text_makes_the_parser_fail_otherwise(text: str) -> None:
    try:
        parse_query(text).to_filter(NOW)
    except QueryError as error:
        is_within = 0 <= error.column <= len(text)
        assert is_within, text  # most texts are no query: raising is no must


@pytest.mark.parametrize(
    ("key", "canonical", "path"),
    [
        ("config.lr", "config.lr", "config.lr"),
        ("config.a%2Eb.c", "config.a%2Eb.c", "config.a%2Eb.c"),
        ('config."a.b".c', "config.a%2Eb.c", "config.a%2Eb.c"),
        ("config.two words", 'config."two words"', "config.two words"),
        ("metrics.val/acc", "metrics.val/acc", "cloister.summary.val/acc.last"),
        ("metrics.val.acc", "metrics.val.acc", "cloister.summary.val%2Eacc.last"),
        ("metrics.a b", 'metrics."a b"', "cloister.summary.a b.last"),
        ('metrics."say \\"x\\""', 'metrics."say \\"x\\""', 'cloister.summary.say "x".last'),
        ("metrics.system/gpu.0", "metrics.system/gpu.0", "cloister.system.gpu%2E0.last"),
        ("last(metrics.loss)", "metrics.loss", "cloister.summary.loss.last"),
        ("best(metrics.loss)", "best(metrics.loss)", "cloister.summary.loss.min"),
        ("git.commit", "git.commit", "cloister.git.commit"),
        ("env.python", "env.python", "cloister.environment.python"),
    ],
)
def test_a_key_has_one_spelling_and_one_place(key: str, canonical: str, path: str) -> None:
    field = find_field(key)
    assert (field.key, field.paths) == (canonical, (path,))
    assert find_field(field.key) == field
    bare = parse_query(f"{field.key} exists").fields()
    assert bare == (field,)


def test_an_unknown_key_is_refused_with_what_is_near() -> None:
    with pytest.raises(UnknownField, match="Did you mean duration"):
        find_field("durations")
    with pytest.raises(UnknownField, match="at most 1,000 characters"):
        find_field("config." + "x" * 2000)


def test_scripts_ask_in_the_same_language(
    mongod: str, stored: Database[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = mongod.replace("/?", "/test_query?")
    runs = cloister.runs("owner = ana and config.lr exists", sort=("project", "-id"), limit=3, uri=uri)
    assert [run.id for run in runs] == [45, 42, 39]
    monkeypatch.setenv("LOGNAME", "ben")
    assert [run.id for run in cloister.runs("owner = me", sort="-id", limit=2, uri=uri)] == [46, 43]
    with pytest.raises(QueryError, match=r"Did you mean completed\? \(column 10\)"):
        cloister.runs("status = complete", uri=uri)


FIELDS = ("status", "started", "notes", "metrics.val/acc", "config.lr", 'config."two words"')
COMPLETIONS = {
    "": ["status", "started", "notes", "metrics.val/acc", "config.lr", 'config."two words"'],
    "sta": ["status", "started"],
    "acc": ["metrics.val/acc"],
    "status ": ["=", "!=", "in", "not in"],
    "status = com": ["completed"],
    "status in (failed, q": ["queued"],
    "status = failed ": ["and", "or"],
    "(status = failed ": ["and", "or", ")"],
    "config.lr = ": ["adam", '"two words"', "0.5", "3"],
    'config.lr = "tw': ['"two words"'],
    "best(": ["metrics.val/acc"],
    '"oom" in not': ["notes"],
    "owner = m": ["me", "adam"],
    "archived = ": ["true", "false"],
    "status = failed and no": ["notes", "not"],
    "be": ["best("],
    "id = 3 id ": [],
    'name = "': ["adam", '"two words"', "0.5", "3"],
}


def test_what_may_be_typed_next_is_offered() -> None:
    known = Known(
        find_fields=lambda text: [(key, "") for key in FIELDS if text in key],
        find_values=lambda field, text: ["adam", "two words", 0.5, 3.0],
    )
    offered = {text: [choice.text for choice in complete_query(text, len(text), known)] for text in COMPLETIONS}
    assert offered == COMPLETIONS
    [choice] = complete_query("name = x and accx", 16, known)
    assert (choice.text, choice.start, choice.length) == ("metrics.val/acc", 13, 3)


def test_queries_are_checked_completed_and_asked_by_rest(stored: Database[dict[str, Any]]) -> None:
    client = create_app(RunStore(stored)).test_client()

    def get(path: str, **asked: str) -> Any:
        answer = client.get(f"/api/v1/{path}", query_string=asked)
        assert answer.status_code == 200, answer.text
        return answer.json

    assert get("query/check", query="status = failed and config.lr > 1") == {
        "valid": True,
        "fields": ["status", "config.lr"],
        "error": None,
    }
    wrong = get("query/check", query="acc > 1")
    assert not wrong["valid"]
    error = {"message": "There is no field 'acc'.", "column": 0, "length": 3, "suggestion": "metrics.val/acc"}
    assert wrong["error"] == error
    offered = get("query/complete", query="owner = a and status = failed", column="9")["choices"]
    assert [choice["text"] for choice in offered] == ["ana"]
    assert (offered[0]["start"], offered[0]["length"]) == (8, 1)
    assert [choice["text"] for choice in get("query/complete", query="two")["choices"]] == ['config."two words"']
    listed = get("runs", query="owner = ana and id > 40", sort="id")
    assert [run["id"] for run in listed["runs"]] == found(stored, "owner = ana and id > 40") == [42, 45]
    refused = client.get("/api/v1/runs", query_string={"query": "status ="})
    assert refused.status_code == 400
    assert "(column 9)" in refused.json["detail"]
