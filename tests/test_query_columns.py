"""Columns that a viewer keeps: right after each write, as MongoDB would answer, and for those alone who may see."""

from __future__ import annotations

import random
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from bson import ObjectId
from cloister.observer.access.principal import LOCAL, Principal
from cloister.observer.kept_columns import kept_columns_of
from cloister.observer.kept_columns.answers import KeptColumns
from cloister.observer.kept_columns.table import NotKept
from cloister.observer.run_order import BadCursor
from cloister.observer.run_query import BadRunQuery, RunQuery
from cloister.observer.run_record import new_run_document
from cloister.observer.runs import RunStore
from pymongo import MongoClient
from pymongo.database import Database

START = datetime(2026, 3, 2, tzinfo=timezone.utc)
SORTS: tuple[str | tuple[str, ...], ...] = (
    *("-started", "started", "-id", "id", "name", "-metrics.val/acc", "metrics.val/acc", "-duration", "status", "tags"),
    *("-tags", "config.lr", "-config.lr", "best(metrics.val/acc)", "project", "-ended", "metrics.nobody", "host"),
    *(("project", "-metrics.val/acc"), ("-config.kind", "config.lr", "-name"), ("config.kind", "-started")),
)


def a_run(number: int, chance: random.Random) -> dict[str, Any]:
    config: dict[str, Any] = {"kind": chance.choice(["a", "b", "B", None])}
    if chance.random() < 0.8:
        config["lr"] = chance.choice([1, 2, 0.5, "text", [3, 1], [], True, None, 2**62, float("nan"), float("inf")])
    header = {
        "experiment": "train",
        "project": f"project-{number % 3}",
        "name": chance.choice(["x", "y", f"run {number}"]),
        "uid": f"uid-{number}",
        "start_time": START + timedelta(minutes=chance.randrange(40)),
        "config": config,
        "owner": chance.choice(["ana", "ben", ""]),
        "tags": chance.sample(["one", "two", "three"], chance.randrange(3)),
        "visibility": chance.choice(["private", "", "site"]),
    }
    document = new_run_document(header, number)
    document["status"] = chance.choice(["COMPLETED", "FAILED", "RUNNING"])
    ended = START + timedelta(hours=chance.randrange(2, 9))
    document["stop_time"] = None if document["status"] == "RUNNING" else ended
    if chance.random() < 0.7:
        value = chance.choice([0.1, 0.2, 0.9, float("nan")])
        document["cloister"]["summary"]["val/acc"] = {"last": value, "min": 0.0, "max": value, "count": 1}
    return document


@pytest.fixture
def kept(database: Database[dict[str, Any]]) -> KeptColumns:
    chance = random.Random(3)
    database["runs"].insert_many([a_run(number, chance) for number in range(1, 90)])
    columns = KeptColumns(database, least_runs=0)
    columns.prepare()
    return columns


def through(columns: KeptColumns, principal: Principal = LOCAL) -> RunStore:
    """A store that answers from these columns."""
    store = RunStore(columns._database).seen_by(principal)
    store.columns = columns
    return store


def ids(store: RunStore, query: RunQuery) -> list[Any]:
    return [run.id for run in store.list_runs(query).runs]


def test_lists_pages_and_cursors_are_those_of_mongodb(kept: KeptColumns, database: Database[dict[str, Any]]) -> None:
    plain, fast = RunStore(database), through(kept)
    for sort in SORTS:
        whole = [run.id for run in plain.find_runs(RunQuery(sort=sort))]
        assert len(whole) == 89
        for store in (plain, fast):
            pages: list[Any] = []
            after = None
            while True:
                page = store.list_runs(RunQuery(sort=sort, page_size=31, after=after))
                assert page.total == 89
                pages += [run.id for run in page.runs]
                after = page.next
                if after is None:
                    break
            assert pages == whole, (sort, store is fast)
        second = [store.list_runs(RunQuery(sort=sort, page_size=7, page=2)) for store in (plain, fast)]
        assert [run.id for run in second[1].runs] == [run.id for run in second[0].runs] == whole[7:14], sort
        assert second[0].next == second[1].next


