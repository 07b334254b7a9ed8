"""What Sacred's users may write: where arguments point, what a filter makes of the output, keys and values."""

from __future__ import annotations

import logging
from typing import Any

import pymongo
import pytest
from cloister import MongoObserver, QueuedMongoObserver
from cloister.decorators.sacred.captured_output import CapturedOutput
from cloister.decorators.sacred.sacred_encoding import stored_name, to_stored
from cloister.decorators.sacred.target import NoCollection, ReservedCollection, Target, target_of_arguments
from cloister.observer.field_names import decode_field_name
from cloister.observer.lent_client import LentClient
from cloister.observer.mongo import destination
from cloister.observer.run_collections import Collections


def target(url: Any = None, db_name: str | None = None, **options: Any) -> Target:
    return target_of_arguments(url, db_name, "runs", "", None, options)


@pytest.mark.parametrize(
    ("arguments", "uri"),
    [
        ({"url": "localhost:28017"}, "mongodb://localhost:28017/sacred"),
        ({"url": "mongodb://db/other"}, "mongodb://db/sacred"),
        ({"url": "db", "port": 28017, "db_name": "lab"}, "mongodb://db:28017/lab"),
        ({"db_name": "lab"}, "mongodb://localhost:27017/lab"),
        ({"url": ["one:1", "two:2"], "replicaSet": "rs"}, "mongodb://one:1,two:2/sacred?replicaSet=rs"),
        ({"url": "db", "username": "a@b", "password": "p/q"}, "mongodb://a%40b:p%2Fq@db/sacred?authSource=admin"),
        ({"url": "mongodb://u:p@db/users"}, "mongodb://u:p@db/sacred?authSource=users"),
        ({"url": "mongodb://u:p@db/?authSource=x"}, "mongodb://u:p@db/sacred?authSource=x"),
        ({"url": "db", "tls": True, "tlsCAFile": "a b"}, "mongodb://db/sacred?tls=true&tlsCAFile=a+b"),
        ({}, None),
    ],
)
def test_arguments_of_sacreds_constructor_point_where_they_did(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any, arguments: dict[str, Any], uri: str | None
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a b").touch()  # the driver looks whether it can be read
    found = target(**arguments)
    assert (found.settings.uri, found.lent) == (uri, None)


def test_the_settings_decide_where_no_url_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLOISTER_URI", "mongodb://u:p@db:27018/kept?tls=true")
    assert target().settings.uri == "mongodb://u:p@db:27018/kept?tls=true"
    assert target(db_name="lab").settings.uri == "mongodb://u:p@db:27018/lab?tls=true&authSource=kept"
    assert target("elsewhere").settings.uri == "mongodb://elsewhere/sacred"


def test_a_client_is_lent_and_its_password_is_in_no_folder_name_and_no_message() -> None:
    client: pymongo.MongoClient[Any] = pymongo.MongoClient("mongodb://user:secret@nowhere:27018/", connect=False)
    observer = MongoObserver(client=client, db_name="lab", collection_prefix="pre")

    assert observer._target.settings.uri == "mongodb://nowhere:27018/lab"
    assert "secret" not in f"{observer!r}"
    by_uri = target("mongodb://other:word@nowhere:27018/", "lab")
    assert destination(observer._target.settings) == destination(by_uri.settings)
    assert observer.runs == client["lab"]["pre_runs"]
    assert observer.metrics == client["lab"]["pre_metrics"]
    assert observer.fs is observer.fs
    client.close()


def test_options_that_no_uri_can_hold_make_a_client_of_their_own() -> None:
    found = target("nowhere:27018", document_class=dict, connect=False)
    assert isinstance(found.lent, LentClient)
    assert found.settings.uri == "mongodb://nowhere:27018/sacred"
    found.lent.client.close()


def test_what_sacred_refuses_is_refused_as_sacred_does() -> None:
    client: pymongo.MongoClient[Any] = pymongo.MongoClient("mongodb://nowhere", connect=False)
    with pytest.raises(ValueError, match="needs to be a pymongo"):
        MongoObserver(client="localhost")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="Cannot pass both a client and a url"):
        MongoObserver("localhost", client=client)
    deprecated = pytest.warns(DeprecationWarning, match="collection_prefix")
    with deprecated, pytest.raises(ValueError, match="both collection and a collection prefix"):
        MongoObserver(client=client, collection="mine", collection_prefix="lab")
    deprecated = pytest.warns(DeprecationWarning, match="collection_prefix")
    with deprecated, pytest.raises(KeyError, match="reserved") as refused:
        MongoObserver(client=client, collection="fs.files")
    assert isinstance(refused.value, ReservedCollection)
    with pytest.raises(NoCollection, match="create_from needs a collection"):
        MongoObserver.create_from({}, None)
    client.close()


