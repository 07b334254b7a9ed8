"""Signing in through LDAP: a real slapd on this machine, over verified TLS."""

from __future__ import annotations

import logging
import re
import socket
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from install_directory import find_server

pytest.importorskip("ldap", reason="needs python-ldap: python tests/install_directory.py")
if find_server("slapd") is None:
    pytest.skip("needs slapd: python tests/install_directory.py", allow_module_level=True)

import ldap
from cloister.observer.identity_file import load_identity
from cloister.observer.identity_settings import LdapSettings
from cloister.observer.runs import RunStore
from cloister.viewer.accounts.passwords import hash_password
from cloister.viewer.accounts.users import add_user, find_user
from cloister.viewer.app import create_app
from cloister.viewer.identity.ldap_directory import DirectoryFailed, check_directory, find_person
from flask.testing import FlaskClient
from pymongo.database import Database
from running_slapd import BASE, PASSWORDS, SEARCHER, Directory, running_slapd
from tls_certificates import Authority
from werkzeug.test import TestResponse

IDENTITY = """
[ldap]
uri = "{uri}"
ca_file = "{ca}"
bind_dn = "{searcher}"
bind_password_file = "{password}"
user_base = "ou=people,{base}"
group_base = "ou=groups,{base}"
required_groups = ["trackers"]
groups = {{ vision = "vision-team" }}
"""


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Directory]:
    with running_slapd(tmp_path_factory.mktemp("slapd")) as directory:
        yield directory


