"""`cloister doctor --privacy`: what is recorded, who can see it, where it goes, which rules hold."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pymongo
import pytest
from click.testing import CliRunner, Result
from cloister.__main__ import main
from cloister.observer import policy
from cloister.observer.audit import record_entry
from cloister.observer.destinations import Destination, list_destinations
from cloister.observer.privacy_report import (
    QUESTIONS,
    PrivacyLine,
    tell_folders,
    tell_readers,
    tell_recorded,
    tell_rules,
)
from cloister.observer.settings import Settings, load_settings
from pymongo.database import Database
from running_viewer import insert_run

Lines = dict[str, PrivacyLine]


@pytest.fixture(autouse=True)
def _own_folder(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No cloister.toml and no policy of this machine in sight, and a terminal wide enough for whole lines."""
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setenv("COLUMNS", "1000")
    monkeypatch.setattr(policy, "SITE_FILE", tmp_path / "no-policy.toml")


def doctor() -> Result:
    return CliRunner().invoke(main, ["doctor", "--privacy"])


def by_subject(lines: Any) -> Lines:
    return {line.subject: line for line in lines}


def test_a_fresh_machine_has_all_four_answers_and_nothing_is_made_for_them(home: Path) -> None:
    result = doctor()
    assert result.exit_code == 0, result.output
    places = [result.output.index(question) for question in QUESTIONS]
    assert places == sorted(places)
    assert "no telemetry, no update check" in result.output
    assert "Python " not in result.output
    assert not home.exists()


def test_accounts_projects_links_and_entries_are_counted(database: Database[dict[str, Any]]) -> None:
    now = datetime.now(timezone.utc)
    site = {"ana": ["admin"], "bo": [], "eve": ["auditor"]}
    for name, roles in site.items():
        database["users"].insert_one({"_id": name, "source": "local", "site": roles, "disabled_at": None})
    database["users"].insert_one({"_id": "gone", "source": "oidc", "site": ["admin"], "disabled_at": now})
    database["users"].insert_one({"_id": "somebody else's", "roles": ["admin"]})  # of another program
    database["projects"].insert_many([{"_id": "open", "visibility": "site"}, {"_id": "digits"}])
    insert_run(database, 1)
    database["runs"].update_one({"_id": 1}, {"$set": {"cloister.visibility": "private"}})
    day = timedelta(days=1)
    database["shares"].insert_one({"_id": "a", "revoked_at": None, "expires_at": now + day})
    database["shares"].insert_one({"_id": "b", "revoked_at": now, "expires_at": now + day})
    database["shares"].insert_one({"_id": "c", "revoked_at": None, "expires_at": now - day})
    record_entry(database, actor="ana", action="login")

    seen = by_subject(tell_readers(database, Settings(uri="mongodb://127.0.0.1")))

    assert "3 accounts (local), 1 of them site admins, who see every run; 1 auditors" in seen["Viewer"].found
    assert "1 project, 1 site; 1 run marked private" in seen["Projects"].found
    assert "Everybody who signs in sees open" in seen["Projects"].found
    assert seen["Share links"].found.startswith("1 that open")
    assert by_subject(tell_rules(database))["Audit log"].found.startswith("1 entry;")


def test_a_database_without_passwords_is_told_and_elsewhere_it_is_a_problem(database: Database[dict[str, Any]]) -> None:
    here = by_subject(tell_readers(database, Settings(uri="mongodb://127.0.0.1")))["MongoDB"]
    assert (here.state, "asks nobody for a password" in here.found) == ("warning", True)
    assert by_subject(tell_readers(database, Settings(uri="mongodb://lab-db")))["MongoDB"].state == "problem"


def test_a_database_with_passwords_says_as_whom_it_is_read(guarded: tuple[pymongo.MongoClient[Any], int]) -> None:
    client, _ = guarded
    line = by_subject(tell_readers(client["cloister"], Settings(uri="mongodb://lab-db")))["MongoDB"]
    assert line.state == "ok"
    assert "here root (root@admin)" in line.found


def test_what_a_policy_leaves_out_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert by_subject(tell_recorded(policy.Policy(), Settings()))["Left out"].found == "nothing of these"
    assert "output" in by_subject(tell_recorded(policy.Policy(), Settings(capture="none")))["Left out"].found
    file = tmp_path / "policy.toml"
    file.write_text('profile = "strict"\nshare_links = false\n[encrypt]\ndigits = ["console"]\n')
    monkeypatch.setenv("CLOISTER_POLICY", str(file))
    result = doctor()
    for said in ("strict: no sources", "not allowed", "digits: console", f"{file} (from CLOISTER_POLICY)"):
        assert said in result.output
    [left_out] = [line for line in result.output.splitlines() if line.startswith("Left out")]
    for part in ("output", "sources", "packages", "names of host", "e-mail"):
        assert part in left_out


