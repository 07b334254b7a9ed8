"""Published holes about what comes in: headers, bodies, parameters, other sites; tried on a site with accounts."""

from __future__ import annotations

from importlib.metadata import version
from itertools import product
from typing import Any

from cloister.viewer.security import find_refusal, host_rule
from guarded_site import (
    Site,
    filled,
)
from holes_in_code import PACKAGE
from holes_in_paths import only_artifact
from running_viewer import insert_run
from watched_commands import WATCHED


def hostile_headers_are_not_echoed(site: Site) -> None:
    payload = "<script>reflected()</script>"
    for header in ("Content-Type", "Accept", "Accept-Language", "User-Agent", "Referer", "X-Requested-With", "Range"):
        for path in ("/", "/nothing", "/api/v1/nothing", "/login", only_artifact(site)):
            for method in ("GET", "POST"):
                answer = site.client("admin").open(path, method=method, headers={header: payload}, buffered=True)
                assert payload not in answer.text, (header, path)
                assert answer.mimetype in (
                    "text/html",
                    "application/json",
                    "application/problem+json",
                    "application/octet-stream",
                    "text/plain",
                )


def foreign_names_and_origins_are_refused(site: Site) -> None:
    rule = host_rule(bound="127.0.0.1", allowed_hosts=["allowed.corp"])
    for host in (
        "allowed.corp.evil.com",
        "evilallowed.corp",
        "allowed.corp@evil.com",
        "allowed.corp#evil",
        "allowed",
        "corp",
    ):
        assert not rule.allows(host), host
    assert rule.allows("allowed.corp:8443")
    own = {"method": "POST", "host": "allowed.corp:8443", "fetch_site": None, "rule": rule, "own_page_only": False}
    for origin in (
        "http://allowed.corp.evil.com",
        "http://evilallowed.corp",
        "null",
        "http://allowed.corp:1",
        "ftp://allowed.corp:8443",
        "http://allowed.corp:8443.evil.com",
    ):
        assert find_refusal(origin=origin, **own) is not None, origin
    assert find_refusal(origin="https://allowed.corp:8443", **own) is None
    major, minor, patch = (int(part) for part in version("bokeh").split(".")[:3])
    assert (major, minor, patch) >= (3, 8, 2)


def other_sites_change_and_read_nothing(site: Site) -> None:
    before = site.state()
    for _, rule, _names in [*site.routes("POST"), *site.routes("PUT"), *site.routes("DELETE")]:
        address = filled(rule, {})
        for method, headers, body in (
            ("POST", {"Origin": "http://evil.example"}, b"a=b"),
            ("PUT", {"Origin": "http://evil.example", "Content-Type": "text/plain"}, b'{"people": []}'),
            ("POST", {"Sec-Fetch-Site": "same-site", "X-HTTP-Method-Override": "DELETE"}, b"_method=DELETE"),
            ("GET", {"X-HTTP-Method-Override": "DELETE", "X-HTTP-Method": "PUT", "X-Method-Override": "POST"}, None),
        ):
            answer = site.client("admin").open(address, method=method, headers=headers, data=body, buffered=True)
            assert answer.status_code not in (201, 204), (method, address)
            refused = answer.status_code in (400, 403, 404, 405, 415)
            assert method == "GET" or refused, (method, address, answer.status_code)
            assert not [name for name, _ in answer.headers if name.lower().startswith("access-control")]
    assert (
        site.client("admin")
        .options("/api/v1/projects", headers={"Origin": "http://evil.example"})
        .headers.get("Access-Control-Allow-Origin")
        is None
    )
    assert site.state() == before


def only_listed_addresses_do_anything(site: Site) -> None:
    before = site.state()
    for path in (
        "/api/v1/__class__",
        "/api/v1/runs/1/delete",
        "/api/v1/store/database",
        "/api/v1/runs/1/__init__",
        "/api/v1/rpc",
    ):
        for method in ("GET", "POST", "PUT", "DELETE", "PATCH", "TRACE", "CONNECT", "PROPFIND"):
            answer = site.client("admin").open(path, method=method, headers={"X-CSRF-Token": "x"})
            assert answer.status_code in (403, 404, 405), (method, path)
    for _, rule, _names in site.routes():
        assert site.client("admin").open(filled(rule, {}), method="TRACE").status_code == 405
    assert site.state() == before


OPERATORS_THAT_RUN_CODE = ("$where", "$function", "$accumulator", "$eval", "$out", "$merge", "$unionWith")

NESTED = '{"$where": "sleep(1000)"}'

# Read while they are sent, for as long as the reader takes: no limit of time holds for them.
STREAMED = ("run_console_page.download_console", "audit.export_log")


