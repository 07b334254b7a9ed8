"""People whom a reverse proxy names: a real nginx on this machine, and everybody who would like to be taken for it."""

from __future__ import annotations

import socket
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pymongo
import pytest
from install_directory import find_server

pytest.importorskip("requests", reason="needs the extra oidc")
if find_server("nginx") is None:
    pytest.skip("needs nginx: python tests/install_directory.py", allow_module_level=True)

import requests
from cloister.observer.identity_file import load_identity
from cloister.observer.runs import RunStore
from cloister.viewer.accounts.users import add_user, find_user
from cloister.viewer.app import create_app
from cloister.viewer.identity.proxy_header import ProxyHeader
from cloister.viewer.trusted_proxies import parse_trusted_proxies
from pymongo.database import Database
from requests.adapters import HTTPAdapter
from running_nginx import PEOPLE, PROXY_ADDRESS, running_nginx
from running_viewer import insert_run, running_viewer

SECRET = "a1" * 32
IDENTITY = f"""
[proxy]
addresses = ["{PROXY_ADDRESS}", "10.9.8.0/28"]
secret_file = "secret"
groups_header = "X-Remote-Groups"
required_groups = ["trackers"]
groups = {{ vision = "vision-team" }}
"""
SAYS = {"X-Remote-User": "ana", "X-Remote-Groups": "trackers", "X-Cloister-Proxy-Secret": SECRET}


@dataclass
class Site:
    """A viewer at `direct`, and behind nginx at `address`."""

    address: str
    direct: str
    database: Database[dict[str, Any]]
    header: ProxyHeader
    seen: int = 0

    def refusals(self) -> int:
        return self.database["audit"].count_documents({"action": "login-failed", "_id": {"$gt": self.seen}})


class From(HTTPAdapter):
    """Connects from an address of this machine."""

    def __init__(self, address: str) -> None:
        self._address = address
        super().__init__()

    def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
        super().init_poolmanager(*arguments, source_address=(self._address, 0), **options)


def caller(address: str = "127.0.0.1") -> requests.Session:
    session = requests.Session()
    session.trust_env = False
    session.mount("http://", From(address))
    return session


def browser(name: str) -> requests.Session:
    """A browser in which nginx has asked for name and password."""
    session = caller()
    session.auth = (name.encode(), PEOPLE[name].encode())
    session.headers["Sec-Fetch-Dest"] = "document"
    return session


@pytest.fixture(scope="module")
def running(mongod: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("nginx")
    name = f"test_proxy_{uuid.uuid4().hex[:8]}"
    (folder / "secret").write_text(f"{SECRET}\n")
    (folder / "secret").chmod(0o600)
    (folder / "identity.toml").write_text(IDENTITY)
    client: pymongo.MongoClient[Any] = pymongo.MongoClient(mongod, tz_aware=True)
    with client, pytest.MonkeyPatch.context() as environment:
        environment.setenv("CLOISTER_HOME", str(folder / "home"))
        store = RunStore(client[name])
        app = create_app(store, identity=load_identity(folder / "identity.toml"))
        [header] = app.extensions["cloister.accounts"].request_identities
        # X-Forwarded-For is believed from this address: it must not make anybody the proxy.
        proxies = parse_trusted_proxies(["127.0.0.1"])
        with (
            running_viewer(store, app=app, proxies=proxies) as port,
            running_nginx(folder, viewer=port, secret=SECRET) as front,
        ):
            yield Site(f"http://127.0.0.1:{front}", f"http://127.0.0.1:{port}", client[name], header)
        client.drop_database(name)


@pytest.fixture
def site(running: Site) -> Site:
    for collection in ("users", "sessions", "groups", "runs", "projects", "policy"):
        running.database[collection].delete_many({})
    running.seen = running.database["audit"].count_documents({})
    running.header._admitted.clear()
    running.header._refused.clear()
    running.header._noted.clear()
    running.header._policy = (float("-inf"), running.header._policy[1])
    add_user(running.database, "root", site=["admin"])
    return running


def test_whoever_the_proxy_has_asked_is_in_with_the_groups_that_it_says(site: Site) -> None:
    insert_run(site.database, 1, project="digits")
    member = {"kind": "group", "name": "vision-team", "role": "viewer"}
    site.database["projects"].insert_one({"_id": "digits", "members": [member]})
    ana = browser("ana")

    page = ana.get(f"{site.address}/p/digits?sort=name")

    assert page.status_code == 200
    assert page.url.endswith("/p/digits?sort=name")
    assert "digits-1" in page.text
    user = find_user(site.database, "ana")
    assert user is not None
    assert (user.source, user.subject) == ("proxy", "ana")
    [session] = site.database["sessions"].find()
    assert (session["user"], session["how"]) == ("ana", "proxy")
    ana.get(f"{site.address}/p/digits")
    assert site.database["sessions"].count_documents({}) == 1
    assert site.database["audit"].count_documents({"action": "login", "_id": {"$gt": site.seen}}) == 1


def test_scripts_are_known_without_a_session(site: Site) -> None:
    script = caller()
    script.auth = ("ana", PEOPLE["ana"])
    assert script.get(f"{site.address}/api/v1/projects").status_code == 200
    assert site.database["sessions"].count_documents({}) == 0
    assert script.get(f"{site.address}/api/v1/projects").status_code == 200
    assert site.database["audit"].count_documents({"action": "login", "actor": "ana", "_id": {"$gt": site.seen}}) == 1
    with script.get(f"{site.address}/api/v1/live", stream=True) as stream:
        assert stream.status_code == 200
    assert caller().get(f"{site.direct}/api/v1/live").status_code == 401


def test_the_first_requests_of_somebody_may_come_all_at_once(site: Site) -> None:
    def ask(_: int) -> int:
        return caller(PROXY_ADDRESS).get(f"{site.direct}/api/v1/projects", headers=SAYS).status_code

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(ask, range(8))) == {200}
    assert site.database["users"].count_documents({"source": "proxy"}) == 1