def test_a_policy_that_cannot_be_understood_is_a_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "policy.toml"
    file.write_text("share_link = false\n")
    monkeypatch.setenv("CLOISTER_POLICY", str(file))
    result = doctor()
    assert result.exit_code == 1
    assert "Did you mean 'share_links'?" in result.output
    assert "strict: no sources" in result.output  # as recording does until then


def test_a_folder_that_others_may_enter_is_told(home: Path) -> None:
    home.mkdir(mode=0o755)
    home.chmod(0o755)
    [line] = tell_folders(load_settings())
    assert line.state == "warning"
    assert line.advice == f"chmod 700 {home}"
    home.chmod(0o700)
    [line] = tell_folders(load_settings())
    assert line.state == "ok"


DESTINATIONS = {
    "mongodb://127.0.0.1:27018/x": (True, False, False),
    "mongodb://[::1]": (True, False, False),
    "mongodb://%2Ftmp%2Fmongodb.sock": (True, False, False),
    "mongodb://ana:swordfish@lab-db/x?tls=true": (False, False, True),
    "mongodb://10.0.0.7": (False, False, False),
    "mongodb://8.8.8.8/?tls=true": (False, True, True),
    "mongodb+srv://ana:swordfish@team.abcde.mongodb.net/x": (False, True, True),
    "mongodb+srv://lab.internal": (False, False, True),
}


@pytest.mark.parametrize("uri", DESTINATIONS)
def test_a_servers_address_says_where_it_is(uri: str) -> None:
    [found] = list_destinations(Settings(uri=uri))
    assert (found.is_here, found.is_outside, found.encrypted) == DESTINATIONS[uri]
    assert "swordfish" not in repr(found)


def test_every_server_that_settings_name_is_listed(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("s" * 40)
    secret.chmod(0o600)
    identity = tmp_path / "identity.toml"
    identity.write_text(
        'address = "https://tracker.lab"\n[oidc]\nissuer = "https://sso.lab:8443/realms/lab"\nclient_id = "cloister"\n'
        'further_hosts = ["keys.lab"]\n[ldap]\nuri = "ldap://directory.lab"\nuser_base = "dc=lab"\n'
    )
    settings = Settings(
        uri="mongodb://a.lab,b.lab:27020/?tls=true",
        databases=("sacred", "old=mongodb://u:swordfish@old.lab/sacred#runs=mine", "mongodb://older.lab/x"),
        keys="vault:https://vault.lab:8200/transit",
        identity=identity,
    )
    found = list(list_destinations(settings))
    assert [one.words for one in found] == [
        "a.lab:27017",
        "b.lab:27020",
        "old.lab:27017",
        "older.lab:27017",
        "vault.lab:8200",
        "sso.lab:8443",
        "keys.lab",
        "directory.lab",
    ]
    assert [one.encrypted for one in found] == [True, True, False, False, True, True, True, True]
    assert "swordfish" not in repr(found)


def test_who_may_come_from_other_systems_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    identity = tmp_path / "identity.toml"
    identity.write_text(
        'address = "https://tracker.lab"\n[oidc]\nissuer = "https://localhost/realms/lab"\nclient_id = "cloister"\n'
        'required_groups = ["/trackers"]\nadmin_groups = ["/admins"]\n'
        '[ldap]\nuri = "ldap://127.0.0.1"\nuser_base = "dc=lab"\n'
    )
    monkeypatch.setenv("CLOISTER_IDENTITY", str(identity))
    told = doctor().output
    assert "members of /trackers may sign in through the OpenID provider; members of /admins see every run" in told
    assert "everybody there may sign in through the LDAP directory" in told


def test_a_way_in_that_cannot_be_read_is_a_problem_of_where_things_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLOISTER_IDENTITY", str(tmp_path / "missing.toml"))
    result = doctor()
    assert result.exit_code == 1
    assert "missing.toml" in result.output


def test_a_destination_is_written_as_people_write_it() -> None:
    assert Destination("runs", "::1", 1, False).words == "[::1]:1"
    assert Destination("runs", "/tmp/mongodb.sock", None, False).words == "/tmp/mongodb.sock"
    assert Destination("runs", "no-such-name.invalid", 1, False).is_outside is False