def test_deprecated_and_queued_constructors_give_the_same_observer() -> None:
    client: pymongo.MongoClient[Any] = pymongo.MongoClient("mongodb://nowhere", connect=False)
    with pytest.warns(DeprecationWarning, match="Please use MongoObserver"):
        created = MongoObserver.create(client=client, priority=7, failure_dir="/kept")
    queued = QueuedMongoObserver(1.0, 2.0, None, "sacred", client=client, collection_prefix="")

    assert created == queued
    assert created != MongoObserver(client=client, db_name="other")
    assert created != "foo"
    assert (created.priority, created.failure_dir, created.run_entry, created.overwrite) == (7, "/kept", None, None)
    assert created.VERSION == "MongoObserver-0.7.0"
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        created.nothing  # noqa: B018
    client.close()


def test_collections_of_any_names_may_be_handed_over(database: Any) -> None:
    for runs, metrics, expected in (
        ("runs", "metrics", Collections()),
        ("lab_runs", "lab_metrics", Collections(prefix="lab")),
        ("mine", "metrics", Collections(runs="mine")),
        ("mine", "own", Collections(runs="mine", metrics="own")),
    ):
        observer = MongoObserver.create_from(database[runs], None, metrics_collection=database[metrics])
        assert observer._target.collections == expected


def recorded_of(*texts: str) -> tuple[str, list[str]]:
    recorded: list[str] = []
    replaced: list[str] = []
    output = CapturedOutput(recorded.append, replaced.append)
    for text in texts:
        output.take(text)
    return "".join(recorded), replaced


def test_only_what_is_new_of_the_output_is_recorded() -> None:
    assert recorded_of("a\nb", "a\nb", "a\nbc\n", "a\nbc\nd") == ("a\nbc\nd", [])
    long = "0123456789" * 100_000
    assert recorded_of(long, long + "end") == (long + "end", [])


def test_a_last_line_that_a_filter_rewrites_follows_behind_a_carriage_return() -> None:
    assert recorded_of("a\n10 %", "a\n20 %", "a\ndone\n") == ("a\n10 %\r20 %\rdone\n", [])


def test_earlier_lines_that_a_filter_rewrites_are_recorded_again_and_shown_as_it_wants() -> None:
    recorded, replaced = recorded_of("a\nb\nc\n", "a\nB\nc\n", "a\nB\nc\nd\n", "")
    assert recorded == "a\nb\nc\nB\nc\nd\n"
    assert replaced == ["a\nB\nc\n", "a\nB\nc\nd\n", ""]


@pytest.mark.parametrize("name", ["plain", "a.b", "$a", "", "top5%", "50%25", "a$b", "nul\0", "tab\t", "ä"])
def test_a_key_is_kept_as_it_is_where_it_can_be_and_comes_back_always(name: str) -> None:
    stored = stored_name(name)
    assert decode_field_name(stored) == name
    assert "." not in stored
    assert not stored.startswith("$")
    if name in ("plain", "top5%", "a$b", "ä"):
        assert stored == name


def test_what_cannot_be_stored_is_a_text_and_its_neighbours_stay(caplog: pytest.LogCaptureFixture) -> None:
    class Hostile:
        def __getattribute__(self, name: str) -> Any:
            raise RuntimeError(name)

    caplog.set_level(logging.DEBUG)
    stored = to_stored({"bad": Hostile(), "good": (1, 2), "far": 2**70, 3: {4}})
    assert stored["bad"].startswith("<")
    assert (stored["good"], stored["far"], stored["3"]) == ([1, 2], str(2**70), [4])