def test_what_people_add_to_their_requests_does_not_pass_the_proxy(site: Site) -> None:
    ana = browser("ana")
    for name in ("X-Remote-User", "X_Remote_User", "x-remote-user", "X-Remote_User"):
        page = ana.get(f"{site.address}/", headers={name: "root"})
        assert page.status_code == 200
    assert {session["user"] for session in site.database["sessions"].find()} == {"ana"}


def test_nobody_but_the_proxy_is_believed(site: Site) -> None:
    spoofs = {
        "from another address": (caller(), SAYS),
        "that a proxy passes on": (caller(), {**SAYS, "X-Forwarded-For": PROXY_ADDRESS}),
        "from several": (caller(), {**SAYS, "X-Forwarded-For": f"{PROXY_ADDRESS}, {PROXY_ADDRESS}, 10.9.8.1"}),
        "with other headers": (caller(), {**SAYS, "X-Real-IP": PROXY_ADDRESS, "Forwarded": f"for={PROXY_ADDRESS}"}),
        "from a neighbour": (caller("127.0.0.3"), SAYS),
        "without the secret": (caller(PROXY_ADDRESS), {"X-Remote-User": "ana", "X-Remote-Groups": "trackers"}),
        "with a wrong secret": (caller(PROXY_ADDRESS), {**SAYS, "X-Cloister-Proxy-Secret": SECRET[:-1] + "2"}),
        "with an empty secret": (caller(PROXY_ADDRESS), {**SAYS, "X-Cloister-Proxy-Secret": ""}),
        "with more than the secret": (caller(PROXY_ADDRESS), {**SAYS, "X-Cloister-Proxy-Secret": SECRET + "0"}),
        "with an underscore": (caller(PROXY_ADDRESS), {**SAYS, "X-Remote-User": "", "X_Remote_User": "ana"}),
        "naming nobody": (caller(PROXY_ADDRESS), {**SAYS, "X-Remote-User": ""}),
        "in none of the groups": (caller(PROXY_ADDRESS), {**SAYS, "X-Remote-Groups": "guests, track"}),
    }
    for name, (who, headers) in spoofs.items():
        assert who.get(f"{site.direct}/api/v1/projects", headers=headers).status_code == 401, name
        page = who.get(f"{site.direct}/", headers={**headers, "Sec-Fetch-Dest": "document"}, allow_redirects=False)
        assert page.headers["Location"].startswith("/login"), name
    assert find_user(site.database, "ana") is None
    assert site.database["sessions"].count_documents({}) == 0
    assert site.refusals() == 2  # one for each kind and minute, however many requests
    honest = caller(PROXY_ADDRESS).get(f"{site.direct}/api/v1/projects", headers=SAYS)
    assert honest.status_code == 200


def test_names_that_are_two_or_another_ones_are_nobodys(site: Site) -> None:
    proxy = caller(PROXY_ADDRESS)
    names = [
        "root",
        "ROOT",
        "ana,root",
        "ana, root",
        "../root",
        "ana\t",
        "$where",
        "a" * 65,
        "-ana",
        "ana ",
        '{"$ne":1}',
    ]
    let_in = [
        name
        for name in names
        if proxy.get(f"{site.direct}/api/v1/projects", headers={**SAYS, "X-Remote-User": name}).status_code != 401
    ]
    assert let_in == ["ana\t", "ana "]  # as "ana": space around a header's value is not part of it
    two = b"GET /api/v1/projects HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Remote-User: ana\r\nX-Remote-User: root\r\n"
    two += f"X-Remote-Groups: trackers\r\nX-Cloister-Proxy-Secret: {SECRET}\r\nConnection: close\r\n\r\n".encode()
    port = int(site.direct.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), source_address=(PROXY_ADDRESS, 0)) as connection:
        connection.sendall(two)
        assert connection.recv(65536).startswith(b"HTTP/1.1 401")
    assert browser("ana,root").get(f"{site.address}/", allow_redirects=False).headers["Location"].startswith("/login")


