"""The site's policy and what each recording profile leaves out, wherever the policy was said."""

from __future__ import annotations

import getpass
import socket
from pathlib import Path
from typing import Any

import cloister
import pytest
from cloister.decorators.queueing import CannotQueue, Entry, queue_run
from cloister.decorators.run_start import RunPlan
from cloister.observer import policy as policies
from cloister.observer.access.memberships import load_principal
from cloister.observer.access.visibility import sees
from cloister.observer.policy import (
    BadPolicy,
    Policy,
    UnknownPolicyKey,
    UnreadablePolicy,
    load_policy,
    recording_policy,
    tighten,
)
from cloister.observer.redaction.marks import mark
from cloister.observer.redaction.text_redaction import TextRules
from cloister.observer.run_query import RunQuery
from cloister.observer.runs import RunStore
from cloister.observer.settings import load_settings
from conftest import StartRun
from pymongo.database import Database
from queued_runs import queue_script
from recorded_script import RecordedScript
from running_viewer import insert_run


@pytest.fixture
def site_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "etc" / "policy.toml"
    path.parent.mkdir()
    monkeypatch.setattr(policies, "SITE_FILE", path)
    return path


def test_without_a_policy_everything_is_recorded_and_nobody_is_asked(site_file: Path) -> None:
    assert load_policy() == Policy()
    assert load_policy().profile == "full"


def test_each_place_can_only_add_strictness(
    site_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, database: Database[dict[str, Any]]
) -> None:
    site_file.write_text(
        'profile = "standard"\nsession_days = 90\nshare_links = false\ntrusted_proxies = ["10.0.0.1", "10.0.0.2"]\n'
        '[redaction]\npatterns = {patient = "P-[0-9]{6}"}\n[retention]\nconsole = 30\n'
    )
    own = tmp_path / "own.toml"
    own.write_text(
        'profile = "full"\nsession_days = 365\nshare_links = true\ntrusted_proxies = ["10.0.0.2", "10.6.6.6"]\n'
        'require_totp = true\n[redaction]\npatterns = {patient = "other", ward = "W[0-9]"}\nconfig = ["lab.*"]\n'
    )
    monkeypatch.setenv("CLOISTER_POLICY", str(own))
    database["policy"].insert_one(
        {
            "_id": "site",
            "profile": "full",
            "session_days": 30,
            "retention": {"console": 90, "artifacts": 10},
            "changed_by": "x",
        }
    )
    policy = load_policy(database)
    assert (policy.profile, policy.session_days, policy.share_links) == ("standard", 30, False)
    assert policy.trusted_proxies == ("10.0.0.2",)
    assert policy.require_totp
    assert set(policy.redaction.patterns.values()) == {"P-[0-9]{6}", "other", "W[0-9]"}
    assert policy.redaction.config == ("lab.*",)
    assert policy.retention == {"console": 30, "artifacts": 10}
    assert len(policy.sources) == 3


