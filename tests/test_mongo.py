"""Connecting: URIs resolved, refused, shown without their secrets; servers that do not answer or do not let us in."""

from __future__ import annotations

import socket
from pathlib import Path
from urllib.parse import quote

import pytest
from cloister.observer.embedded import EmbeddedServer, embedded_uri
from cloister.observer.mongo import (
    BadMongoUri,
    DatabaseUnreachable,
    LoginRefused,
    check,
    client_for,
    connect,
    database_name,
    destination,
    redact_uri,
    resolve_uri,
)
from cloister.observer.settings import Settings
from hypothesis import given
from hypothesis import strategies as st

SECRET = "hunter2swordfish"


class TestRedaction:
    @pytest.mark.parametrize(
        ("uri", "shown"),
        [
            ("mongodb://lab-db:27017/cloister", "mongodb://lab-db:27017/cloister"),
            ("mongodb://ana:pw@lab-db/x?tls=true", "mongodb://***@lab-db/x?tls=true"),
            ("mongodb+srv://ana:pw@cluster.example/", "mongodb+srv://***@cluster.example/"),
            ("mongodb://ana:pw@a:1,b:2/?replicaSet=rs", "mongodb://***@a:1,b:2/?replicaSet=rs"),
            ("mongodb://ana:pw@[::1]:27017/", "mongodb://***@[::1]:27017/"),
            ("mongodb://%2Ftmp%2Fmongodb.sock/", "mongodb://%2Ftmp%2Fmongodb.sock/"),
            (
                "mongodb://h/?tlsCertificateKeyFilePassword=pw&tls=true",
                "mongodb://h/?tlsCertificateKeyFilePassword=***&tls=true",
            ),
            ("mongodb://h/?authMechanismProperties=AWS_SESSION_TOKEN:pw", "mongodb://h/?authMechanismProperties=***"),
            ("mongodb://ana:pw", "mongodb://***"),
            ("ana:pw@lab-db", "***@lab-db"),
            ("", ""),
            (None, "None"),
            (b"mongodb://ana:pw@h", "***@h'"),
        ],
    )
    def test_a_uri_is_shown_without_user_password_and_secret_options(self, uri: object, shown: str) -> None:
        assert redact_uri(uri) == shown

    @given(
        before=st.text(max_size=8),
        after=st.text(max_size=8),
        template=st.sampled_from(
            [
                "mongodb://ana:{}@lab-db:27017/cloister",
                "mongodb+srv://{}:pw@lab-db",
                "mongodb:/ana:{}@lab-db",
                "ana:{}@lab-db",
                "http://ana:{}@lab-db?x=y",
                "mongodb://lab-db/?tlsCertificateKeyFilePassword={}",
            ]
        ),
    )
    def test_a_password_never_shows_however_malformed_it_is(self, before: str, after: str, template: str) -> None:
        password = before + SECRET + after
        if template.startswith("mongodb://lab-db/?"):
            password = quote(password, safe="")
        uri = template.format(password)
        assert SECRET not in redact_uri(uri)
        try:
            client_for(uri.replace("+srv", ""), timeout_ms=1).close()
        except BadMongoUri as refusal:
            message = str(refusal)
        else:
            message = ""  # it was a good URI
        assert SECRET not in message

    @given(st.text(max_size=700))
    def test_any_text_is_shown_on_one_line_of_bounded_length(self, text: str) -> None:
        shown = redact_uri(text)
        assert shown.isprintable()
        assert len(shown) < 520


class TestBadUris:
    @pytest.mark.parametrize(
        "uri",
        [
            "mongodb:/x",
            "http://lab-db:27017",
            "mongodb://",
            "mongodb://h:99999999",
            "mongodb://h:port/",
            "mongodb://ana:p@ss:w/rd@h/",
            "mongodb://h/?w=-1",
            "mongodb://h/?tls=yes",
            "mongodb://h/?tlss=true",
            "mongodb://ana:a%zz@h/",
            "nonsense",
            "",
            "\0",
            "mongodb://h/a b$c",
        ],
    )
    def test_a_uri_that_is_none_is_refused_with_an_example_of_one(self, uri: str) -> None:
        with pytest.raises(BadMongoUri, match=r"is not a MongoDB URI.*mongodb://user:password@host:27017/cloister"):
            connect(Settings(uri=uri)).close()

    @pytest.mark.parametrize("uri", ["lab-db:27017:sacred", "lab-db:27017"])
    def test_sacreds_short_form_is_answered_with_the_long_one(self, uri: str) -> None:
        with pytest.raises(BadMongoUri, match="host:27017:name is written mongodb://host:27017/name"):
            connect(Settings(uri=uri)).close()

    def test_the_refusal_of_a_uri_does_not_repeat_its_password(self) -> None:
        with pytest.raises(BadMongoUri) as caught:
            connect(Settings(uri=f"mongodb://ana:{SECRET}/x@lab-db/"))
        assert SECRET not in str(caught.value)
        assert "need %-escapes" in str(caught.value)
        assert caught.value.__suppress_context__