def test_a_page_goes_on_where_the_last_one_ended_although_its_run_is_gone(
    kept: KeptColumns, database: Database[dict[str, Any]]
) -> None:
    fast = through(kept)
    query = RunQuery(sort=("config.kind", "-metrics.val/acc"), page_size=20)
    whole = ids(fast, RunQuery(sort=query.sort, page_size=100))
    first = fast.list_runs(query)
    database["runs"].delete_one({"_id": whole[19]})
    assert ids(fast, RunQuery(sort=query.sort, page_size=20, after=first.next)) == whole[20:40]
    for nonsense in ("", "x", "AAAA", first.next[:-4] if first.next else "", "A" * 5000):
        with pytest.raises(BadCursor):
            fast.list_runs(RunQuery(after=nonsense))


def test_what_is_written_is_in_the_next_answer(kept: KeptColumns, database: Database[dict[str, Any]]) -> None:
    fast, runs = through(kept), database["runs"]
    query = RunQuery(where="metrics.val/acc > 5 or config.fresh exists or tags has brand-new", sort="id", page_size=500)
    assert ids(fast, query) == []
    runs.update_one({"_id": 3}, {"$set": {"cloister.summary.val/acc.last": 6.0}})
    assert ids(fast, query) == [3]
    runs.update_one({"_id": 4}, {"$set": {"config.fresh": "text"}})
    runs.update_many({"_id": {"$in": [5, 6]}}, {"$set": {"cloister.tags": ["brand-new"]}, "$unset": {"omniboard": ""}})
    assert ids(fast, query) == [3, 4, 5, 6]
    runs.update_one({"_id": 3}, {"$unset": {"cloister.summary.val/acc": ""}})
    runs.delete_one({"_id": 4})
    chance = random.Random(5)
    runs.insert_many([{**a_run(number, chance), "config": {"fresh": number}} for number in range(200, 600)])
    assert ids(fast, query) == [5, 6, *range(200, 600)]
    assert [run.config["fresh"] for run in fast.list_runs(RunQuery(sort="-config.fresh", page_size=3)).runs] == [
        *(599, 598, 597)
    ]
    runs.update_one({"_id": 300}, {"$set": {"cloister.archived_at": START}})
    assert fast.list_runs(RunQuery(archived="only")).total == 1
    assert fast.list_runs(RunQuery(project="project-0")).total == runs.count_documents(
        {"cloister.project": "project-0", "cloister.archived_at": None}
    )
    runs.drop()
    runs.insert_one(a_run(7, chance))
    kept.prepare()
    assert ids(fast, RunQuery()) == [7]


def test_each_person_finds_counts_and_groups_what_they_see(mongod: str) -> None:
    with MongoClient[dict[str, Any]](mongod, tz_aware=True) as client:
        database = client["test_query_seen"]
        try:
            chance = random.Random(1)
            for number, owner in enumerate(["ana", "ben", "mallory", ""] * 6):
                document = a_run(number, chance)
                document["cloister"] |= {"owner": owner, "project": chance.choice(["digits", "secret", "open"])}
                if chance.random() < 0.4:
                    document["cloister"]["shared_with"] = {"people": ["cleo"], "groups": ["team"]}
                database["runs"].insert_one(document)
            columns = KeptColumns(database, least_runs=0)
            columns.prepare()
            people = [
                LOCAL,
                Principal("ana", "person", roles={"digits": "viewer"}),
                Principal("cleo", "person", groups=frozenset({"team"}), defaults={"open": "site", "digits": "private"}),
                Principal("root", "person", site=frozenset({"admin"})),
                Principal("root", "token", site=frozenset({"admin"}), projects=frozenset({"secret"})),
                Principal("ben", "person", roles={"*": "viewer"}, limited_to=Principal("ana", "person")),
                Principal("", "nobody"),
            ]
            counts = []
            for person in people:
                plain, fast = RunStore(database).seen_by(person), through(columns, person)
                for query in (
                    RunQuery(),
                    RunQuery(project="digits", sort="-metrics.val/acc"),
                    RunQuery(where="config.lr exists"),
                ):
                    assert ids(fast, query) == ids(plain, query)
                    assert fast.list_runs(query).total == plain.list_runs(query).total
                    assert fast.group_runs(query, ("owner",)) == plain.group_runs(query, ("owner",))
                assert fast.list_projects() == plain.list_projects()
                counts.append(fast.list_runs(RunQuery()).total)
            assert len(set(counts)) >= 5, "these people see different runs"
            assert counts[-1] == 0
            share = Principal("", "share", run_id=3)
            assert columns.find_page(RunQuery(), share) is None
            assert ids(through(columns, share), RunQuery()) == [3]
        finally:
            client.drop_database("test_query_seen")