def test_a_user_cannot_grant_himself_what_the_site_does_not_mention(
    site_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = tmp_path / "own.toml"
    own.write_text('trusted_proxies = ["10.6.6.6"]\nsession_days = 365\nshare_link_days = 365\n')
    monkeypatch.setenv("CLOISTER_POLICY", str(own))
    policy = load_policy()
    assert (policy.trusted_proxies, policy.session_days, policy.share_link_days) == ((), 7, 30)


@pytest.mark.parametrize(
    ("text", "error", "words"),
    [
        ('profil = "strict"', UnknownPolicyKey, "Did you mean 'profile'"),
        ('profile = "lax"', BadPolicy, "'lax', which is not one of full, standard, strict"),
        ("share_links = 1", BadPolicy, "true or false"),
        ("session_days = -1", BadPolicy, "above zero"),
        ("profile = ", UnreadablePolicy, "not TOML"),
    ],
)
def test_a_policy_that_cannot_be_understood_is_named_and_recording_is_strict(
    site_file: Path, caplog: pytest.LogCaptureFixture, text: str, error: type[Exception], words: str
) -> None:
    site_file.write_text(text)
    with pytest.raises(error, match=words):
        load_policy()
    assert recording_policy().profile == "strict"
    assert str(site_file) in caplog.text


def test_a_policy_that_may_not_be_read_is_no_reason_to_record_more(site_file: Path) -> None:
    site_file.mkdir()
    with pytest.raises(UnreadablePolicy, match="directory"):
        load_policy()
    assert recording_policy().profile == "strict"


def test_a_second_pattern_of_one_name_holds_beside_the_first() -> None:
    first = tighten(Policy(), {"redaction": {"patterns": {"a": "x"}}}, "one")
    both = tighten(first, {"redaction": {"patterns": {"a": "y"}, "emails": True}}, "two", {"redaction"})
    assert both.redaction.patterns == {"a": "x", "a-also": "y"}
    assert both.redaction.emails


def record(start: StartRun, **options: Any) -> cloister.Run:
    with start(config={"lr": 0.1, "contact": "ana@lab.example.org"}, **options) as run:
        print("printed by ana@lab.example.org on 10.1.2.3")
        run.log({"loss": 0.5})
    assert run.wait_until_stored(60)
    return run


def strings_of(value: Any) -> str:
    return repr(value)


def test_strict_records_neither_console_sources_nor_environment_and_names_nobody(
    start: StartRun, site_file: Path, store: RunStore, database: Database[dict[str, Any]]
) -> None:
    site_file.write_text('profile = "strict"\n')
    run = record(start, capture="sys")
    stored = database["runs"].find_one({"cloister.uid": run.uid}) or {}
    words = strings_of(stored)
    for name in {socket.gethostname(), getpass.getuser()} - {"root", "localhost"}:
        assert name not in words
    assert stored["cloister"]["owner"].startswith("person-")
    assert stored["host"]["hostname"].startswith("host-")
    assert str(Path.home()) not in words or str(Path.home()) == "/"
    assert database["console"].count_documents({}) == 0
    assert database["fs.files"].count_documents({}) == 0
    assert not stored["cloister"]["environment"]
    record_of_it = store.load_run(stored["_id"])
    assert record_of_it.profile == "strict"
    assert record_of_it.config == {"lr": 0.1, "contact": mark("email")}
    assert record_of_it.summary["loss"].last == 0.5
    again = record(start)
    others = database["runs"].find_one({"cloister.uid": again.uid}) or {}
    assert others["cloister"]["owner"] == stored["cloister"]["owner"], "a pseudonym stays the same"


def test_standard_takes_out_addresses_and_where_things_lie(
    start: StartRun, site_file: Path, store: RunStore, database: Database[dict[str, Any]]
) -> None:
    site_file.write_text('profile = "standard"\n')
    run = record(start, capture="sys")
    stored = store.load_run(run.id)
    assert stored.profile == "standard"
    assert stored.owner == getpass.getuser()
    assert stored.config["contact"] == mark("email")
    console = "".join(piece.text for piece in store.load_console(stored.id).pieces)
    assert f"printed by {mark('email')} on {mark('ip-address')}\n" in console
    assert stored.environment["python"]
    assert "working_folder" not in stored.environment
    assert stored.sources


def test_the_databases_policy_holds_for_a_run_that_could_not_know_it_and_is_known_to_the_next(
    start: StartRun, site_file: Path, store: RunStore, database: Database[dict[str, Any]], home: Path
) -> None:
    database["policy"].insert_one({"_id": "site", "profile": "strict", "redaction": {"patterns": {"ward": "W-[0-9]+"}}})
    with start(config={"room": "W-17"}, notes="in W-18", capture="sys") as first:
        print("printed")
        first.log({"loss": 1.0})
    assert first.wait_until_stored(60)
    stored = store.load_run(first.id)
    assert (stored.profile, stored.config, stored.notes) == ("strict", {"room": mark("ward")}, f"in {mark('ward')}")
    assert stored.owner.startswith("person-")
    assert {(one.where, one.rule) for one in stored.redactions} >= {("config: room", "ward"), ("notes", "ward")}
    assert (database["console"].count_documents({}), database["fs.files"].count_documents({})) == (0, 0)
    [kept] = home.rglob("policy.json")
    assert kept.stat().st_mode & 0o777 == 0o600
    with start(config={"room": "W-19"}, capture="sys") as second:
        print("printed")
        journals = b"".join(path.read_bytes() for path in home.rglob("*.journal"))
        assert second.uid.encode() in journals
        assert b"W-19" not in journals, "this one is redacted before its journal"
        assert b"printed" not in journals
    assert second.wait_until_stored(60)
    assert store.load_run(second.id).profile == "strict"


def test_a_resumed_run_works_with_its_own_secrets_and_notes_none(
    start: StartRun, site_file: Path, store: RunStore
) -> None:
    with start(config={"lr": 0.1, "password": "hunter2-first"}) as first:
        first.log({"loss": 1.0})
    assert first.wait_until_stored(60)
    with start(resume=first.id, config={"lr": 0.2, "password": "hunter2-second", "api_key": "abcdef-0123"}) as again:
        assert again.config["password"] == "hunter2-second"
    assert again.wait_until_stored(60)
    stored = store.load_run(first.id)
    assert stored.config == {"lr": 0.1, "password": mark("password")}
    [note] = stored.resumed
    assert ("lr", 0.1, 0.2) in note.config_changes
    assert "hunter2" not in repr(stored)
    assert "abcdef-0123" not in repr(stored)


def test_a_run_under_a_pseudonym_is_its_owners_where_the_viewer_has_the_key(
    site_file: Path, store: RunStore, database: Database[dict[str, Any]]
) -> None:
    key = site_file.parent / "pseudonym.key"
    key.write_bytes(b"0123456789abcdef0123456789abcdef")
    site_file.write_text(f'profile = "strict"\npseudonym_key = "{key}"\n')
    ana, ben = load_principal(database, "ana"), load_principal(database, "ben")
    assert ana.pseudonym.startswith("person-")
    insert_run(database, 1)
    database["runs"].update_one({}, {"$set": {"cloister.owner": ana.pseudonym, "cloister.visibility": "private"}})
    impostor = load_principal(database, ana.pseudonym)
    seen = [store.seen_by(who).list_runs(RunQuery()).total for who in (ana, ben, impostor)]
    assert seen == [1, 0, 0]
    run = store.load_run(1)
    assert [sees(who, run) for who in (ana, ben, impostor)] == [True, False, False]
    key.unlink()
    assert store.seen_by(load_principal(database, "ana")).list_runs(RunQuery()).total == 0


def test_a_run_whose_config_or_command_line_would_lose_something_is_not_queued(
    script: RecordedScript, site_file: Path
) -> None:
    with pytest.raises(CannotQueue, match="its command line is redacted when it is stored") as refusal:
        queue_script(script, "print(1)", "--password", "hunter2")
    assert "hunter2" not in str(refusal.value)
    secret = {"db": {"password": "hunter2"}}
    plan = RunPlan("train", "train", secret, secret, main_file=script.write("print(1)"))
    with pytest.raises(CannotQueue, match=r"db\.password is redacted"):
        queue_run(plan, load_settings(uri=script.uri), Entry("plain"))
    site_file.write_text('profile = "strict"\n')
    with pytest.raises(CannotQueue, match="no code recorded"):
        queue_script(script, "print(1)")
    assert not script.runs()


def test_numbers_do_not_go_through_redaction(start: StartRun, monkeypatch: pytest.MonkeyPatch) -> None:
    with start(config={"lr": 0.1}) as run:
        for method in ("redact", "_redact_lines"):
            monkeypatch.delattr(TextRules, method)  # whoever looks at a text now fails
        for step in range(100):
            run.log({"loss": float(step), "nested": {"a": 1}})
        monkeypatch.undo()
    assert run.wait_until_stored(60)


def test_an_artifact_that_is_text_is_stored_without_its_secrets_and_a_file_of_secrets_not_at_all(
    start: StartRun, store: RunStore, tmp_path: Path
) -> None:
    for name, text in (("a.tmp", "password: hunter2\n"), ("model.bin", "password: hunter2\n"), (".env", "X=1\n")):
        (tmp_path / name).write_text(text)
    with start() as run:
        run.log_artifact(tmp_path / "a.tmp", "conf/a.yaml")
        run.log_artifact(tmp_path / "model.bin")
        run.add_resource(tmp_path / ".env")
        run.add_resource(tmp_path / "model.bin")
    assert run.wait_until_stored(60)
    stored = store.load_run(run.id)
    contents = {one.name: b"".join(store.open_blob(one.file_id)) for one in stored.artifacts}
    assert contents == {
        "conf/a.yaml": f"password: {mark('password')}\n".encode(),
        "model.bin": b"password: hunter2\n",
    }
    assert [(Path(one.path).name, one.file_id is not None) for one in stored.resources] == [
        (".env", False),
        ("model.bin", True),
    ]
    assert {(one.where, one.rule) for one in stored.redactions} >= {("artifact: conf/a.yaml", "password")}


@pytest.mark.parametrize("text", ["{", "[]", '{"profile": "lax"}', '{"unheard": 1}'])
def test_what_a_courier_left_and_cannot_be_understood_counts_as_strict(
    site_file: Path, tmp_path: Path, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "policy.json").write_text(text)
    assert recording_policy([tmp_path]).profile == "strict"
    assert str(tmp_path / "policy.json") in caplog.text
    (tmp_path / "policy.json").write_text('{"profile": "standard", "trusted_proxies": ["10.6.6.6"]}')
    policy = recording_policy([tmp_path])
    assert (policy.profile, policy.trusted_proxies) == ("standard", ())