class TestConnecting:
    def test_a_client_gives_aware_times_and_answers(self, mongod: str) -> None:
        with connect(Settings(uri=mongod)) as client:
            check(client)
            assert client.codec_options.tz_aware
            assert client.options.server_selection_timeout == 2.0
            assert client.options.pool_options.appname == "cloister"

    def test_the_time_outs_of_the_uri_win(self) -> None:
        with client_for("mongodb://127.0.0.1:1/?serverselectiontimeoutms=70&appName=lab", timeout_ms=5000) as client:
            assert client.options.server_selection_timeout == 0.07
            assert client.options.pool_options.appname == "lab"

    def test_no_uri_means_the_embedded_database_and_a_uri_is_taken_as_it_is(self, tmp_path: Path) -> None:
        assert resolve_uri(Settings(uri="mongodb://h")) == "mongodb://h"

        settings = Settings(home=tmp_path)
        try:
            assert resolve_uri(settings) == embedded_uri(settings)
            with connect(settings) as client:
                check(client)
        finally:
            EmbeddedServer(settings).stop()

    @pytest.mark.parametrize("listening", [False, True], ids=["nobody-listens", "somebody-listens-and-is-silent"])
    def test_a_server_that_does_not_answer_is_named_with_the_time_it_was_given(self, listening: bool) -> None:
        with socket.socket() as silent:
            silent.bind(("127.0.0.1", 0))
            if listening:
                silent.listen()
            port = silent.getsockname()[1]
            with (
                client_for(f"mongodb://ana:{SECRET}@127.0.0.1:{port}/cloister", timeout_ms=200) as client,
                pytest.raises(DatabaseUnreachable) as caught,
            ):
                check(client)
        message = str(caught.value)
        assert f"MongoDB at mongodb://127.0.0.1:{port} did not answer within 0." in message
        assert "Check that it runs" in message
        assert SECRET not in message
        assert "Topology" not in message
        assert isinstance(caught.value, ConnectionError)

    def test_a_refused_login_says_what_to_check(self, mongod: str) -> None:
        uri = mongod.replace("mongodb://", f"mongodb://nobody:{SECRET}@")
        with client_for(uri) as client, pytest.raises(LoginRefused, match="authSource") as caught:
            check(client)
        assert SECRET not in str(caught.value)
        assert isinstance(caught.value, PermissionError)

    def test_a_cluster_name_that_cannot_be_looked_up_is_a_server_that_cannot_be_reached(self) -> None:
        error = DatabaseUnreachable(
            "mongodb+srv://ana:pw@no.such.host.invalid/", 0.5, "The DNS query name does not exist"
        )
        assert str(error).startswith("MongoDB at mongodb+srv://***@no.such.host.invalid/ did not answer within 0.5 s")


class TestNames:
    @pytest.mark.parametrize(
        ("uri", "name"),
        [
            ("mongodb://h/lab", "lab"),
            ("mongodb://ana:pw@h:1,i:2/lab?x=/y@z", "lab"),
            ("mongodb://h/", "cloister"),
            ("mongodb://h", "cloister"),
            ("mongodb://h/?authSource=admin", "cloister"),
            ("mongodb://h/lab%20db", "lab db"),
            ("mongodb://h/lab.runs", "lab"),
        ],
    )
    def test_the_database_is_that_of_the_uri_or_the_setting(self, uri: str, name: str) -> None:
        assert database_name(uri, Settings()) == name

    def test_the_destination_of_the_embedded_database_has_a_name(self) -> None:
        assert destination(Settings()) == "embedded"

    def test_a_destination_is_the_same_for_all_users_and_any_order_of_hosts(self) -> None:
        name = destination(Settings(uri="mongodb://ana:pw@a:27017,b:27018/lab?replicaSet=rs"))
        assert name == destination(Settings(uri="mongodb://bob:other@B:27018,a/lab"))
        assert len(name) == 16
        assert set(name) <= set("0123456789abcdef")

    def test_a_destination_differs_by_host_port_and_database(self) -> None:
        uris = ["mongodb://a/x", "mongodb://b/x", "mongodb://a:27018/x", "mongodb://a/y", "mongodb+srv://a/x"]
        assert len({destination(Settings(uri=uri)) for uri in uris}) == len(uris)
        assert destination(Settings(uri="mongodb://a/")) == destination(Settings(uri="mongodb://a/cloister"))

    @given(st.text(max_size=60))
    def test_a_destination_exists_for_any_text(self, uri: str) -> None:
        assert len(destination(Settings(uri=uri))) == 16
