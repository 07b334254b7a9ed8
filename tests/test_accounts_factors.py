"""Second factors and tokens, from both sides."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pyotp
import pytest
from cloister.observer.runs import RunStore
from cloister.viewer.accounts import passwords, second_factor
from cloister.viewer.accounts.account_changes import disable_user, enable_user, reset_second_factor
from cloister.viewer.accounts.second_factor import (
    begin_set_up,
    check_code,
    confirm_set_up,
    count_recovery_codes,
    draw_qr_code,
    offered_secret,
    provisioning_uri,
)
from cloister.viewer.accounts.server_key import SealBroken, key_path, seal, unseal
from cloister.viewer.accounts.sessions import hash_of
from cloister.viewer.accounts.tokens import BadToken, find_token, make_token
from flask import Flask
from pymongo.database import Database
from running_viewer import insert_run
from signing_in import (
    GOOD,
    Served,
    Visitor,
    emptied,
    make_hashing_fast,
    make_hashing_slow_again,
    person,
)


@pytest.fixture(scope="module", autouse=True)
def _fast_hashing() -> Iterator[None]:
    before = passwords.MEMORY_KIB, passwords.PASSES
    make_hashing_fast()
    yield
    make_hashing_slow_again(*before)


@pytest.fixture
def database(one_database: Database[dict[str, Any]], home: Path) -> Database[dict[str, Any]]:
    return emptied(one_database)


@pytest.fixture
def app(served: Served, store: RunStore) -> Flask:
    return served.of(store)


def has_factor(database: Any, name: str = "ana") -> tuple[str, tuple[str, ...]]:
    """Give somebody a second factor: its secret and the recovery codes. The code of now is used up."""
    secret = begin_set_up(database, name, by="test")
    codes = confirm_set_up(database, name, pyotp.TOTP(secret).now(), by="test")
    assert codes is not None
    return secret, codes


def next_code(secret: str, steps: int = 1) -> str:
    return pyotp.TOTP(secret).generate_otp(int(time.time()) // 30 + steps)


def forget_last_step(database: Any) -> None:
    database["users"].update_many({}, {"$set": {"totp.last_step": 0}})


class TestSecondFactor:
    def test_is_set_up_on_ones_page_and_asked_for_from_then_on(self, app: Flask, database: Any) -> None:
        person(database)
        visitor = Visitor(app)
        visitor.sign_in()
        assert visitor.own("/second-factor", {"password": "not this one"}).status_code == 403
        page = visitor.own("/second-factor", {"password": GOOD}).text
        secret = re.search(r'class="secret-key">([A-Z2-7 ]+)<', page)[1].replace(" ", "")
        assert visitor.own("/second-factor/confirm", {"code": "000000"}).status_code == 403
        done = visitor.own("/second-factor/confirm", {"code": pyotp.TOTP(secret).now()})
        codes = re.findall(r"<li>([a-z2-9-]{14})</li>", done.text)
        assert len(set(codes)) == 10
        assert codes[0] not in visitor.get("/profile").text
        other = Visitor(app)
        assert other.sign_in(next="/p/digits").headers["Location"] == "/login/code"
        assert not other.is_in()
        assert (
            other.post("/login/code", {"code": next_code(secret)}, page="/login/code").headers["Location"]
            == "/p/digits"
        )
        assert other.is_in()

    def test_the_cookie_between_the_two_steps_opens_nothing(self, app: Flask, database: Any) -> None:
        person(database)
        has_factor(database)
        visitor = Visitor(app)
        visitor.sign_in()
        half = visitor.client.get_cookie("cloister_pending", domain="localhost").value
        for name in ("cloister_session", "__Host-cloister_session"):
            visitor.client.set_cookie(name, half, domain="localhost")
        assert visitor.get("/api/v1/me").status_code == 401
        assert not visitor.is_in()
        assert half not in repr(list(database["pending_sign_ins"].find()))

    def test_a_code_is_good_for_once(self, app: Flask, database: Any) -> None:
        person(database)
        secret = begin_set_up(database, "ana", by="test")
        first = pyotp.TOTP(secret).now()
        assert confirm_set_up(database, "ana", first, by="test")
        assert not check_code(database, "ana", first), "the one that set it up is used up"
        code = next_code(secret)
        assert check_code(database, "ana", code)
        assert not check_code(database, "ana", code)
        assert not check_code(database, "ana", next_code(secret, 0)), "nor is one from before it good"

    def test_of_two_that_come_at_once_with_one_code_one_is_let_in(self, database: Any) -> None:
        person(database)
        secret, recovery = has_factor(database)
        for code in (next_code(secret), recovery[0]):
            with ThreadPoolExecutor(6) as threads:
                answers = list(threads.map(lambda given: check_code(database, "ana", given), [code] * 6))
            assert sorted(answers) == [False] * 5 + [True]

    def test_codes_too_old_too_early_or_of_others_are_none(self, database: Any) -> None:
        person(database)
        person(database, "bob")
        secret, recovery = has_factor(database)
        bobs, bobs_recovery = has_factor(database, "bob")
        forget_last_step(database)
        for code in (
            next_code(secret, -2),
            next_code(secret, 3),
            next_code(bobs),
            bobs_recovery[0],
            "",
            "abc",
            "\uff11\uff12\uff13\uff14\uff15\uff16",
        ):
            assert not check_code(database, "ana", code)
        assert check_code(database, "ana", f" {recovery[1].upper()} ")

    def test_a_recovery_code_lets_in_once_and_is_counted(self, app: Flask, database: Any) -> None:
        person(database)
        _, codes = has_factor(database)
        for expected in (303, 403):
            visitor = Visitor(app)
            visitor.sign_in()
            assert visitor.post("/login/code", {"code": codes[0]}, page="/login/code").status_code == expected
        assert count_recovery_codes(database, "ana") == 9
        assert codes[0].replace("-", "") not in repr(database["users"].find_one({"_id": "ana"}))

    def test_five_wrong_codes_end_the_attempt(self, app: Flask, database: Any) -> None:
        person(database)
        secret, _ = has_factor(database)
        visitor = Visitor(app)
        visitor.sign_in()
        answers = [visitor.post("/login/code", {"code": "000000"}, page="/login/code").status_code for _ in range(5)]
        assert answers == [403] * 5
        late = visitor.post("/login/code", {"code": next_code(secret)}, page="/login")
        assert "Sign in again" in late.text
        assert not visitor.is_in()
        visitor.sign_in()
        again = visitor.post("/login/code", {"code": next_code(secret)}, page="/login/code")
        assert again.status_code == 429, "signing in anew does not begin a new series of guesses"

    def test_too_late_is_too_late(self, app: Flask, database: Any) -> None:
        person(database)
        secret, _ = has_factor(database)
        visitor = Visitor(app)
        visitor.sign_in()
        database["pending_sign_ins"].update_one({}, {"$set": {"forget_at": datetime.now(timezone.utc)}})
        answer = visitor.post("/login/code", {"code": next_code(secret)})
        assert "took too long" in answer.text
        assert not visitor.is_in()

    def test_whoever_is_disabled_between_the_steps_stays_out(self, app: Flask, database: Any) -> None:
        person(database)
        person(database, "bob")
        secret, _ = has_factor(database, "bob")
        visitor = Visitor(app)
        visitor.sign_in("bob")
        disable_user(database, "bob")
        assert visitor.post("/login/code", {"code": next_code(secret)}).status_code == 403
        assert not visitor.is_in()

    def test_a_stolen_session_cannot_change_it(self, app: Flask, database: Any) -> None:
        person(database)
        ana, thief = Visitor(app), Visitor(app)
        ana.sign_in()
        thief.sign_in()
        ana.own("/second-factor", {"password": GOOD})
        stolen = thief.own("/second-factor/confirm", {"code": "000000"})
        assert stolen.status_code == 404, "what ana was shown is shown to nobody else"
        assert "secret-key" not in stolen.text
        assert offered_secret(database, "ana", by=hash_of(thief.cookie() or "")) is None
        secret = offered_secret(database, "ana", by=hash_of(ana.cookie() or ""))
        assert secret is not None
        ana.own("/second-factor/confirm", {"code": pyotp.TOTP(secret).now()})
        for path in ("/second-factor/off", "/second-factor/codes"):
            assert thief.own(path, {"password": "a guess at it"}).status_code == 403
        assert count_recovery_codes(database, "ana") == 10
        assert ana.own("/second-factor/off", {"password": GOOD}).status_code == 303
        assert Visitor(app).sign_in().headers["Location"] == "/"

    def test_where_the_policy_wants_it_nothing_opens_before_it_is_set_up(self, app: Flask, database: Any) -> None:
        person(database)
        database["policy"].insert_one({"_id": "site", "require_totp": True})
        visitor = Visitor(app)
        assert visitor.sign_in(next="/p/digits").headers["Location"] == "/login/set-up"
        assert not visitor.is_in()
        page = visitor.get("/login/set-up").text
        secret = re.search(r'class="secret-key">([A-Z2-7 ]+)<', page)[1].replace(" ", "")
        assert visitor.post("/login/set-up", {"code": "000000"}, page="/login/set-up").status_code == 403
        done = visitor.post("/login/set-up", {"code": pyotp.TOTP(secret).now()}, page="/login/set-up")
        assert "recovery codes" in done.text
        assert 'href="/p/digits"' in done.text
        assert visitor.is_in()
        assert visitor.own("/second-factor/off", {"password": GOOD}).status_code == 403

    def test_a_policy_that_nobody_understands_wants_it_too(self, app: Flask, database: Any) -> None:
        person(database)
        database["policy"].insert_one({"_id": "site", "requires_totp": True})
        assert Visitor(app).sign_in().headers["Location"] == "/login/set-up"

    def test_a_copy_of_the_database_gives_no_codes(self, app: Flask, database: Any) -> None:
        person(database)
        person(database, "bob")
        secret, _ = has_factor(database)
        document = database["users"].find_one({"_id": "ana"})
        assert secret not in repr(document)
        database["users"].update_one({"_id": "bob"}, {"$set": {"totp": document["totp"]}})
        with pytest.raises(SealBroken):  # whoever writes the database cannot give bob a factor that he knows
            check_code(database, "bob", next_code(secret))
        key_path().unlink()
        visitor = Visitor(app)
        visitor.sign_in()
        answer = visitor.post("/login/code", {"code": next_code(secret)}, page="/login/code")
        assert (answer.status_code, visitor.is_in()) == (503, False)
        assert "reset-second-factor" not in answer.text
        assert reset_second_factor(database, "ana")
        assert visitor.sign_in().headers["Location"] == "/"

    def test_a_seal_is_of_one_purpose(self, home: Path) -> None:
        sealed = seal("text", purpose="one")
        assert unseal(sealed, purpose="one") == "text"
        for broken in (sealed[:-4] + "AAA=", "AAAA", ""):
            with pytest.raises(SealBroken):
                unseal(broken, purpose="one")
        with pytest.raises(SealBroken):
            unseal(sealed, purpose="two")

    def test_the_qr_code_is_drawn_here_and_holds_what_an_app_reads(self) -> None:
        import segno

        uri = provisioning_uri("ana", "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP", site="tracker.lab")
        assert (
            uri
            == "otpauth://totp/Cloister%20tracker.lab:ana?secret=JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP&issuer=Cloister%20tracker.lab"
        )
        drawn = draw_qr_code(uri)
        dark = {(int(x), int(y)) for x, y in re.findall(r"M(\d+) (\d+)h1v1h-1z", drawn)}
        rows = segno.make(uri, error="m").matrix_iter(border=4)
        assert dark == {(x, y) for y, row in enumerate(rows) for x, cell in enumerate(row) if cell}

    def test_its_changes_are_in_the_audit_log_and_its_secrets_are_not(self, app: Flask, database: Any) -> None:
        person(database)
        visitor = Visitor(app)
        visitor.sign_in()
        visitor.own("/second-factor", {"password": GOOD})
        secret = offered_secret(database, "ana", by=hash_of(visitor.cookie() or ""))
        codes = re.findall(
            r"<li>([a-z2-9-]{14})</li>", visitor.own("/second-factor/confirm", {"code": pyotp.TOTP(secret).now()}).text
        )
        visitor.own("/second-factor/off", {"password": GOOD})
        entries = list(database["audit"].find().sort("_id", 1))
        assert [entry["action"] for entry in entries] == ["login", "totp-changed", "totp-changed"]
        assert not any(hidden in repr(entries) for hidden in (secret, GOOD, *codes))


class TestTokens:
    def bearer(self, token: str) -> dict[str, Any]:
        return {"headers": {"Authorization": f"Bearer {token}"}}

    def test_one_is_made_on_ones_page_and_shown_once(self, app: Flask, database: Any) -> None:
        person(database)
        visitor = Visitor(app)
        visitor.sign_in()
        page = visitor.own("/tokens", {"name": "nightly", "scopes": ["read"], "days": "30"})
        text = re.search(r"clst_[0-9A-Za-z]{8}_[0-9A-Za-z]{43}_[0-9A-Za-z]{6}", page.text)[0]
        assert text not in visitor.get("/profile").text
        secret = text.split("_")[2]
        assert secret not in repr(list(database["tokens"].find()))
        assert secret not in repr(list(database["audit"].find()))
        me = Visitor(app).get("/api/v1/me", **self.bearer(text)).json
        assert (me["name"], me["kind"], me["scopes"]) == ("ana", "token", ["read"])
        used = database["tokens"].find_one({})
        assert used["last_used_at"] is not None
        assert used["last_address"] == "127.0.0.1"

    def test_wrong_revoked_expired_and_disabled_ones_open_nothing(self, app: Flask, database: Any) -> None:
        person(database)
        person(database, "bob")
        text, _ = make_token(database, "bob", name="x")
        kind, key, secret, end = text.split("_")
        other, _ = make_token(database, "bob", name="y")
        script = Visitor(app)

        def status(given: str) -> int:
            return script.get("/api/v1/me", **self.bearer(given)).status_code

        assert status(text) == 200
        wrong = [
            f"{kind}_{key}_{secret[:-1]}{'B' if secret.endswith('A') else 'A'}_{end}",
            f"{kind}_{key}_{secret}_aaaaaa",
            f"{kind}_{other.split('_')[1]}_{secret}_{end}",
        ]
        wrong += ["", "clst", text[:-1], text + "A", f" {text}x", '{"$ne": null}', "a" * 5000, key, secret]
        assert {status(given) for given in wrong} == {401}
        database["tokens"].update_one({"_id": key}, {"$set": {"expires_at": datetime.now(timezone.utc)}})
        assert status(text) == 401
        database["tokens"].update_one({"_id": key}, {"$set": {"expires_at": datetime.now(timezone.utc) + timedelta(1)}})
        assert status(text) == 200
        disable_user(database, "bob")
        assert status(text) == 401
        enable_user(database, "bob")
        assert status(text) == 401, "tokens do not come back with the person"
        assert find_token(database, text) is None

    def test_a_revoked_one_is_dead_on_the_next_request(self, app: Flask, database: Any) -> None:
        person(database)
        person(database, "eve")
        visitor, eve, script = Visitor(app), Visitor(app), Visitor(app)
        visitor.sign_in()
        eve.sign_in("eve")
        text, token = make_token(database, "ana", name="x")
        assert eve.own(f"/tokens/{token.key}/revoke").status_code == 404
        assert script.get("/api/v1/me", **self.bearer(text)).status_code == 200
        assert visitor.own(f"/tokens/{token.key}/revoke").status_code == 303
        assert script.get("/api/v1/me", **self.bearer(text)).status_code == 401

    def test_one_is_taken_from_the_header_alone(self, app: Flask, database: Any) -> None:
        person(database)
        text, _ = make_token(database, "ana", name="x")
        script = Visitor(app)
        for path in (
            f"/api/v1/me?token={text}",
            f"/api/v1/me?access_token={text}",
            f"/api/v1/me?Authorization=Bearer+{text}",
        ):
            assert script.get(path).status_code == 401
        script.client.set_cookie("cloister_session", text, domain="localhost")
        assert script.get("/api/v1/me").status_code == 401

    def test_a_wrong_one_is_nobody_even_beside_a_session(self, app: Flask, database: Any) -> None:
        person(database)
        visitor = Visitor(app)
        visitor.sign_in()
        assert visitor.get("/api/v1/me", **self.bearer("clst_wrong")).status_code == 401

    def test_it_sees_its_projects_and_no_others(self, app: Flask, database: Any) -> None:
        person(database)
        insert_run(database, 1, project="cats")
        insert_run(database, 2, project="dogs")
        text, _ = make_token(database, "ana", name="x", projects=["cats"])
        script = Visitor(app)
        names = [project["name"] for project in script.get("/api/v1/projects", **self.bearer(text)).json["projects"]]
        assert names == ["cats"]
        assert script.get("/api/v1/runs/1", **self.bearer(text)).status_code == 200
        hidden, missing = (script.get(f"/api/v1/runs/{run}", **self.bearer(text)) for run in (2, 3))
        assert (hidden.status_code, hidden.text.replace("2", "3")) == (404, missing.text)

    def test_it_makes_no_tokens_and_changes_no_account(self, app: Flask, database: Any) -> None:
        person(database)
        text, _ = make_token(database, "ana", name="x", scopes=["read", "record", "admin"])
        script = Visitor(app)
        made = script.client.post("/api/v1/me/tokens", json={"name": "more"}, **self.bearer(text))
        assert made.status_code == 404
        assert script.get("/profile", **self.bearer(text)).status_code == 404
        assert script.get("/api/v1/me/sessions", **self.bearer(text)).status_code == 404
        assert database["tokens"].count_documents({}) == 1

    @pytest.mark.parametrize(
        "wish",
        [
            {"name": ""},
            {"name": "x" * 101},
            {"scopes": []},
            {"scopes": ["write"]},
            {"days": 0},
            {"days": 367},
            {"projects": [" "]},
        ],
    )
    def test_what_makes_no_sense_is_refused(self, app: Flask, database: Any, wish: dict[str, Any]) -> None:
        with pytest.raises(BadToken):
            make_token(database, "ana", **{"name": "x", **wish})
        assert database["tokens"].count_documents({}) == 0

    def test_forms_that_make_no_sense_are_refused_beside_the_field(self, app: Flask, database: Any) -> None:
        person(database)
        visitor = Visitor(app)
        visitor.sign_in()
        for form in (
            {"name": "x", "scopes": "read", "days": "99999"},
            {"name": "x", "days": "30"},
            {"name": "x", "scopes": "read", "days": "٣"},
        ):
            assert visitor.own("/tokens", form).status_code == 400
        assert database["tokens"].count_documents({}) == 0


class TestRest:
    def test_a_page_and_the_api_change_the_same(self, app: Flask, database: Any) -> None:
        person(database)
        visitor, elsewhere = Visitor(app), Visitor(app)
        visitor.sign_in()
        elsewhere.sign_in()
        header = {"X-CSRF-Token": visitor.csrf_token("/profile")}
        assert visitor.client.post("/api/v1/me/tokens", json={"name": "a"}).status_code == 403, "no token of the page"
        made = visitor.client.post("/api/v1/me/tokens", json={"name": "a", "projects": ["cats"]}, headers=header).json
        assert made["token"].startswith(f"clst_{made['key']}_")
        listed = visitor.get("/api/v1/me/tokens").json["tokens"]
        assert [(one["key"], one["projects"], "token" in one) for one in listed] == [(made["key"], ["cats"], False)]
        assert visitor.client.delete(f"/api/v1/me/tokens/{made['key']}", headers=header).status_code == 204
        assert visitor.client.delete(f"/api/v1/me/tokens/{made['key']}", headers=header).status_code == 404
        sessions = visitor.get("/api/v1/me/sessions").json["sessions"]
        assert sorted(one["is_this"] for one in sessions) == [False, True]
        other = next(one["key"] for one in sessions if not one["is_this"])
        assert visitor.client.delete(f"/api/v1/me/sessions/{other}", headers=header).status_code == 204
        assert not elsewhere.is_in()

    def test_admins_make_and_lock_out_people_and_nobody_else_does(self, app: Flask, database: Any) -> None:
        person(database)
        person(database, "eve")
        admin, eve = Visitor(app), Visitor(app)
        admin.sign_in()
        eve.sign_in("eve")
        for visitor, statuses in ((eve, {404}), (admin, {200})):
            headers = {"X-CSRF-Token": visitor.csrf_token("/profile")}
            answers = [
                visitor.get("/api/v1/users"),
                visitor.client.post("/api/v1/users", json={"name": "bob", "password": GOOD}, headers=headers),
                visitor.client.put("/api/v1/users/eve", json={"site": ["admin", "auditor"]}, headers=headers),
                visitor.client.put("/api/v1/users/eve", json={"disabled": True}, headers=headers),
            ]
            assert {answer.status_code for answer in answers} == statuses
        assert "argon2" not in admin.get("/api/v1/users").text
        assert not eve.is_in()
        headers = {"X-CSRF-Token": admin.csrf_token("/profile")}
        last = admin.client.put("/api/v1/users/ana", json={"disabled": True}, headers=headers)
        assert (last.status_code, "only site admin" in last.json["detail"]) == (400, True)
        unknown = admin.client.put("/api/v1/users/eve", json={"password": "x"}, headers=headers)
        assert unknown.status_code == 400

    def test_scripts_need_no_csrf_token_where_nobody_signs_in_and_browsers_do(self, app: Flask, database: Any) -> None:
        client = app.test_client()
        assert client.put("/api/v1/groups/vision", json={"people": []}).status_code == 200
        for headers in ({"Origin": "http://localhost"}, {"Sec-Fetch-Site": "same-origin"}):
            assert client.put("/api/v1/groups/vision", json={"people": []}, headers=headers).status_code == 403


def test_nothing_secret_is_logged_even_when_everything_is(
    app: Flask, database: Any, caplog: pytest.LogCaptureFixture
) -> None:
    person(database)
    secret, recovery = has_factor(database)
    text, _ = make_token(database, "ana", name="x")
    visitor, script = Visitor(app), Visitor(app)
    with caplog.at_level(logging.DEBUG):
        visitor.sign_in(password="a wrong password")
        visitor.sign_in()
        visitor.post("/login/code", {"code": recovery[0]}, page="/login/code")
        script.get("/api/v1/me", headers={"Authorization": f"Bearer {text}"})
        script.get("/api/v1/me", headers={"Authorization": f"Bearer {text[:-1]}"})
        visitor.own("/password", {"current": GOOD, "new": "short", "again": "short"})
    assert visitor.is_in()
    session = visitor.cookie()
    hidden = (GOOD, "a wrong password", secret, recovery[0], recovery[0].replace("-", ""), text.split("_")[2], session)
    assert [one for one in hidden if one in caplog.text] == []
    assert "sessions" in caplog.text, "the driver's own log of commands was on"


def test_recovery_codes_are_long_enough_to_be_hashed_fast() -> None:
    assert len(second_factor._RECOVERY_SIGNS) ** second_factor._RECOVERY_LENGTH > 2**58
