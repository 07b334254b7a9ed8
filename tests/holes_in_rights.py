"""Published holes about who may do what: each function tries one on a site with accounts."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone

import pytest
from cloister.observer.access.principal import Principal
from cloister.observer.runs import RunStore
from cloister.viewer.access_rules import RULES
from cloister.viewer.accounts.current import COOKIE
from cloister.viewer.accounts.password_policy import WeakPassword, check_new_password
from cloister.viewer.accounts.sessions import SESSIONS
from cloister.viewer.accounts.tokens import make_token
from cloister.viewer.accounts.users import add_user
from cloister.viewer.app import create_app
from guarded_site import (
    DIGITS_RUN,
    MISSING_RUN,
    PASSWORD,
    SECRET,
    SECRET_RUN,
    Site,
    filled,
)
from holes_in_code import PACKAGE


def nobody_makes_an_account_for_himself(site: Site) -> None:
    before = site.state()
    people = [(rule, names) for endpoint, rule, names in site.routes("POST") if endpoint.startswith("people.")]
    assert people
    for rule, _ in people:
        form = {"name": "intruder", "password": PASSWORD, "site": "admin", "person": "eva", "group": "g"}
        for who in ("", "eva"):
            answer = site.client(who).post(filled(rule, {"name": "eva"}), data=form)
            assert answer.status_code in (303, 401, 403, 404), (rule, who)
        # The admin's own browser, sent here by a page of somebody else, and by one of ours without its token.
        for headers in ({"Origin": "http://evil.example"}, {"Sec-Fetch-Site": "cross-site"}, {}):
            assert (
                site.client("admin").post(filled(rule, {"name": "eva"}), data=form, headers=headers).status_code == 403
            )
    assert site.state() == before
    for password in ("", "short", "password1234", "123456789012", "a" * 40, "qwertyuiopasdf"):
        with pytest.raises(WeakPassword):
            check_new_password(password)


ANYONE = ("login.", "oidc.", "health.", "bokeh_assets.", "pdf_frame.", "static", "share")


def every_route_asks_who_is_there(site: Site) -> None:
    open_to_all = {endpoint for endpoint, rule in RULES.items() if rule == "anyone"}
    assert all(endpoint.startswith(ANYONE) for endpoint in open_to_all), open_to_all
    asked = 0
    for method in ("GET", "POST", "PUT", "DELETE"):
        for endpoint, rule, _ in site.routes(method):
            assert endpoint in RULES, f"{endpoint} declares nobody who may call it"
            if endpoint in open_to_all:
                continue
            answer = site.client("").open(filled(rule, {}), method=method, headers={"Authorization": ""})
            assert answer.status_code in (303, 401, 403), (method, rule, answer.status_code)
            assert answer.status_code != 303 or "/login" in answer.headers["Location"]
            asked += 1
    assert asked > 40


def what_is_hidden_is_not_there(site: Site) -> None:
    """As somebody of another project: every address of the hidden run answers as that of a run that never was."""
    compared = 0
    for method in ("GET", "POST", "PUT", "DELETE"):
        for _, rule, names in site.routes(method):
            if "run_id" not in names:
                continue
            hidden, missing = (
                site.client("mallory").open(
                    filled(rule, {"run_id": str(run), "key": site.file_id, "file_id": site.file_id}),
                    method=method,
                    headers={"X-CSRF-Token": "x"},
                    buffered=True,
                )
                for run in (SECRET_RUN, MISSING_RUN)
            )
            assert hidden.status_code == missing.status_code, rule
            assert plain(hidden.text, SECRET_RUN) == plain(missing.text, MISSING_RUN), rule
            assert SECRET not in hidden.text
            compared += 1
    assert compared > 20


def plain(text: str, run_id: int) -> str:
    """Without what names the run that was asked for, and what differs between any two answers."""
    text = re.sub(r"[0-9a-f]{12,}|\d{4}-\d\d-\d\dT[\d:.%A]*Z?", "", text)  # tokens, ids of errors, times
    return re.sub(rf"(?<!\d){run_id}(?!\d)", "RUN", text)


def lists_and_counts_leave_out_what_is_hidden(site: Site) -> None:
    for who in ("mallory", "eva"):
        for _, rule, names in site.routes():
            if "run_id" in names or (who == "eva" and "api" not in rule and names):
                continue
            for project in ("hidden", "digits") if "project" in names else ("digits",):
                text = site.get(filled(rule, {"project": project}), who).text
                assert SECRET not in text, (who, rule, project)
                assert (
                    "hidden" not in re.sub(r"[-\w\s\"'=]*\bhidden\b(?=[\s>=\"'])", "", text) or project == "hidden"
                ), (who, rule)
    listed = site.get("/api/v1/projects", "eva").json
    assert [each["name"] for each in listed["projects"]] == ["digits"]
    for query in ("zanzibar", SECRET, str(SECRET_RUN)):
        hidden, missing = (
            site.get(f"/api/v1/projects/{name}/runs?search={query}", "mallory") for name in ("hidden", "nowhere")
        )
        assert hidden.status_code == missing.status_code
        assert hidden.text.replace("hidden", "") == missing.text.replace("nowhere", "")


def a_role_may_what_its_line_says(site: Site) -> None:
    may = {"viewer": {"see"}, "editor": {"see", "edit"}, "admin": {"see", "edit", "manage"}}
    for role, allowed in may.items():
        principal = Principal("x", "person", roles={"p": role})  # type: ignore[dict-item]
        for right in ("see", "edit", "manage", "site", "audit"):
            assert principal.may(right, project="p") is (right in allowed), (role, right)  # type: ignore[arg-type]
            assert not principal.may(right, project="other")  # type: ignore[arg-type]
    for role in ("viewer", "editor"):
        assert not Principal("x", "person", roles={"p": role}).may("delete", project="p")  # type: ignore[dict-item]


def files_are_behind_the_same_door(site: Site) -> None:
    for path in (
        f"/api/v1/runs/{SECRET_RUN}/artifacts/{site.file_id}",
        f"/runs/{SECRET_RUN}/artifacts/{site.file_id}/download",
    ):
        assert site.get(path, "").status_code in (303, 401)
        assert site.get(path, "mallory").status_code == 404
    # By way of a run that one may see, a file of another run is no file of this one.
    assert site.get(f"/api/v1/runs/{DIGITS_RUN}/artifacts/{site.file_id}", "eva").status_code == 404
    assert site.get(f"/runs/{DIGITS_RUN}/artifacts/{site.file_id}/download", "eva").status_code == 404


def what_ended_opens_nothing(site: Site) -> None:
    """A disabled account, a revoked session, an expired token: on every path that reads."""
    add_user(site.database, "gone", site=["admin"])
    client = site.new_client("gone")
    text, token = make_token(site.database, "gone", name="t", scopes=["read"])
    bearer = {"Authorization": f"Bearer {text}"}
    paths = [
        filled(rule, {}) for endpoint, rule, _ in site.routes() if RULES.get(endpoint) in ("see", "signed-in", "site")
    ]
    assert client.get("/api/v1/projects").status_code == 200
    assert site.client("").get("/api/v1/projects", headers=bearer).status_code == 200
    site.database["tokens"].update_one(
        {"_id": token.key}, {"$set": {"expires_at": datetime.now(timezone.utc) - timedelta(1)}}
    )
    assert {site.client("").get(path, headers=bearer).status_code for path in paths} <= {303, 401}
    site.database["users"].update_one({"_id": "gone"}, {"$set": {"disabled_at": datetime.now(timezone.utc)}})
    assert {client.get(path).status_code for path in paths} <= {303, 401}
    add_user(site.database, "left", site=["admin"])
    client = site.new_client("left")
    site.database[SESSIONS].delete_many({"user": "left"})
    assert {client.get(path).status_code for path in paths} <= {303, 401}


def secrets_are_not_in_the_code(site: Site) -> None:
    stored = site.database["users"].find_one({"_id": "eva"})["password"]
    assert str(stored).count("$argon2id$") == 1
    assert PASSWORD not in site.state()
    assert site.app.secret_key is None  # nothing is signed by a key that somebody could know
    first, second = (create_app(RunStore(site.database)) for _ in range(2))
    secrets = {app.extensions["cloister.accounts"].local_secret for app in (first, second)}
    assert len(secrets) == 2
    for name in ("admin", "root", "cloister"):
        for password in ("admin", "password", "cloister", "", "root"):
            answer = site.app.test_client().post("/login", data={"name": name, "password": password})
            assert "Set-Cookie" not in answer.headers or COOKIE not in answer.headers["Set-Cookie"]


def sessions_are_the_servers(site: Site) -> None:
    browser = site.app.test_client()
    browser.set_cookie(COOKIE, "planted-by-an-attacker")
    page = browser.get("/login").text
    token = re.search(r'name="csrf_token" value="([^"]+)"', page)[1]  # type: ignore[index]
    answer = browser.post("/login", data={"name": "eva", "password": PASSWORD, "csrf_token": token})
    assert answer.status_code == 303
    session = browser.get_cookie(COOKIE).value  # type: ignore[union-attr]
    assert session != "planted-by-an-attacker"
    assert session not in site.state()
    thief = site.app.test_client()
    thief.set_cookie(COOKIE, session)
    assert thief.get("/api/v1/projects").status_code == 200
    sign_out = re.search(r'name="csrf_token" value="([^"]+)"', browser.get("/profile").text)[1]  # type: ignore[index]
    browser.post("/logout", data={"csrf_token": sign_out})
    assert thief.get("/api/v1/projects").status_code == 401


def links_and_errors_tell_nothing(site: Site) -> None:
    from cloister.viewer.share_links import hash_secret

    for path in ("/s/x", "/share/x", "/s/<img src=x onerror=alert(1)>", "/s/" + "A" * 43, "/s/%2e%2e"):
        answer = site.get(path, "")
        assert answer.status_code in (404, 303, 308, 403, 410)
        assert "<img" not in answer.text
    assert len(hash_secret("x")) >= 43
    for path in (PACKAGE / "viewer" / "static" / "js").rglob("*.js"):
        script = path.read_text()
        if re.search(r"addEventListener\([\"']message|(parent|opener|[wW]indow)\.postMessage\(", script):
            # The frame of PDFs and the page around it, and they listen to nobody else.
            assert re.search(r"if \(event\.source !== (parent|frame\.contentWindow)", script), path


def answers_for_one_are_kept_by_nobody(site: Site) -> None:
    for _, rule, _names in site.routes():
        answer = site.get(filled(rule, {}), "eva")
        if answer.status_code == 200 and not rule.startswith("/static"):
            control = answer.headers["Cache-Control"]
            assert "no-store" in control or "private" in control, rule
            assert "Cookie" in answer.headers.get("Vary", ""), rule


def redirects_stay_here(site: Site) -> None:
    for target in (
        "//evil",
        "/\\evil",
        "https:evil",
        "https://evil",
        "/%09/evil",
        "\t//evil",
        "javascript:alert(1)",
        "http://ok@evil",
        "////evil",
        "/\r\nX: y",
        "\\\\evil",
        "/%5cevil",
        "///evil",
    ):
        answer = site.client("eva").get("/login", query_string={"next": target})
        assert answer.status_code == 303
        location = answer.headers["Location"]
        assert location.startswith("/"), target
        assert not re.match(r"/[/\\]", location), target
        assert "X" not in answer.headers


def tokens_go_in_headers_and_into_no_log(site: Site, caplog: pytest.LogCaptureFixture | None = None) -> None:
    text, _ = make_token(site.database, "eva", name="ci", scopes=["read"])
    secret = text.split("_")[2]
    assert secret not in site.state()
    anonymous = site.client("")
    for place in ("token", "access_token", "api_key", "auth", "bearer", "key"):
        assert anonymous.get(f"/api/v1/projects?{place}={text}").status_code in (400, 401), place
        assert (
            anonymous.get("/api/v1/projects", headers={"Cookie": f"{place}={text}; {COOKIE}={text}"}).status_code == 401
        )
    answer = anonymous.get("/api/v1/projects", headers={"Authorization": f"Bearer {text}"})
    assert answer.status_code == 200
    assert secret not in answer.text
    assert secret not in str(list(site.database["audit"].find()))
    assert "Set-Cookie" not in answer.headers
    for path in ("/profile", "/api/v1/me"):
        assert secret not in site.get(path, "eva").text
