"""The file that says how people of other systems sign in: what it may say, and every message about what it may not."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from cloister.observer import identity_file
from cloister.observer.identity_file import BadIdentityFile, load_identity
from cloister.observer.runs import RunStore
from cloister.viewer.accounts.users import add_user
from cloister.viewer.app import create_app
from cloister.viewer.identity.opening import NoFirstAdmin, open_identity
from cloister.viewer.identity.ways import OfferedWay, offered_ways
from pymongo.database import Database

OIDC = '[oidc]\nissuer = "https://sso.lab/realms/lab"\nclient_id = "cloister"\n'
LDAP = '[ldap]\nuri = "ldaps://directory.lab"\nuser_base = "dc=lab"\n'
PROXY = '[proxy]\naddresses = ["10.0.0.5"]\nsecret_file = "secret"\n'
ADDRESS = 'address = "https://tracker.lab"\n'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "secret").write_text("s" * 64 + "\n")
    (tmp_path / "secret").chmod(0o600)
    (tmp_path / "short").write_text("abc")
    (tmp_path / "short").chmod(0o600)
    (tmp_path / "open").write_text("s" * 64)
    (tmp_path / "open").chmod(0o644)
    (tmp_path / "empty").touch(0o600)
    (tmp_path / "long").write_text("s\n" * 64)
    (tmp_path / "long").chmod(0o600)
    return tmp_path


def load(folder: Path, text: str) -> Any:
    (folder / "identity.toml").write_text(text)
    return load_identity(folder / "identity.toml")


def test_all_three_ways_are_read_with_their_secrets_from_files(folder: Path) -> None:
    found = load(
        folder,
        ADDRESS.replace("lab", "lab/")
        + OIDC
        + 'client_secret_file = "secret"\nscopes = ["openid"]\nsecond_factor = true\n[oidc.groups]\n"/a" = "b"\n'
        + LDAP
        + f'bind_dn = "cn=searcher"\nbind_password_file = "{folder}/secret"\n'
        + PROXY,
    )
    assert found.address == "https://tracker.lab"
    assert (found.oidc.client_secret, found.ldap.bind_password, found.proxy.secret) == ("s" * 64,) * 3
    assert (found.oidc.groups, found.oidc.scopes, found.oidc.second_factor) == ({"/a": "b"}, ("openid",), True)
    assert [str(network) for network in found.proxy.addresses] == ["10.0.0.5/32"]
    assert "s" * 64 not in repr(found)


REFUSED = {
    "not TOML": ("x", "it is not TOML"),
    "nothing in it": ("", "it has none of the tables"),
    "an unknown table": ("[saml]\n", "unknown 'saml'"),
    "an unknown key": (ADDRESS + OIDC + 'client = "x"\n', "[oidc] has an unknown 'client'. Did you mean 'client_id'?"),
    "no issuer": (ADDRESS + '[oidc]\nclient_id = "x"\n', "[oidc] has no issuer"),
    "no address": (OIDC, "address is ''"),
    "an address that is a number": ("address = 5\n" + OIDC, "address is 5"),
    "an address without TLS": ('address = "http://tracker.lab"\n' + OIDC, "address is 'http://tracker.lab'"),
    "an issuer without TLS": (ADDRESS + OIDC.replace("https", "http"), "issuer is 'http://sso.lab/realms/lab'"),
    "an issuer with a password": (ADDRESS + OIDC.replace("sso", "me:pw@sso"), "before an @"),
    "an issuer with a query": (ADDRESS + OIDC.replace('lab"', 'lab?x=1"', 1), "after ? and #"),
    "an issuer that is no address": (ADDRESS + OIDC.replace("https://sso.lab", "https://[x"), "issuer is"),
    "scopes without openid": (ADDRESS + OIDC + 'scopes = ["email"]\n', "without openid"),
    "a secret in the file": (ADDRESS + OIDC + 'client_secret = "x"\n', "secrets do not belong in it"),
    "a text for a list": (ADDRESS + OIDC + 'required_groups = "all"\n', "which is not a list of texts"),
    "a list for a table": (ADDRESS + OIDC + 'groups = ["a"]\n', "which is not a table such as"),
    "a number for a text": (ADDRESS + OIDC + "label = 5\n", "[oidc] label is 5, which is not text"),
    "a text for yes or no": (ADDRESS + OIDC + 'second_factor = "yes"\n', "neither true nor false"),
    "a text for a way": ('oidc = "https://sso.lab"\n', "which is not a table [oidc]"),
    "certificates that are not there": (ADDRESS + OIDC + 'ca_file = "ca.pem"\n', "there is no such file"),
    "LDAP elsewhere": (LDAP.replace("ldaps", "http"), "[ldap] uri is 'http://directory.lab'"),
    "LDAP with a password": (LDAP.replace("directory", "cn=x:pw@directory"), "[ldap] uri is"),
    "LDAP with a base": (LDAP.replace('lab"', 'lab/dc=lab"', 1), "[ldap] uri is"),
    "a searcher without password": (LDAP + 'bind_dn = "cn=searcher"\n', "bind_password_file names no password"),
    "a filter without the name": (LDAP + 'user_filter = "(uid=ana)"\n', "with {name} in it"),
    "a filter without brackets": (LDAP + 'user_filter = "uid={name}"\n', "not a filter in (...)"),
    "a group filter without the person": (LDAP + 'group_filter = "(cn=x)"\n', "with {dn} in it"),
    "a proxy that is everybody": (PROXY.replace("10.0.0.5", "0.0.0.0/0"), "which is everybody"),
    "a proxy that is a name": (PROXY.replace("10.0.0.5", "proxy.lab"), "neither an address nor a network"),
    "a proxy with host bits": (PROXY.replace("10.0.0.5", "10.0.0.5/24"), "neither an address nor a network"),
    "proxies that are no list": (PROXY.replace('["10.0.0.5"]', '"10.0.0.5"'), 'not a list such as ["10.0.0.5"]'),
    "proxies that are numbers": (PROXY.replace('"10.0.0.5"', "[]"), "neither an address nor a network"),
    "no proxy": (PROXY.replace('"10.0.0.5"', ""), "[proxy] has no addresses"),
    "no secret": (PROXY.replace('secret_file = "secret"', ""), "[proxy] has no secret_file"),
    "a short secret": (PROXY.replace('"secret"', '"short"'), "has 3 characters"),
    "an open secret": (PROXY.replace('"secret"', '"open"'), "every account of this machine may read"),
    "an empty secret": (PROXY.replace('"secret"', '"empty"'), "must hold one line"),
    "a long secret": (PROXY.replace('"secret"', '"long"'), "must hold one line"),
    "a secret that is not there": (PROXY.replace('"secret"', '"none"'), "cannot be read"),
    "a secret that is no path": (PROXY.replace('"secret"', "5"), "which is not the path of a file"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_would_let_people_in_unsafely_or_means_nothing_is_refused(folder: Path, name: str) -> None:
    text, said = REFUSED[name]
    with pytest.raises(BadIdentityFile) as refusal:
        load(folder, text)
    assert said in str(refusal.value)
    assert str(folder / "identity.toml") in str(refusal.value)
    assert "s" * 64 not in str(refusal.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadIdentityFile, match="No such file"):
        load_identity(tmp_path / "identity.toml")


def test_secrets_of_a_container_have_the_mode_that_it_gives_them(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(identity_file, "SECRET_FOLDERS", (folder,))
    assert load(folder, PROXY.replace('"secret"', '"open"')).proxy.secret == "s" * 64


def test_the_first_account_is_made_on_the_console(folder: Path, database: Database[dict[str, Any]]) -> None:
    load(folder, PROXY)
    path = folder / "identity.toml"
    with pytest.raises(NoFirstAdmin, match="cloister user add NAME --admin"):
        open_identity(path, lambda: RunStore(database))
    assert open_identity(None, lambda: RunStore(database)) is None
    add_user(database, "root", site=["admin"])
    assert open_identity(path, lambda: RunStore(database)) is not None


def test_groups_can_be_given_roles_before_anybody_has_come(
    folder: Path, database: Database[dict[str, Any]], caplog: pytest.LogCaptureFixture
) -> None:
    add_user(database, "root", site=["admin"])
    database["groups"].insert_one({"_id": "by-hand", "people": ["bo"]})
    load(folder, PROXY + '[proxy.groups]\n"a" = "made"\n"b" = "made"\n"c" = "by-hand"\n')
    open_identity(folder / "identity.toml", lambda: RunStore(database))
    groups = {group["_id"]: (group.get("source"), group["people"]) for group in database["groups"].find()}
    assert groups == {"made": ("proxy", []), "by-hand": (None, ["bo"])}
    assert "'by-hand', whose members are decided elsewhere" in caplog.text


def test_with_a_way_in_from_outside_nobody_is_let_in_as_everybody(
    folder: Path, database: Database[dict[str, Any]], home: Path
) -> None:
    identity = load(folder, PROXY)
    app = create_app(RunStore(database), identity=identity)
    assert app.test_client().get("/").headers["Location"].startswith("/login")
    assert app.test_client().get("/api/v1/projects").status_code == 401
    with app.app_context():
        assert offered_ways() == ()  # a proxy asks before, so there is no button


def test_the_button_says_what_the_file_says(folder: Path, database: Database[dict[str, Any]]) -> None:
    pytest.importorskip("authlib", reason="needs the extra oidc")
    identity = load(folder, ADDRESS + OIDC + 'label = "Lab <account>"\n')
    with create_app(RunStore(database), identity=identity).app_context():
        assert offered_ways() == (OfferedWay("Lab <account>", "/login/oidc"),)


def test_serving_without_an_account_ends_with_what_to_do(folder: Path, database_uri: str, home: Path) -> None:
    load(folder, PROXY)
    command = [sys.executable, "-m", "cloister", "serve", "--port", "0", "--uri", database_uri]
    command += ["--identity", str(folder / "identity.toml")]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert "cloister user add NAME --admin" in done.stderr
