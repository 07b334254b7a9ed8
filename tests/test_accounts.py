"""Accounts from both sides: people who sign in, and others who would like to."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

import pymongo
import pytest
from click.testing import CliRunner
from cloister.__main__ import main
from cloister.observer.runs import RunStore
from cloister.viewer.accounts import passwords
from cloister.viewer.accounts.account_changes import disable_user
from cloister.viewer.accounts.account_names import BadAccountName, parse_account_name
from cloister.viewer.accounts.login_throttle import ATTEMPTS, LoginThrottle, TooManyAttempts
from cloister.viewer.accounts.next_page import own_path
from cloister.viewer.accounts.password_login import check_password
from cloister.viewer.accounts.password_policy import WeakPassword, check_new_password
from cloister.viewer.accounts.passwords import hash_password, is_outdated, verify_password
from cloister.viewer.accounts.read_only_viewer import AccountsNeedWriting, refuse_read_only
from cloister.viewer.accounts.server_key import BadServerKey, key_path, load_server_key
from cloister.viewer.accounts.sessions import hash_of, open_session
from cloister.viewer.accounts.users import OtherSource, UserExists, find_user, list_users, provision_user
from cloister.viewer.app import create_app
from flask import Flask
from hypothesis import given
from hypothesis import strategies as st
from pymongo.database import Database
from pymongo.monitoring import CommandListener
from running_viewer import insert_run, running_viewer
from signing_in import (
    GOOD,
    Served,
    Visitor,
    emptied,
    make_hashing_fast,
    make_hashing_slow_again,
    person,
)

FULL_WIDTH = "\uff21\uff2e\uff21"  # ANA, in letters as wide as Chinese ones


@pytest.fixture(scope="module", autouse=True)
def _fast_hashing() -> Iterator[None]:
    before = passwords.MEMORY_KIB, passwords.PASSES
    make_hashing_fast()
    yield
    make_hashing_slow_again(*before)


@pytest.fixture
def database(one_database: Database[dict[str, Any]]) -> Database[dict[str, Any]]:
    return emptied(one_database)


@pytest.fixture
def database_uri(mongod: str, database: Database[dict[str, Any]]) -> str:
    return mongod.replace("/?", f"/{database.name}?")


@pytest.fixture
def app(served: Served, store: RunStore, home: Path) -> Flask:
    return served.of(store)


@pytest.fixture
def visitor(app: Flask) -> Visitor:
    return Visitor(app)


class TestTheFirstAccount:
    def test_without_one_everybody_sees_all_and_nobody_is_asked(self, visitor: Visitor, database: Any) -> None:
        insert_run(database, 1)
        assert visitor.get("/").status_code == 200
        assert visitor.get("/api/v1/projects").status_code == 200
        assert visitor.get("/login").headers["Location"] == "/"
        assert "Set-Cookie" not in visitor.get("/").headers
        assert visitor.get("/profile").status_code == 404

    def test_with_one_nothing_is_told_to_whoever_has_not_signed_in(self, visitor: Visitor, database: Any) -> None:
        insert_run(database, 1, project="secret-project")
        person(database)
        answers = [
            visitor.get(path) for path in ("/", "/p/secret-project", "/p/none", "/runs/1", "/runs/99", "/privacy/")
        ]
        assert {answer.status_code for answer in answers} == {303}
        assert all(answer.headers["Location"].startswith("/login?next=/") for answer in answers)
        part = visitor.get("/p/x", headers={"HX-Request": "true", "HX-Current-URL": "http://localhost/p/x?q=%2Fa"})
        assert (part.status_code, part.headers["HX-Redirect"]) == (401, "/login?next=/p/x%3Fq%3D%252Fa")
        for path in ("/api/v1/projects", "/api/v1/runs/1", "/api/v1/runs/99"):
            answer = visitor.get(path)
            assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, "Bearer")
        assert "secret-project" not in visitor.get("/login").text
        assert visitor.get("/healthz").status_code == 200

    def test_once_accounts_were_needed_they_stay_needed(self, visitor: Visitor, database: Any) -> None:
        person(database)
        assert visitor.get("/").status_code == 303
        database["users"].drop()
        assert visitor.get("/").status_code == 303, "whoever can empty a collection must not open the viewer"

    def test_another_programs_collection_of_that_name_locks_nobody_out(self, visitor: Visitor, database: Any) -> None:
        database["users"].insert_one({"_id": "somebody", "shoe_size": 42})
        assert visitor.get("/").status_code == 200

    def test_beyond_this_machine_nobody_is_let_in_without_one(self, store: RunStore, home: Path) -> None:
        assert Visitor(create_app(store, may_be_local=False)).get("/").status_code == 303

    def test_a_viewer_that_writes_nothing_does_not_start_on_one(self, database: Any) -> None:
        refuse_read_only(database)
        person(database)
        with pytest.raises(AccountsNeedWriting, match="--read-only"):
            refuse_read_only(database)


class TestSigningIn:
    def test_lets_in_and_leads_to_where_one_wanted_to_go(self, visitor: Visitor, database: Any) -> None:
        person(database)
        answer = visitor.sign_in("  ANA ", next="/p/digits?q=a")
        assert (answer.status_code, answer.headers["Location"]) == (303, "/p/digits?q=a")
        assert "Your account" in visitor.get("/profile").text

    @pytest.mark.parametrize(
        ("scheme", "name", "marks"),
        [
            ("http", "cloister_session", {"HttpOnly", "Path=/", "SameSite=Lax"}),
            ("https", "__Host-cloister_session", {"HttpOnly", "Path=/", "SameSite=Lax", "Secure"}),
        ],
    )
    def test_the_cookie_is_for_this_host_and_no_script(
        self, app: Flask, database: Any, scheme: str, name: str, marks: set[str]
    ) -> None:
        person(database)
        visitor = Visitor(app, scheme=scheme)
        cookie = next(c for c in visitor.sign_in().headers.getlist("Set-Cookie") if c.startswith(name + "="))
        first, *rest = cookie.split("; ")
        assert set(rest) == marks, "no Domain, no Max-Age: it ends with the browser"
        value = first.partition("=")[2]
        assert len(value) == 43
        stored = database["sessions"].find_one({})
        assert stored["_id"] == hash_of(value)
        assert value not in repr(stored)

    def test_a_cookie_without_tls_opens_nothing_over_tls(self, app: Flask, database: Any) -> None:
        person(database)
        session_id = open_session(database, "ana")
        plain, secure = Visitor(app), Visitor(app, scheme="https")
        for visitor in (plain, secure):
            visitor.client.set_cookie("cloister_session", session_id, domain="localhost")
        assert plain.is_in()
        assert not secure.is_in(), "over TLS only the cookie counts that another host cannot plant"

    def test_unknown_wrong_and_disabled_get_one_answer(self, app: Flask, database: Any) -> None:
        person(database)
        person(database, "bob")
        person(database, "eve", password=None)
        disable_user(database, "bob")
        cases = {
            "unknown": ("nobody", GOOD),
            "wrong": ("ana", "x" * 20),
            "disabled": ("bob", GOOD),
            "unset": ("eve", GOOD),
        }
        answers = {case: Visitor(app).sign_in(*given) for case, given in cases.items()}
        texts = {case: _without(answer.text, cases[case][0]) for case, answer in answers.items()}
        assert {answer.status_code for answer in answers.values()} == {403}
        assert set(texts.values()) == {texts["unknown"]}
        assert "do not belong together" in texts["unknown"]

    def test_unknown_and_wrong_cost_the_same_work(
        self, mongod: str, database: Any, home: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        listener = Commands()
        person(database)
        person(database, "bob")
        disable_user(database, "bob")
        hashed: list[bytes] = []
        hasher = passwords._hasher()
        monkeypatch.setattr(passwords, "_hasher", lambda: Counting(hasher, hashed))
        with pymongo.MongoClient(mongod, tz_aware=True, event_listeners=[listener]) as client:
            visitor = Visitor(create_app(RunStore(client[database.name])))
            costs = []
            visitor.sign_in("somebody", "x" * 20)  # makes indexes, and the address has a counter from now on
            for name in ("nobody", "ana", "bob"):
                token = visitor.csrf_token("/login")
                listener.seen.clear()
                hashed.clear()
                visitor.client.post("/login", data={"csrf_token": token, "name": name, "password": "y" * 20})
                costs.append((list(listener.seen), len(hashed)))
        assert costs[0] == costs[1] == costs[2]
        assert costs[0][1] == 1

    def test_names_that_are_operators_or_lists_are_names(self, visitor: Visitor, database: Any) -> None:
        person(database)
        for form in ({"name[$ne]": "", "password[$ne]": ""}, {"name": '{"$ne": ""}', "password": '{"$gt": ""}'}):
            assert visitor.post("/login", form).status_code == 403

    def test_a_request_of_any_size_costs_little(self, visitor: Visitor, database: Any) -> None:
        person(database)
        assert visitor.sign_in(password="a" * 1_000_000).status_code == 403
        assert visitor.sign_in(name="a" * 1_000_000).status_code == 403
        assert database[ATTEMPTS].count_documents({}) == 0, "it was not even counted, let alone hashed"

    def test_a_name_that_is_a_password_is_kept_nowhere(self, visitor: Visitor, database: Any) -> None:
        person(database)
        visitor.sign_in(name=GOOD, password="")
        for collection in ("audit", ATTEMPTS):
            assert GOOD not in repr(list(database[collection].find()))

    def test_all_of_it_is_in_the_audit_log_before_the_answer(self, visitor: Visitor, database: Any) -> None:
        person(database)
        visitor.sign_in(password="wrong wrong wrong")
        visitor.sign_in(name="nobody")
        visitor.sign_in()
        visitor.post("/logout", page="/profile")
        seen = [(entry["action"], entry["actor"], entry["target"]) for entry in database["audit"].find().sort("_id", 1)]
        assert seen == [
            ("login-failed", "", "user ana"),
            ("login-failed", "", "an unknown account"),
            ("login", "ana", ""),
            ("logout", "ana", ""),
        ]

    @pytest.mark.parametrize(
        "given",
        [
            "//evil",
            "/\\evil",
            "\\\\evil",
            "https:evil",
            "https://evil",
            "javascript:alert(1)",
            "/a\r\nSet-Cookie: x=1",
            "http://ok@evil",
            "/\t/evil",
            " /x",
            "x",
            "",
            "///evil",
            "/login?next=/login",
            "/logout",
            "/" + "a" * 3000,
            "/ü",
        ],
    )
    def test_next_leads_nowhere_else(self, visitor: Visitor, database: Any, given: str) -> None:
        assert own_path(given) == "/"
        if "\r" not in given and not find_user(database, "ana"):
            person(database)
            assert visitor.sign_in(next=given).headers["Location"] == "/"

    @given(st.text() | st.text(alphabet="/\\:@.\t\r\nevil?#%;", max_size=20))
    def test_no_text_leads_to_another_host(self, given: str) -> None:
        there = urlsplit(urljoin("https://tracker.lab/login", own_path(given)))
        assert (there.scheme, there.netloc) == ("https", "tracker.lab")


class TestSessions:
    def test_a_planted_id_is_never_taken(self, visitor: Visitor, database: Any) -> None:
        person(database)
        planted = "A" * 43
        visitor.client.set_cookie("cloister_session", planted, domain="localhost")
        visitor.sign_in()
        assert visitor.cookie() != planted
        assert database["sessions"].find_one({"_id": hash_of(planted)}) is None

    def test_each_sign_in_has_a_new_id_and_ends_the_one_before(self, app: Flask, database: Any) -> None:
        person(database)
        visitor = Visitor(app)
        visitor.sign_in()
        first, token = visitor.cookie(), visitor.csrf_token("/profile")
        visitor.client.post("/login", data={"csrf_token": token, "name": "ana", "password": GOOD})
        assert visitor.is_in()
        assert visitor.cookie() != first
        assert database["sessions"].count_documents({"user": "ana"}) == 1

    def test_signing_out_ends_it_for_whoever_has_a_copy(self, app: Flask, database: Any) -> None:
        person(database)
        visitor, thief = Visitor(app), Visitor(app)
        visitor.sign_in()
        thief.client.set_cookie("cloister_session", visitor.cookie() or "", domain="localhost")
        assert thief.is_in()
        assert visitor.post("/logout", page="/profile").headers["Location"] == "/login"
        assert not thief.is_in()
        assert visitor.cookie() is None

    @pytest.mark.parametrize(
        ("aged", "policy"),
        [
            ({"last_seen": timedelta(hours=12)}, {}),
            ({"created_at": timedelta(days=7)}, {}),
            ({"last_seen": timedelta(minutes=61)}, {"session_idle_hours": 1}),
            ({"created_at": timedelta(days=1)}, {"session_days": 1}),
        ],
    )
    def test_it_ends_by_itself(
        self, visitor: Visitor, database: Any, aged: dict[str, timedelta], policy: dict[str, float]
    ) -> None:
        person(database)
        visitor.sign_in()
        now = datetime.now(timezone.utc)
        almost = {name: now - age + timedelta(minutes=5) for name, age in aged.items()}
        if policy:
            database["policy"].insert_one({"_id": "site", **policy})
        database["sessions"].update_one({}, {"$set": almost})
        assert visitor.is_in()
        database["sessions"].update_one({}, {"$set": {name: now - age for name, age in aged.items()}})
        assert not visitor.is_in()
        assert database["sessions"].count_documents({}) == 0

    def test_whoever_is_disabled_is_out_at_once(self, app: Flask, database: Any) -> None:
        person(database)
        person(database, "bob")
        visitor = Visitor(app)
        visitor.sign_in("bob")
        assert visitor.is_in()
        disable_user(database, "bob")
        assert not visitor.is_in()
        database["users"].update_one({"_id": "bob"}, {"$set": {"disabled_at": None}})
        assert not visitor.is_in(), "the session did not outlive it"

    def test_a_new_password_ends_the_others_and_not_this_one(self, app: Flask, database: Any) -> None:
        person(database)
        here, elsewhere = Visitor(app), Visitor(app)
        here.sign_in()
        elsewhere.sign_in()
        new = "seven windows of a tractor"
        wrong = here.own("/password", {"current": "not it at all", "new": new, "again": new})
        assert (wrong.status_code, elsewhere.is_in()) == (403, True)
        unlike = here.own("/password", {"current": GOOD, "new": new, "again": new + "x"})
        weak = here.own("/password", {"current": GOOD, "new": "short", "again": "short"})
        assert (unlike.status_code, weak.status_code, "short" in weak.text) == (400, 400, False)
        assert here.own("/password", {"current": GOOD, "new": new, "again": new}).status_code == 303
        assert here.is_in()
        assert not elsewhere.is_in()
        assert check_password(database, "ana", new)
        assert check_password(database, "ana", GOOD) is None

    def test_one_ends_ones_own_and_nobody_elses(self, app: Flask, database: Any) -> None:
        person(database)
        person(database, "bob")
        ana, ana_elsewhere, bob = Visitor(app), Visitor(app), Visitor(app)
        ana.sign_in()
        ana_elsewhere.sign_in()
        bob.sign_in("bob")
        bobs = database["sessions"].find_one({"user": "bob"})["_id"]
        assert ana.own(f"/sessions/{bobs}/end").status_code == 404
        assert bob.is_in()
        own = hash_of(ana_elsewhere.cookie() or "")
        assert ana.own(f"/sessions/{own}/end").status_code == 303
        assert not ana_elsewhere.is_in()
        ana_elsewhere.sign_in()
        assert ana.own("/sessions/end").status_code == 303
        assert (ana.is_in(), ana_elsewhere.is_in(), bob.is_in()) == (True, False, True)

    def test_they_are_listed_with_browser_and_address(self, app: Flask, database: Any) -> None:
        person(database)
        visitor = Visitor(app, address="10.1.2.3")
        agent = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
        token = visitor.csrf_token("/login")
        form = {"csrf_token": token, "name": "ana", "password": GOOD}
        visitor.client.post(
            "/login", data=form, headers={"User-Agent": agent}, environ_overrides={"REMOTE_ADDR": "10.1.2.3"}
        )
        page = visitor.get("/profile").text
        assert "Firefox on Linux" in page
        assert "10.1.2.3" in page


class TestForgedRequests:
    def test_what_changes_something_needs_the_pages_own_token(self, app: Flask, database: Any) -> None:
        person(database)
        person(database, "eve")
        ana, eve = Visitor(app), Visitor(app)
        ana.sign_in()
        eve.sign_in("eve")
        stolen = {"none": "", "eves": eve.csrf_token("/profile"), "guess": "0" * 64}
        for path in ("/profile/sessions/end", "/profile/name", "/logout", "/profile/tokens"):
            for token in stolen.values():
                answer = ana.post_bare(
                    path, {"csrf_token": token, "full_name": "Eve", "name": "x", "scopes": "admin", "days": "9"}
                )
                assert answer.status_code == 403
        assert ana.is_in()
        assert database["tokens"].count_documents({}) == 0
        assert find_user(database, "ana").full_name == ""
        header = {"X-CSRF-Token": ana.csrf_token("/profile")}
        assert ana.post_bare("/profile/name", {"full_name": "Ana"}, headers=header).status_code == 303

    def test_signing_in_is_not_done_for_somebody_by_others(self, visitor: Visitor, database: Any) -> None:
        person(database)
        assert visitor.post_bare("/login", {"name": "ana", "password": GOOD}).status_code == 403
        assert visitor.cookie() is None

    def test_a_page_of_another_site_is_refused_whatever_it_sends(self, visitor: Visitor, database: Any) -> None:
        person(database)
        visitor.sign_in()
        token = visitor.csrf_token("/profile")
        for headers in ({"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}, {"Origin": "null"}):
            answer = visitor.post_bare("/profile/sessions/end", {"csrf_token": token}, headers=headers)
            assert answer.status_code == 403

    def test_whoever_looks_as_somebody_else_changes_no_account(self, visitor: Visitor, database: Any) -> None:
        person(database)
        visitor.sign_in()
        database["sessions"].update_one({}, {"$set": {"view_as": {"kind": "signed-in"}}})
        for path in ("/name", "/sessions/end", "/tokens", "/second-factor", "/password"):
            answer = visitor.own(
                path, {"full_name": "Eve", "name": "x", "scopes": "read", "days": "9", "password": GOOD}
            )
            assert (answer.status_code, "looking as somebody else" in answer.text) == (403, True)
        header = {"X-CSRF-Token": visitor.csrf_token("/profile")}
        made = visitor.client.post("/api/v1/me/tokens", json={"name": "x"}, headers=header)
        assert (made.status_code, database["tokens"].count_documents({})) == (403, 0)

    def test_a_script_is_told_what_it_lacks(self, visitor: Visitor, database: Any) -> None:
        person(database)
        visitor.sign_in()
        refused = visitor.client.post("/api/v1/me/tokens", json={"name": "x"})
        assert (refused.status_code, "X-CSRF-Token" in refused.json["detail"]) == (403, True)

    def test_looking_changes_nothing(self, visitor: Visitor, database: Any) -> None:
        person(database)
        visitor.sign_in()
        for path in ("/logout", "/profile/sessions/end", "/profile/tokens", "/profile/second-factor/off"):
            assert visitor.get(path).status_code == 405
        assert visitor.is_in()


class TestThrottle:
    def test_five_attempts_then_a_pause_that_the_right_password_waits_for_too(self, app: Flask, database: Any) -> None:
        person(database)
        person(database, "bob")
        visitor = Visitor(app, address="10.0.0.9")
        assert [visitor.sign_in(password=f"wrong {n} wrong wrong").status_code for n in range(5)] == [403] * 5
        refused = visitor.sign_in()
        assert (refused.status_code, refused.headers["Retry-After"]) == (429, "30")
        assert Visitor(app, address="10.0.0.9").sign_in("bob").status_code == 303, (
            "another account is not kept out by it"
        )
        _let_time_pass(database)
        assert visitor.sign_in(password="wrong again wrong").status_code == 403
        assert 50 < int(visitor.sign_in().headers["Retry-After"]) <= 60, "each further pause is twice as long"
        _let_time_pass(database)
        assert visitor.sign_in().status_code == 303
        assert visitor.sign_in(password="a slip of the hand").status_code != 429
        entries = database["audit"].find({"action": "login-failed"}).sort("_id", 1)
        assert ["30" in str(entry["details"]) for entry in entries][:5] == [False] * 4 + [True]

    def test_unknown_accounts_are_throttled_alike(self, app: Flask, database: Any) -> None:
        person(database)
        known, unknown = Visitor(app, address="10.0.0.1"), Visitor(app, address="10.0.0.2")
        answers = [
            [visitor.sign_in(name, "wrong wrong wrong") for _ in range(7)]
            for visitor, name in ((known, "ana"), (unknown, "nobody"))
        ]
        assert [one.status_code for one in answers[0]] == [one.status_code for one in answers[1]]
        assert _without(answers[0][-1].text, "ana") == _without(answers[1][-1].text, "nobody")

    def test_who_has_signed_in_from_here_is_not_locked_out_by_others(self, app: Flask, database: Any) -> None:
        person(database)
        office, attacker = Visitor(app, address="10.0.0.5"), Visitor(app, address="10.6.6.6")
        office.sign_in()
        for _ in range(6):
            attacker.sign_in(password="guess guess guess")
        assert attacker.sign_in().status_code == 429
        assert Visitor(app, address="10.0.0.5").sign_in().status_code == 303

    def test_one_address_cannot_try_all_accounts(self, database: Any) -> None:
        throttle = LoginThrottle(database, b"secret")
        for number in range(50):
            throttle.charge(f"user{number}", "10.6.6.6")
        with pytest.raises(TooManyAttempts):
            throttle.charge("another", "10.6.6.6")
        throttle.charge("another", "10.0.0.1")

    def test_forty_at_once_are_five(self, database: Any) -> None:
        throttle, let_through, lock = LoginThrottle(database, b"secret"), [], threading.Lock()

        def attempt(number: int) -> None:
            try:
                throttle.charge("ana", f"10.0.1.{number}")
            except TooManyAttempts:
                return
            with lock:
                let_through.append(number)

        threads = [threading.Thread(target=attempt, args=(number,)) for number in range(40)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(let_through) == 5

    def test_a_flood_waits_for_no_more_than_two_hashes_and_is_told_so(self, visitor: Visitor, database: Any) -> None:
        person(database)
        gate, waiting = passwords._GATE, passwords.WAITING_AT_MOST
        with gate.passed(), gate.passed():
            gate._waiting += waiting
            try:
                answer = visitor.sign_in()
            finally:
                gate._waiting -= waiting
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")


class TestPasswords:
    def test_all_of_a_long_one_counts(self) -> None:
        long = "correct horse battery staple " * 4
        stored = hash_password(long[:100] + "a")
        assert stored.startswith("$argon2id$")
        assert verify_password(stored, long[:100] + "a")
        assert not verify_password(stored, long[:100] + "b"), "twins beyond 72 bytes are two"
        assert not verify_password(stored, long[:100])
        assert not verify_password(hash_password("p" * 128), "p" * 129)
        assert not verify_password(stored, "p" * 100_000)

    def test_nothing_is_nobodys_password(self) -> None:
        assert not verify_password(None, "")
        assert not verify_password("", "")
        assert not verify_password("not a hash", "x")

    def test_the_same_signs_typed_on_another_keyboard_are_the_same(self) -> None:
        assert verify_password(hash_password("caf\u00e9 au lait cr\u00e8me"), "cafe\u0301 au lait cre\u0300me")

    def test_a_hash_of_weaker_parameters_is_replaced_at_the_next_sign_in(
        self, database: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        person(database)
        before = database["users"].find_one({"_id": "ana"})["password"]
        monkeypatch.setattr(passwords, "MEMORY_KIB", 64)
        passwords._hasher.cache_clear()
        assert is_outdated(before)
        assert check_password(database, "ana", GOOD)
        after = database["users"].find_one({"_id": "ana"})["password"]
        passwords._hasher.cache_clear()
        assert "m=64," in after
        assert verify_password(after, GOOD)

    def test_the_parameters_are_those_that_owasp_advises(self) -> None:
        make_hashing_slow_again(19 * 1024, 2)
        try:
            assert hash_password(GOOD).startswith("$argon2id$v=19$m=19456,t=2,p=1$")
        finally:
            make_hashing_fast()

    @pytest.mark.parametrize(
        "bad",
        [
            "",
            "elevensigns",
            "a" * 12,
            "abababababab",
            "password1234",
            "P@ssw0rd1234",
            "passwordpassword",
            "123456789012",
            "qwertyuiop12",
            "abcdefghijklm",
            "qwertyuiop123456",
            "iloveyou2024!",
            "x" * 129,
            "Tr0ub4dor1",
            "anasilva1234",
            "ana.silva.ana",
            "cloister1234",
            "Cloister2026",
            "1q2w3e4r5t6y",
            "letmeinletmein",
        ],
    )
    def test_bad_ones_are_refused_without_being_repeated(self, bad: str) -> None:
        with pytest.raises(WeakPassword) as refusal:
            check_new_password(bad, about=("anasilva", "Ana Silva", "ana.silva@lab.example"))
        assert len(bad) < 6 or bad not in str(refusal.value)

    @pytest.mark.parametrize(
        "good",
        [
            GOOD,
            "correct horse battery staple",
            "x" * 60 + "abcdefg hij",
            "übung macht den meister",
            "🙂🐢🌲🚲 turtle rides",
            "🙂🐢🌲🚲⛵🌍🍎🎈🧩🔔🌵🪁",
        ],
    )
    def test_good_ones_need_no_signs_or_digits(self, good: str) -> None:
        check_new_password(good, about=("ana",))


class TestNames:
    @pytest.mark.parametrize(
        ("given", "name"),
        [
            ("Ana", "ana"),
            (" ana ", "ana"),
            (FULL_WIDTH, "ana"),
            ("Straße", "strasse"),
            ("Müller", "müller"),
            ("山田 ".strip(), "山田"),
            ("ana.silva@lab-1+x", "ana.silva@lab-1+x"),
            ("\uff4f-neil", "o-neil"),
            ("ивана", "ивана"),
        ],
    )
    def test_a_name_has_one_spelling(self, given: str, name: str) -> None:
        assert parse_account_name(given) == name
        assert parse_account_name(name) == name

    @pytest.mark.parametrize(
        "given",
        [
            "",
            " ",
            "a b",
            "a/b",
            "$ne",
            "a\0b",
            "a\nb",
            "\u0430na",
            "<script>",
            ".ana",
            "ana.",
            "a" * 65,
            "ana\u202enis",
            "a:b",
            "\udcff",
            "..",
            "a\u200bb",
        ],
    )
    def test_what_could_be_mistaken_is_none(self, given: str) -> None:
        with pytest.raises(BadAccountName):
            parse_account_name(given)

    @given(st.text() | st.text(alphabet="ana.\u0430\uff21\u00df\u0130\u212a-", max_size=9))
    def test_whatever_is_typed_is_one_name_or_none(self, given: str) -> None:
        try:
            name = parse_account_name(given)
        except BadAccountName:
            return
        assert parse_account_name(name) == name

    def test_two_spellings_are_one_account(self, database: Any) -> None:
        person(database, "Ana")
        with pytest.raises(UserExists):
            person(database, FULL_WIDTH)

    def test_an_identity_provider_takes_over_nobodys_account(self, database: Any) -> None:
        person(database)
        with pytest.raises(OtherSource):
            provision_user(database, name="ANA", source="oidc", subject="1234")
        made = provision_user(database, name="bob", source="oidc", subject="55", groups=["vision"])
        again = provision_user(database, name="robert", source="oidc", subject="55", full_name="Bob", groups=[])
        assert (made.name, again.name, again.full_name) == ("bob", "bob", "Bob"), "the subject is who somebody is"
        assert check_password(database, "bob", "") is None
        assert database["groups"].find_one({"_id": "vision"})["people"] == []

    def test_two_first_sign_ins_at_one_moment_make_one_account(self, database: Any) -> None:
        def provision(name: str) -> str:
            return provision_user(database, name=name, source="oidc", subject="77").name

        with ThreadPoolExecutor(6) as threads:
            made = set(threads.map(provision, ["dora", "dora.k"] * 3))
        assert len(made) == 1
        assert [user.name for user in list_users(database)] == list(made)


class TestTheServersKey:
    def test_is_made_once_and_for_its_owner_alone(self, home: Path) -> None:
        first = load_server_key()
        assert load_server_key() == first
        assert key_path().stat().st_mode & 0o777 == 0o600
        assert [path.name for path in home.iterdir()] == ["viewer.key"]

    def test_is_refused_when_others_may_read_it_or_it_is_none(
        self, home: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        load_server_key()
        key_path().chmod(0o644)
        with pytest.raises(BadServerKey, match="chmod 600"):
            load_server_key()
        key_path().chmod(0o600)
        key_path().write_text("not hex")
        with pytest.raises(BadServerKey, match="32 bytes"):
            load_server_key()
        monkeypatch.setenv("CLOISTER_SERVER_KEY_FILE", str(home / "missing" / "deep" / "key"))
        assert len(load_server_key()) == 32

    def test_two_viewers_that_start_together_have_one(self, home: Path) -> None:
        found: list[bytes] = []
        threads = [threading.Thread(target=lambda: found.append(load_server_key())) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(found) == 8
        assert len(set(found)) == 1


class TestCommands:
    def test_make_show_change_and_lock_out_people(self, database_uri: str, database: Any, home: Path) -> None:
        def run(*words: str, typed: str = "") -> str:
            done = CliRunner().invoke(main, [*words, "--uri", database_uri], input=typed)
            assert GOOD not in done.output
            return f"{done.exit_code} {done.output}"

        both = f"{GOOD}\n{GOOD}\n"
        assert "Nobody has an account" in run("user", "ls")
        assert "ana administers the site" in run("user", "add", "Ana", typed=both)
        assert run("user", "add", "ana", "--password-stdin", typed=GOOD).startswith(
            "1 Error: There is an account 'ana'"
        )
        assert run("user", "add", "bob", "--password-stdin", typed="short").startswith(
            "1 Error: This password is not taken"
        )
        assert find_user(database, "bob") is None
        assert "bob has an account" in run("user", "add", "bob", "--no-password", "--auditor")
        assert check_password(database, "bob", "") is None
        assert "0 sessions ended" in run("user", "passwd", "bob", "--password-stdin", typed=GOOD)
        assert check_password(database, "bob", GOOD)
        assert "only site admin" in run("user", "disable", "ana")
        assert "only site admin" in run("user", "rights", "ana", "--no-admin")
        assert "bob is admin and auditor" in run("user", "rights", "bob", "--admin")
        assert "cannot sign in" in run("user", "disable", "ana")
        assert check_password(database, "ana", GOOD) is None
        assert "ana" in run("user", "ls")
        assert "disabled since" in run("user", "ls")
        assert "can sign in again" in run("user", "enable", "ana")
        assert "no account 'eve'" in run("user", "end-sessions", "eve")
        actors = {entry["actor"] for entry in database["audit"].find()}
        assert len(actors) == 1
        assert "@" in actors.pop()


@pytest.mark.browser
def test_a_browser_signs_in_looks_and_signs_out(
    browser: Any, store: RunStore, database: Database[dict[str, Any]], home: Path
) -> None:
    person(database, full_name="<img src=x onerror=alert(1)>")
    insert_run(database, 1)
    with running_viewer(store) as port:
        context = browser.new_context()
        page = context.new_page()
        page.set_default_timeout(10_000)
        faults: list[str] = []
        page.on("dialog", lambda dialog: faults.append(dialog.message))
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.goto(f"http://127.0.0.1:{port}/p/digits")
        page.fill("#login-name", "ana")
        page.fill("#login-password", "wrong wrong wrong")
        page.click("main button")
        assert "do not belong together" in page.inner_text("[role=alert]")
        page.fill("#login-password", GOOD)
        page.click("main button")
        page.wait_for_url("**/p/digits")
        readable = [cookie.partition("=")[0] for cookie in page.evaluate("document.cookie").split("; ")]
        assert readable == ["cloister_zone"], "no script reads the session"
        page.click(".person-menu summary")
        assert page.inner_text(".person-menu h2") == "<img src=x onerror=alert(1)>"
        page.click(".person-menu a")
        page.fill("#token-name", "nightly")
        page.click("text=Make a token")
        token = page.inner_text(".new-token code")
        page.reload()
        assert token not in page.content()
        page.click(".person-menu summary")
        page.click(".person-menu >> text=Sign out")
        page.wait_for_url("**/login")
        page.goto(f"http://127.0.0.1:{port}/profile")
        assert page.inner_text("h1") == "Sign in"
        context.close()
    assert faults == []


class Counting:
    """A hasher that notes what it is given to verify."""

    def __init__(self, hasher: Any, seen: list[bytes]) -> None:
        self._hasher, self._seen = hasher, seen

    def __getattr__(self, name: str) -> Any:
        return getattr(self._hasher, name)

    def verify(self, stored: str, password: bytes) -> bool:
        self._seen.append(password)
        return bool(self._hasher.verify(stored, password))


class Commands(CommandListener):
    """Which commands went to which collection."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, Any]] = []

    def started(self, event: Any) -> None:
        self.seen.append((event.command_name, event.command.get(event.command_name)))

    def succeeded(self, event: Any) -> None:
        pass

    def failed(self, event: Any) -> None:
        pass


def _without(page: str, name: str) -> str:
    """A page without what differs from one form to the next: its token, and the name that was typed."""
    import re

    return re.sub(r"[0-9a-f]{64}|\d\d:\d\d:\d\dZ", "", page).replace(f'value="{name}"', "")


def _let_time_pass(database: Any) -> None:
    """So that the pause of every counter is over."""
    past = datetime.now(timezone.utc) - timedelta(seconds=1)
    database[ATTEMPTS].update_many({"paused_until": {"$ne": None}}, {"$set": {"paused_until": past}})