def test_names_are_read_as_the_proxy_writes_them(site: Site) -> None:
    proxy = caller(PROXY_ADDRESS)
    answer = proxy.get(f"{site.direct}/api/v1/projects", headers={**SAYS, "X-Remote-User": "zoë".encode()})
    assert answer.status_code == 200
    assert find_user(site.database, "zoë") is not None


def test_a_session_is_worth_nothing_without_the_proxy(site: Site) -> None:
    ana = browser("ana")
    assert ana.get(f"{site.address}/").status_code == 200
    cookie = {"cloister_session": ana.cookies["cloister_session"]}
    assert caller().get(f"{site.direct}/api/v1/projects", cookies=cookie).status_code == 401
    around = caller(PROXY_ADDRESS).get(f"{site.direct}/api/v1/projects", cookies=cookie)
    assert around.status_code == 401


def test_the_proxy_decides_who_it_is_when_two_share_a_browser(site: Site) -> None:
    shared = browser("ana")
    shared.get(f"{site.address}/")
    taken = shared.cookies["cloister_session"]
    proxy = caller(PROXY_ADDRESS)
    proxy.cookies.set("cloister_session", taken, domain="127.0.0.1", path="/")
    proxy.headers["Sec-Fetch-Dest"] = "document"
    page = proxy.get(f"{site.direct}/", headers={**SAYS, "X-Remote-User": "carl"})
    assert page.status_code == 200
    assert {session["user"] for session in site.database["sessions"].find()} == {"ana", "carl"}
    assert proxy.cookies.get_dict()["cloister_session"] != taken


def test_a_browser_that_keeps_no_cookies_is_not_sent_in_a_circle(site: Site) -> None:
    page = None
    for _ in range(8):
        page = caller(PROXY_ADDRESS).get(
            f"{site.direct}/",
            headers={**SAYS, "X-Remote-User": "forgetful", "Sec-Fetch-Dest": "document"},
            allow_redirects=False,
        )
    assert page is not None
    assert page.status_code == 200
    assert site.database["sessions"].count_documents({}) == 5


def test_what_changes_something_needs_the_sign_of_our_own_page(site: Site) -> None:
    ana = browser("ana")
    ana.get(f"{site.address}/")
    assert ana.post(f"{site.address}/logout").status_code == 403
    assert site.database["sessions"].count_documents({}) == 1


@pytest.mark.parametrize(
    "path",
    ["//evil.example/x", "/\\evil.example", "///evil.example", "http://evil.example/", "/p/a%3Fb%2Fc%0d%0aX:%20y"],
)
def test_opening_the_session_leads_nowhere_else(site: Site, path: str) -> None:
    port = int(site.direct.rpartition(":")[2])
    text = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nSec-Fetch-Dest: document\r\nConnection: close\r\n"
    somebody = {**SAYS, "X-Remote-User": f"ana-{uuid.uuid4().hex[:8]}"}
    text += "".join(f"{name}: {value}\r\n" for name, value in somebody.items())
    with socket.create_connection(("127.0.0.1", port), source_address=(PROXY_ADDRESS, 0)) as connection:
        connection.sendall(f"{text}\r\n".encode())
        answer = connection.recv(65536).decode()
    locations = [line for line in answer.split("\r\n") if line.lower().startswith("location:")]
    assert len(locations) == 1
    assert all(line.split(": ")[1][0] == "/" and line.split(": ")[1][1:2] not in ("/", "\\") for line in locations)


def test_the_policy_narrows_which_proxies_are_believed(site: Site) -> None:
    proxy = caller(PROXY_ADDRESS)
    site.database["policy"].insert_one({"_id": "site", "trusted_proxies": ["10.9.8.1"]})
    assert proxy.get(f"{site.direct}/api/v1/projects", headers=SAYS).status_code == 401
    site.database["policy"].update_one({"_id": "site"}, {"$set": {"trusted_proxies": ["127.0.0.0/30"]}})
    site.header._policy = (float("-inf"), site.header._policy[1])
    assert proxy.get(f"{site.direct}/api/v1/projects", headers=SAYS).status_code == 200


@pytest.mark.parametrize("policy", [{"trusted_proxies": ["everybody"]}, {"require_totp": True}, {"unknown": 1}])
def test_a_policy_that_is_not_met_or_not_understood_keeps_the_proxy_out(site: Site, policy: dict[str, Any]) -> None:
    site.database["policy"].insert_one({"_id": "site", **policy})
    assert caller(PROXY_ADDRESS).get(f"{site.direct}/api/v1/projects", headers=SAYS).status_code == 401


def test_a_disabled_account_is_out_with_the_next_request(site: Site) -> None:
    ana = browser("ana")
    assert ana.get(f"{site.address}/").status_code == 200
    site.database["users"].update_one({"_id": "ana"}, [{"$set": {"disabled_at": "$$NOW"}}])
    assert ana.get(f"{site.address}/", allow_redirects=False).headers["Location"].startswith("/login")


def test_the_identity_file_of_this_test_is_read_as_it_stands(running: Site, tmp_path: Path) -> None:
    assert [str(network) for network in running.header.settings.addresses] == ["127.0.0.2/32", "10.9.8.0/28"]
    assert SECRET not in repr(running.header)