def parameters_never_become_operators(site: Site) -> None:
    names = ("q", "project", "run", "runs", "name", "metric", "status", "sort", "page", "actor", "action", "next")
    names += ("after", "file", "show", "key", "since", "axis")
    WATCHED.watching = True
    try:
        for endpoint, rule, parts in site.routes():
            if endpoint in STREAMED:
                continue
            odd = "&".join(f"{name}[{operator}]=x" for name in names for operator in ("$ne", "$where"))
            for address in (f"?{odd}", f"?$where=1&q={NESTED}&sort=-config.$where"):
                assert site.get(filled(rule, {}) + address).status_code < 500, (rule, address)
            for part, operator in product(sorted(parts), ("$where", NESTED)):
                assert site.get(filled(rule, {part: operator})).status_code < 500, (rule, operator)
        for path in ("/p/digits", "/", "/privacy/audit"):
            assert site.get(f"{path}?" + "&".join(f"{name}={NESTED}" for name in names)).status_code < 500
        for name in ("sort", "search", "status", "page"):
            assert site.get(f"/api/v1/projects/digits/runs?{name}={NESTED}").status_code < 500
    finally:
        WATCHED.watching = False
    assert not WATCHED.operators & set(OPERATORS_THAT_RUN_CODE)
    assert len(WATCHED.reads) > 100
    assert not {name for name, limit in WATCHED.reads if limit is None}
    compose = (PACKAGE / "docker-compose.yml").read_text()
    assert "--noscripting" in compose


def bodies_never_become_operators(site: Site) -> None:
    before, token = site.state(), site.csrf("admin")
    value: Any = {"$where": "1"}
    for _ in range(6):
        value = {"$or": [value]}
    for _, rule, _names in [*site.routes("PUT"), *site.routes("POST")]:
        if not rule.startswith("/api/"):
            continue
        for body in (value, {"people": value}, {"visibility": {"$ne": ""}, "shared_with": {"people": [{"$gt": ""}]}}):
            answer = site.client("admin").put(filled(rule, {}), json=body, headers={"X-CSRF-Token": token})
            assert answer.status_code in (400, 404, 405), (rule, body, answer.status_code)
    for _, rule, names in site.routes("POST"):
        if rule.startswith("/api/"):
            continue
        form = {"name[$ne]": "", "password[$ne]": "", "person[$gt]": "", "$where": "1", "csrf_token": token}
        if "key" in names or "name" in names:
            address = filled(rule, dict.fromkeys(names - {"run_id"}, '{"$ne": ""}'))
            assert site.client("admin").post(address, data=form).status_code < 500, address
    for form in ({"name[$ne]": "x", "password[$ne]": "x"}, {"name": NESTED, "password": '{"$gt": ""}'}):
        answer = site.app.test_client().post("/login", data=form)
        assert answer.status_code in (403, 429)
    assert "$where" not in site.state() or "$where" in before


def keys_of_objects_are_data(site: Site) -> None:
    odd = {
        "__proto__": {"polluted": 1},
        "constructor": {"prototype": {"polluted": 1}},
        "_bsontype": "ObjectID",
        "$oid": "x",
        "toString": 1,
    }
    stored = {name.replace("$", "@"): value for name, value in odd.items()}
    insert_run(site.database, 44, config=stored)
    config = site.get("/api/v1/runs/44").json["config"]
    assert config["__proto__"] == {"polluted": 1}
    assert config["_bsontype"] == "ObjectID"
    assert config["constructor"] == {"prototype": {"polluted": 1}}
    assert site.get("/runs/44/config").status_code == 200


def the_debugger_is_not_there(site: Site) -> None:
    assert site.app.debug is False
    for path in (
        "/console",
        "/?__debugger__=yes&cmd=resource&f=style.css",
        "/?__debugger__=yes&cmd=pinauth&pin=1&s=x",
        "/debug",
        "/.git/config",
    ):
        answer = site.get(path)
        assert "debugger" not in answer.text.lower()
        assert path.startswith("/?") or answer.status_code == 404


def large_forms_are_refused(site: Site) -> None:
    limit = site.app.config["MAX_CONTENT_LENGTH"]
    parts = (
        b"".join(b'--x\r\nContent-Disposition: form-data; name="a%d"\r\n\r\n1\r\n' % n for n in range(5000))
        + b"--x--\r\n"
    )
    line = (
        b'--x\r\nContent-Disposition: form-data; name="a"; filename="b"\r\n\r\n'
        + b"\r" * (limit - 1000)
        + b"\r\n--x--\r\n"
    )
    field = b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n' + b"a" * (limit - 1000) + b"\r\n--x--\r\n"
    for body in (parts, line, field, b"a" * (limit + 1)):
        answer = site.app.test_client().post("/login", data=body, content_type="multipart/form-data; boundary=x")
        assert answer.status_code in (400, 403, 413), answer.status_code
    assert (
        site.app.test_client().post("/login", data=field, content_type="multipart/form-data; boundary=x").status_code
        == 413
    )