def test_groups_are_those_of_mongodb(kept: KeptColumns, database: Database[dict[str, Any]]) -> None:
    plain, fast = RunStore(database), through(kept)
    shown = ("metrics.val/acc", "duration", "config.lr", "max(metrics.val/acc)", "name")
    for by in (("project",), ("status", "config.kind"), ("config.lr", "owner", "tags"), ("metrics.val/acc",)):
        slow = plain.group_runs(RunQuery(), by, shown[:1] + shown[2:])
        quick = fast.group_runs(RunQuery(), by, shown[:1] + shown[2:])
        assert quick.total == slow.total
        as_dict = {str(group.keys): group for group in slow.groups}
        for group in quick.groups:
            same = as_dict[str(group.keys)]
            assert group.run_count == same.run_count
            for key, stats in group.columns.items():
                expected = same.columns[key]
                assert stats.count == expected.count
                for name in ("mean", "std", "min", "max"):
                    assert getattr(stats, name) == pytest.approx(getattr(expected, name))
    [group] = fast.group_runs(RunQuery(where="id = 1"), ("project",), ("duration",)).groups
    assert group.columns["duration"].count == 1
    assert fast.group_runs(RunQuery(where="id = 1000"), ("project",)).groups == ()
    for bad in ((), ("a", "b", "c", "d"), ("nothing",)):
        with pytest.raises(BadRunQuery):
            fast.group_runs(RunQuery(), bad)
    with pytest.raises(BadRunQuery, match="31 columns are too many"):
        fast.group_runs(RunQuery(), ("project",), ("name",) * 31)


def test_columns_take_no_more_room_than_they_may(kept: KeptColumns) -> None:
    fast = through(kept)
    fast.list_runs(RunQuery(sort="name"))
    kept.table._limit = sum(column.size_bytes for column in kept.table.columns.values()) + 1_000
    for number in range(8):
        fast.list_runs(RunQuery(sort=(f"config.key{number}", "name")))
    assert sum(column.size_bytes for column in kept.table.columns.values()) <= kept.table._limit
    assert {"name", "config.key7"} <= set(kept.table.columns), "what was just asked for stays"
    assert "config.key0" not in kept.table.columns


@pytest.mark.parametrize(
    "other", [{"_id": 1000}, {**a_run(1, random.Random(1)), "_id": ObjectId()}], ids=["sacred", "id"]
)
def test_mongodb_answers_where_others_have_recorded_too(
    kept: KeptColumns, database: Database[dict[str, Any]], other: dict[str, Any]
) -> None:
    other["cloister"] = {**other.get("cloister", {}), **({"uid": "another"} if "cloister" in other else {})} or None
    database["runs"].insert_one({key: value for key, value in other.items() if value is not None})
    assert kept.find_page(RunQuery(), LOCAL) is None
    assert through(kept).list_runs(RunQuery(page_size=100)).total == 90
    assert kept.table.is_refused()
    with pytest.raises(NotKept):
        kept.prepare()
    assert not kept.table.columns, "nothing is read again and again to no use"