@pytest.fixture(scope="module")
def file(directory: Directory, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("identity")
    password = folder / "password"
    password.write_text(PASSWORDS["searcher"])
    password.chmod(0o640)
    path = folder / "identity.toml"
    named = {"uri": directory.ldap, "ca": directory.ca, "password": password, "searcher": SEARCHER, "base": BASE}
    path.write_text(IDENTITY.format(**named))
    return path


@pytest.fixture
def settings(file: Path) -> LdapSettings:
    found = load_identity(file).ldap
    assert found is not None
    return found


@pytest.fixture
def client(file: Path, database: Database[dict[str, Any]], home: Path) -> FlaskClient:
    add_user(database, "root", password_hash=hash_password("root's own password here"), site=["admin"])
    return create_app(RunStore(database), identity=load_identity(file)).test_client()


def sign_in(client: FlaskClient, name: str, password: str) -> TestResponse:
    token = re.search(r'name="csrf_token" value="(\w+)"', client.get("/login").text)
    assert token is not None
    return client.post("/login", data={"csrf_token": token.group(1), "name": name, "password": password, "next": "/"})


def test_the_directory_says_who_somebody_is_and_in_which_groups(
    client: FlaskClient, database: Database[dict[str, Any]]
) -> None:
    answer = sign_in(client, " ANA ", PASSWORDS["ana"])  # as LDAP compares names
    assert answer.status_code == 303
    user = find_user(database, "ana")
    assert user is not None
    assert (user.name, user.full_name, user.email, user.source) == (
        "ana",
        "Ana (Silva), Dr.",
        "ana@lab.example",
        "ldap",
    )
    assert re.fullmatch(r"[0-9a-f-]{36}", user.subject or "")
    assert database["groups"].find_one({"_id": "vision-team"}, {"_id": 0}) == {"source": "ldap", "people": ["ana"]}
    assert client.get("/").status_code == 200
    stored = database["users"].find_one({"_id": "ana"})
    assert stored is not None
    assert stored["password"] is None  # the directory keeps it, nobody else


def test_whoever_is_in_none_of_the_groups_stays_out(
    client: FlaskClient, database: Database[dict[str, Any]], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "cloister"):
        assert sign_in(client, "bo", PASSWORDS["bo"]).status_code == 403
    assert "none of the groups" in caplog.text
    assert PASSWORDS["bo"] not in caplog.text
    assert find_user(database, "bo") is None
    assert database["audit"].count_documents({"action": "login-failed"}) == 1


def test_the_directory_cannot_open_a_local_account(client: FlaskClient, database: Database[dict[str, Any]]) -> None:
    assert sign_in(client, "root", PASSWORDS["root"]).status_code == 403
    database["users"].update_one({"_id": "root"}, {"$set": {"password": None}})  # of another way, by its name alone
    assert sign_in(client, "root", PASSWORDS["root"]).status_code == 403
    assert database["sessions"].count_documents({}) == 0


def test_a_disabled_account_stays_out(client: FlaskClient, database: Database[dict[str, Any]]) -> None:
    sign_in(client, "ana", PASSWORDS["ana"])
    database["users"].update_one({"_id": "ana"}, [{"$set": {"disabled_at": "$$NOW"}}])
    client.delete_cookie("cloister_session")
    assert sign_in(client, "ana", PASSWORDS["ana"]).status_code == 403


def test_a_directory_that_is_away_lets_local_accounts_in_and_nobody_else(
    file: Path, database: Database[dict[str, Any]], home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    identity = load_identity(file)
    assert identity.ldap is not None
    gone = replace(identity, ldap=replace(identity.ldap, uri="ldap://127.0.0.1:1"))
    add_user(database, "root", password_hash=hash_password("root's own password here"), site=["admin"])
    client = create_app(RunStore(database), identity=gone).test_client()
    with caplog.at_level(logging.WARNING, "cloister"):
        refused = sign_in(client, "ana", PASSWORDS["ana"])
    assert refused.status_code == 403
    assert "127.0.0.1:1" not in refused.text
    assert "could not be asked" in caplog.text
    assert sign_in(client, "root", "root's own password here").status_code == 303


INJECTIONS = (
    "*",
    "ana*",
    "a*a",
    "*)(uid=*",
    "*)(uid=*))(|(uid=*",
    "ana)(objectClass=*",
    "ana)(&)",
    "ana))(|(cn=*",
    "(uid=ana)",
    "\\61na",  # an escape that the server would undo
    "ana\\",
    "\\2a",
    "ana\0",
    "\0",
    "",
    " ",
    "&",
    "!(uid=bo)",
    f"cn=Ana (Silva)\\, Dr.,ou=people,{BASE}",
    "a" * 100_000,
    "\u202eana",
    "ana\n",
    "an\u00e4",
)


@pytest.mark.parametrize("password", ["ana", "bo"])
def test_no_name_is_read_as_a_filter(settings: LdapSettings, password: str) -> None:
    """With the right password of somebody: a filter that matches them would open their account."""
    assert {name: find_person(settings, name, PASSWORDS[password]) for name in INJECTIONS} == dict.fromkeys(INJECTIONS)


@pytest.mark.parametrize("name", ["ana", "root", "nobody", "nopassword", "searcher"])
@pytest.mark.parametrize("password", ["", "\0", " ", "*", "{SSHA}x", "x" * 100_000, "wrong"])
def test_no_wrong_password_is_right_and_an_empty_one_is_not_even_asked(
    settings: LdapSettings, name: str, password: str
) -> None:
    assert find_person(settings, name, password) is None


def test_this_server_would_have_welcomed_an_empty_password(settings: LdapSettings) -> None:
    connection = ldap.initialize(settings.uri)
    connection.simple_bind_s(f"cn=Ana (Silva)\\, Dr.,ou=people,{BASE}", "")  # no error: the trap of RFC 4513, 5.1.2
    connection.unbind_s()


def test_a_name_that_two_entries_have_is_nobodys(settings: LdapSettings, caplog: pytest.LogCaptureFixture) -> None:
    assert find_person(settings, "twin", PASSWORDS["bo"]) is None
    assert find_person(settings, "twin", PASSWORDS["ana"]) is None
    assert "several entries" in caplog.text


def test_groups_can_come_from_the_person_and_tls_from_the_first_byte(
    settings: LdapSettings, directory: Directory
) -> None:
    other = replace(settings, uri=directory.ldaps, group_base="", member_of_attribute="mail")
    found = find_person(other, "ana", PASSWORDS["ana"])
    assert found is not None
    assert found.groups == {"ana@lab.example"}
    assert check_directory(other) == ""


def test_umlauts_and_signs_in_passwords_are_what_they_are(settings: LdapSettings) -> None:
    assert find_person(settings, "bo", PASSWORDS["bo"]) is not None


def test_a_server_that_cannot_prove_who_it_is_hears_no_password(
    settings: LdapSettings, directory: Directory, tmp_path: Path
) -> None:
    strangers = Authority(tmp_path / "other", "Another CA").ca
    port = directory.ldap.rpartition(":")[2]
    for wrong in (
        replace(settings, ca_file=strangers),
        replace(settings, ca_file=strangers, uri=directory.ldaps),
        replace(settings, ca_file=None),
        replace(settings, uri=f"ldap://127.0.0.2:{port}"),  # which its certificate does not name
    ):
        with pytest.raises(DirectoryFailed) as refusal:
            find_person(wrong, "ana", PASSWORDS["ana"])
        assert PASSWORDS["ana"] not in str(refusal.value)
        assert PASSWORDS["searcher"] not in str(refusal.value)
        assert check_directory(wrong)


def test_nothing_but_the_wish_for_tls_is_said_in_the_open(settings: LdapSettings) -> None:
    """Somebody between us and the server answers that there is no TLS here."""
    said = b""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()

        def refuse_tls() -> None:
            nonlocal said
            connection, _ = listener.accept()
            with connection:
                said += connection.recv(65536)
                message_id = said[4]
                # An extended response: protocolError.
                connection.sendall(bytes([0x30, 0x0C, 0x02, 0x01, message_id, 0x78, 0x07, 0x0A, 0x01, 2, 4, 0, 4, 0]))
                said += connection.recv(65536)

        thread = threading.Thread(target=refuse_tls)
        thread.start()
        with pytest.raises(DirectoryFailed):
            find_person(replace(settings, uri=f"ldap://127.0.0.1:{listener.getsockname()[1]}"), "ana", PASSWORDS["ana"])
        thread.join(5)
    assert b"1.3.6.1.4.1.1466.20037" in said  # StartTLS
    for secret in ("ana", "searcher"):
        assert PASSWORDS[secret].encode() not in said
    assert SEARCHER.encode() not in said