def test_a_server_without_change_streams_answers_itself(database: Database[dict[str, Any]]) -> None:
    database["runs"].insert_one(a_run(1, random.Random(1)))
    store = RunStore(database).keeping_columns()
    assert store.columns is kept_columns_of(RunStore(database).seen_by(Principal("ana", "person")).database)
    assert store.columns is not None
    assert store.columns.find_page(RunQuery(), LOCAL) is None, "so few runs MongoDB reads as fast"
    store.columns.table._refused_until = float("inf")  # what `changes.py` says of such a server
    store.columns.least_runs = 0
    with pytest.raises(NotKept):
        store.columns.table.holding([])
    assert store.list_runs(RunQuery()).total == 1


@pytest.fixture
def searched(database: Database[dict[str, Any]]) -> RunStore:
    """Runs of two projects with keys of their own."""
    chance = random.Random(2)
    for number in range(1, 9):
        document = a_run(number, chance)
        document["cloister"].pop("visibility", None)
        document["cloister"]["project"] = "left" if number % 2 else "right"
        document["config"] = (
            {"model": {"depth": number}, "a.b": 1} if number % 2 else {"model": {"depth": 2, "kind": "x"}}
        )
        document["cloister"]["summary"]["rare/one" if number == 8 else "usual"] = {"last": 1.0}
        database["runs"].insert_one(document)
    return RunStore(database)


def test_fields_are_found_by_a_part_of_their_key(searched: RunStore) -> None:
    keys = [info.key for info in searched.find_fields(None, "model")]
    assert keys == ["config.model.depth", "config.model.kind"]
    assert [info.key for info in searched.find_fields("left", "model")] == ["config.model.depth"]
    assert [info.key for info in searched.find_fields(None, "RARE")] == ["metrics.rare/one"]
    depth = searched.find_fields(None, "depth")[0]
    assert (depth.kind, depth.title, depth.run_count, depth.types) == ("config", "model.depth", 8, ("number",))
    assert [info.key for info in searched.find_fields(None, limit=3)] == ["id", "name", "project"]
    hidden = searched.seen_by(Principal("zoe", "person", roles={"left": "viewer"}))
    assert hidden.find_fields(None, "rare") == ()


def test_fields_of_old_runs_are_found_by_those_who_may_see_one(
    searched: RunStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cloister.observer.field_catalogue.SEARCHED_RUNS", 2)  # the newest
    runs = searched.database["runs"]
    runs.update_one(
        {"_id": 1}, {"$set": {"config.old.deep%2Eer": 1, "config.empty": {}, "cloister.visibility": "private"}}
    )
    runs.update_one({"_id": 2}, {"$set": {"config.old.known": 1, "start_time": START - timedelta(days=9)}})
    columns = KeptColumns(searched.database, least_runs=0)
    columns._preparing.acquire()
    columns._prepare_what_most_have()
    fast = through(columns)
    assert [info.key for info in fast.find_fields(None, "old")] == ["config.old.deep%2Eer", "config.old.known"]
    assert fast.find_fields(None, "empty")[0].run_count == 1
    assert fast.find_fields(None, "model.depth")[0].run_count == 8
    assert fast.find_fields("left", "old.known") == ()
    somebody = through(columns, Principal("zoe", "person", roles={"*": "viewer"}))
    assert [info.key for info in somebody.find_fields(None, "old")] == ["config.old.known"]
    elsewhere = through(columns, Principal("zoe", "person", roles={"left": "viewer"}))
    assert elsewhere.find_fields(None, "old") == ()
    assert "config.model.depth" in columns.table.columns, "what is widespread is kept already"


def test_fields_in_which_runs_differ_are_named(searched: RunStore) -> None:
    assert searched.differing_fields([1, 3]) == ("config.model.depth", *differing_facts(searched, 1, 3))
    assert searched.differing_fields([1]) == ()
    assert set(searched.differing_fields([1, 2])) >= {"config.model.depth", "config.a%2Eb", "config.model.kind"}


def differing_facts(store: RunStore, one: int, other: int) -> tuple[str, ...]:
    return ("owner",) if store.load_run(one).owner != store.load_run(other).owner else ()
