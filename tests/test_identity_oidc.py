"""Signing in through an OpenID provider: a real one on this machine, honest and not."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pymongo
import pytest

pytest.importorskip("authlib", reason="needs the extra oidc")

import requests
from cloister.observer.identity_file import load_identity
from cloister.observer.runs import RunStore
from cloister.viewer.accounts.users import add_user, find_user
from cloister.viewer.app import create_app
from cloister.viewer.identity.oidc_provider import OidcProvider as Provider
from cloister.viewer.identity.ways import bound_ways
from oidc_provider import (
    CLIENT_ID,
    CLIENT_SECRET,
    Claims,
    OidcProvider,
    hmac_signed,
    running_provider,
    stranger,
    unsigned,
)
from pymongo.database import Database
from running_viewer import insert_run, running_viewer
from tls_certificates import Authority
from watched_browser import Watch

if TYPE_CHECKING:
    from playwright.sync_api import Browser

IDENTITY = """
address = "http://127.0.0.1"

[oidc]
issuer = "{issuer}"
client_id = "{client_id}"
client_secret_file = "oidc-secret"
ca_file = "{ca}"
label = "Lab account"
required_groups = ["/trackers", "/vision", "/admins"]
admin_groups = ["/admins"]
groups = {{"/vision" = "vision-team"}}
"""


@dataclass
class Site:
    """A viewer that people reach at `address`, whose accounts are in `database`."""

    address: str
    database: Database[dict[str, Any]]
    provider: OidcProvider
    ours: Provider
    seen: int = 0  # entries of the audit log that are of tests before

    def browser(self) -> requests.Session:
        session = requests.Session()
        session.trust_env = False
        session.verify = self.provider.ca
        return session

    def sign_in(self, browser: requests.Session | None = None, *, next_path: str = "/") -> requests.Response:
        """The whole way: the button, the provider, back, and on to the page that was wanted."""
        return (browser or self.browser()).get(f"{self.address}/login/oidc?{urlencode({'next': next_path})}")

    def way_back(self, browser: requests.Session) -> str:
        """The address with which the provider sends `browser` back, not yet opened."""
        left = browser.get(f"{self.address}/login/oidc", allow_redirects=False)
        return browser.get(left.headers["Location"], allow_redirects=False).headers["Location"]

    def refusals(self) -> list[str]:
        """What the audit log says of sign-ins that failed."""
        return [entry["details"]["reason"] for entry in self.entries("login-failed")]

    def entries(self, action: str) -> list[dict[str, Any]]:
        found = self.database["audit"].find({"action": action, "_id": {"$gt": self.seen}})
        return [{**entry, "details": json.loads(entry["details"])} for entry in found]


@pytest.fixture(scope="module")
def running(mongod: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("oidc")
    name = f"test_oidc_{uuid.uuid4().hex[:8]}"
    client: pymongo.MongoClient[Any] = pymongo.MongoClient(mongod, tz_aware=True)
    patch = pytest.MonkeyPatch.context()
    with client, patch as environment, running_provider(Authority(folder / "ca"), "to be told") as provider:
        environment.setenv("CLOISTER_HOME", str(folder / "home"))
        secret = folder / "oidc-secret"
        secret.write_text(CLIENT_SECRET)
        secret.chmod(0o600)
        file = folder / "identity.toml"
        file.write_text(IDENTITY.format(issuer=provider.issuer, client_id=CLIENT_ID, ca=provider.ca))
        app = create_app(RunStore(client[name]), identity=load_identity(file))
        with running_viewer(RunStore(client[name]), app=app) as port:
            ways = bound_ways(app.extensions)
            assert ways is not None
            assert ways.provider is not None
            address = f"http://127.0.0.1:{port}"
            ways.provider.redirect_uri = provider.client.redirect_uri = f"{address}/login/oidc/back"
            yield Site(address, client[name], provider, ways.provider)
        client.drop_database(name)


@pytest.fixture
def site(running: Site) -> Site:
    for collection in ("users", "sessions", "groups", "runs", "projects", "policy"):
        running.database[collection].delete_many({})
    running.seen = running.database["audit"].count_documents({})
    running.provider.be_honest()
    running.provider.person["groups"] = ["/trackers"]
    forget(running.ours)
    add_user(running.database, "root", site=["admin"])
    return running


def forget(ours: Provider) -> None:
    """As if the viewer had just started."""
    ours._metadata = ours._keys = ours._failure = None


def test_the_login_page_offers_the_provider_and_brings_people_where_they_wanted_to_go(site: Site) -> None:
    insert_run(site.database, 1, project="digits")
    member = {"kind": "group", "name": "vision-team", "role": "viewer"}
    site.database["projects"].insert_one({"_id": "digits", "members": [member]})
    site.provider.person["groups"] = ["/vision"]
    browser = site.browser()

    login = browser.get(f"{site.address}/p/digits")
    assert "Lab account" in login.text
    assert "/login/oidc" in login.text
    page = site.sign_in(browser, next_path="/p/digits")

    assert page.status_code == 200
    assert page.url == f"{site.address}/p/digits"
    assert "digits-1" in page.text
    user = find_user(site.database, "ana")
    assert user is not None
    assert (user.full_name, user.email, user.source) == ("Ana Silva", "ana@lab.example", "oidc")
    assert user.subject == f"{site.provider.issuer}|1001"
    [entry] = site.entries("login")
    assert entry["details"] == {"how": "oidc"}


def test_what_goes_to_the_provider_is_fresh_each_time_and_proves_possession(site: Site) -> None:
    def asked() -> dict[str, list[str]]:
        left = site.browser().get(f"{site.address}/login/oidc", allow_redirects=False)
        cookie = left.headers["Set-Cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=Lax" in cookie
        return parse_qs(urlsplit(left.headers["Location"]).query)

    first, second = asked(), asked()
    assert first["code_challenge_method"] == ["S256"]
    assert first["response_type"] == ["code"]
    assert CLIENT_SECRET not in str(first)
    for name in ("state", "nonce", "code_challenge"):
        assert first[name] != second[name]
        assert len(first[name][0]) >= 43
    assert len({first[name][0] for name in ("state", "nonce", "code_challenge")}) == 3


def test_who_somebody_is_follows_from_sub_and_from_nothing_else(site: Site) -> None:
    site.sign_in()
    site.provider.person.update(preferred_username="renamed", email="other@lab.example")
    assert site.sign_in().status_code == 200
    assert find_user(site.database, "renamed") is None
    ana = find_user(site.database, "ana")
    assert ana is not None
    assert ana.email == "other@lab.example"

    site.provider.person.update(sub="2002", preferred_username="ana")  # somebody new with a name that is taken
    refused = site.sign_in()
    assert refused.status_code == 403
    assert "belongs to another way of signing in" in refused.text


def test_a_local_account_is_not_taken_over_by_its_name_or_address(site: Site) -> None:
    site.provider.person.update(preferred_username="Root", email="root@lab.example")
    refused = site.sign_in()
    assert refused.status_code == 403
    assert site.database["sessions"].count_documents({}) == 0
    root = find_user(site.database, "root")
    assert root is not None
    assert root.source == "local"


def test_groups_come_and_go_with_the_provider_and_those_made_by_hand_stay(site: Site) -> None:
    site.database["groups"].insert_one({"_id": "by-hand", "people": ["ana"]})
    site.provider.person["groups"] = ["/vision", "/unknown", "/admins"]
    site.sign_in()
    members = {group["_id"]: group["people"] for group in site.database["groups"].find()}
    assert members == {"by-hand": ["ana"], "vision-team": ["ana"]}
    ana = find_user(site.database, "ana")
    assert ana is not None
    assert ana.site == {"admin"}

    site.provider.person["groups"] = ["/trackers"]
    site.sign_in()
    members = {group["_id"]: group["people"] for group in site.database["groups"].find()}
    assert members == {"by-hand": ["ana"], "vision-team": []}
    ana = find_user(site.database, "ana")
    assert ana is not None
    assert ana.site == frozenset()
    assert [entry["target"] for entry in site.entries("rights-changed")] == ["user ana", "user ana"]


@pytest.mark.parametrize("groups", [[], ["/others"], None, "trackers", {"/trackers": 1}, [["/trackers"], 5]])
def test_whoever_is_in_none_of_the_groups_gets_neither_account_nor_session(site: Site, groups: Any) -> None:
    site.provider.person["groups"] = groups
    refused = site.sign_in()
    assert refused.status_code == 403
    assert "none of the groups" in refused.text
    assert find_user(site.database, "ana") is None
    assert site.database["sessions"].count_documents({}) == 0


def test_a_disabled_account_stays_out_whatever_the_provider_says(site: Site) -> None:
    site.sign_in()
    site.database["users"].update_one({"_id": "ana"}, [{"$set": {"disabled_at": "$$NOW"}}])
    assert site.sign_in().status_code == 403


def test_names_and_groups_that_only_userinfo_tells_are_asked_there(site: Site) -> None:
    told = dict(site.provider.person)
    site.provider.person.clear()
    site.provider.person["sub"] = "1001"
    site.provider.userinfo.update(told)
    assert site.sign_in().status_code == 200
    assert find_user(site.database, "ana") is not None

    site.provider.userinfo["sub"] = "2002"
    refused = site.sign_in()
    assert refused.status_code == 403
    assert "somebody else" in refused.text


def test_a_provider_with_new_keys_is_asked_for_them(site: Site) -> None:
    site.sign_in()
    first = site.provider.key
    try:
        for site.provider.key, site.provider.names_keys in ((stranger("second"), True), (first, False)):
            site.ours._keys_asked = float("-inf")
            assert site.sign_in().status_code == 200
        asked = site.provider.asked.count("/keys")
        site.provider.forge = lambda claims: site.provider.sign(claims, key=stranger("x"))
        assert [site.sign_in().status_code for _ in range(3)] == [403] * 3
        assert site.provider.asked.count("/keys") == asked  # not once for each token that somebody invents
    finally:
        site.provider.key = first


def changed(**changes: Any) -> Any:
    def forge(site: Site, claims: Claims) -> str:
        return site.provider.sign({**claims, **changes})

    return forge


def without(name: str) -> Any:
    def forge(site: Site, claims: Claims) -> str:
        return site.provider.sign({key: value for key, value in claims.items() if key != name})

    return forge


def shifted(name: str, seconds: int) -> Any:
    def forge(site: Site, claims: Claims) -> str:
        return site.provider.sign({**claims, name: int(time.time()) + seconds})

    return forge


def signed_with_public_key(site: Site, claims: Claims) -> str:
    """HS256 with what everybody can read as the secret, the oldest confusion of all."""
    return hmac_signed(claims, site.provider.key.as_pem(private=False))


def signed_with_client_secret(site: Site, claims: Claims) -> str:
    return hmac_signed(claims, CLIENT_SECRET.encode())


def with_another_signature(site: Site, claims: Claims) -> str:
    head, _, _ = site.provider.sign(claims).partition(".")
    _, body, signature = site.provider.sign({**claims, "sub": "root"}).split(".")
    _, honest, _ = site.provider.sign(claims).split(".")
    assert honest != body
    return f"{head}.{honest}.{signature}"


FORGERIES = {
    "no algorithm": lambda site, claims: unsigned(claims),
    "no algorithm, other case": lambda site, claims: unsigned(claims, "NoNe"),
    "public key as secret": signed_with_public_key,
    "client secret": signed_with_client_secret,
    "another key with the same id": lambda site, claims: site.provider.sign(claims, key=stranger()),
    "another token's signature": with_another_signature,
    "other audience": changed(aud="another-app"),
    "several audiences, other party": changed(aud=[CLIENT_ID, "another-app"], azp="another-app"),
    "several audiences, no party": changed(aud=[CLIENT_ID, "another-app"]),
    "no audience": without("aud"),
    "other issuer": changed(iss="https://localhost/realms/lab"),
    "issuer with a slash more": lambda site, claims: site.provider.sign({**claims, "iss": claims["iss"] + "/"}),
    "no issuer": without("iss"),
    "other nonce": changed(nonce="x" * 43),
    "no nonce": without("nonce"),
    "empty nonce": changed(nonce=""),
    "expired": shifted("exp", -120),
    "never expires": without("exp"),
    "expires as text": changed(exp="never"),
    "not yet valid": shifted("nbf", 3600),
    "issued long ago": shifted("iat", -3600),
    "issued in the future": shifted("iat", 3600),
    "no time of issue": without("iat"),
    "no subject": without("sub"),
    "empty subject": changed(sub=""),
    "subject that is no text": changed(sub={"$ne": None}),
    "another token's hash": changed(at_hash="AAAAAAAAAAAAAAAAAAAAAA"),
    "name that is no text": changed(preferred_username={"$gt": ""}),
    "no token at all": lambda site, claims: "",
    "not a token": lambda site, claims: "a.b.c",
    "encrypted by nobody": lambda site, claims: "eyJhbGciOiJkaXIiLCJlbmMiOiJBMjU2R0NNIn0....",
}


def test_no_forged_token_opens_anything(site: Site) -> None:
    let_in, browser = [], site.browser()
    for name, forge in FORGERIES.items():
        site.provider.forge = lambda claims, forge=forge: forge(site, claims)
        answer = site.sign_in(browser)
        if answer.status_code != 403 or answer.url.startswith(f"{site.address}/login/oidc/back") is False:
            let_in.append((name, answer.status_code, answer.url))
    assert let_in == []
    assert site.database["sessions"].count_documents({}) == 0
    assert find_user(site.database, "ana") is None
    assert len(site.refusals()) == len(FORGERIES)


def with_parameters(address: str, **changes: str | None) -> str:
    parts = urlsplit(address)
    query = {name: values[0] for name, values in parse_qs(parts.query).items()}
    query.update({name: value for name, value in changes.items() if value is not None})
    for name in [name for name, value in changes.items() if value is None]:
        query.pop(name, None)
    return parts._replace(query=urlencode(query)).geturl()


def test_an_answer_that_this_browser_did_not_ask_for_is_refused(site: Site) -> None:
    mine, others = site.browser(), site.browser()
    planted = site.way_back(others)  # somebody's own sign-in, sent to a victim
    back = site.way_back(mine)
    state = parse_qs(urlsplit(back).query)["state"][0]
    attempts = {
        "another's answer": planted,
        "another's code": with_parameters(planted, state=state),  # refused by PKCE, by the provider itself
        "no state": with_parameters(back, state=None),
        "empty state": with_parameters(back, state=""),
        "state twice": f"{back}&state={state}",
        "no code": with_parameters(back, code=None),
        "invented code": with_parameters(back, code="x" * 48),
        "another provider's": with_parameters(back, iss="https://evil.example"),
        "an error": with_parameters(
            back, code=None, error="access_denied", error_description="<script>alert(1)</script>"
        ),
    }
    for name, address in attempts.items():
        victim = site.browser()
        victim.cookies.update(mine.cookies)
        answer = victim.get(address)
        assert answer.status_code == 403, name
        assert "<script>alert" not in answer.text
        assert "cloister_session" not in victim.cookies
    nobody = site.browser().get(back)
    assert nobody.status_code == 403
    assert "did not begin this sign-in" in nobody.text
    assert site.database["sessions"].count_documents({}) == 0
    assert len(site.refusals()) == len(attempts) + 1


def test_a_code_is_good_once(site: Site) -> None:
    browser = site.browser()
    back = site.way_back(browser)
    cookies = dict(browser.cookies)
    assert browser.get(back, allow_redirects=False).status_code == 303
    again = site.browser()
    again.cookies.update(cookies)
    assert again.get(back).status_code == 403
    assert site.database["sessions"].count_documents({}) == 1


def test_a_session_that_somebody_planted_is_not_the_one_that_is_opened(site: Site) -> None:
    browser = site.browser()
    browser.cookies.set("cloister_session", "a" * 43, domain="127.0.0.1", path="/")
    site.sign_in(browser)
    assert {cookie.value for cookie in browser.cookies if cookie.name == "cloister_session"} != {"a" * 43}


@pytest.mark.parametrize(
    "wanted", ["//evil.example", "/\\evil.example", "https://evil.example", "javascript:alert(1)", "/%0d%0aX: y", ""]
)
def test_nobody_is_sent_elsewhere_after_signing_in(site: Site, wanted: str) -> None:
    browser = site.browser()
    left = browser.get(f"{site.address}/login/oidc", params={"next": wanted}, allow_redirects=False)
    back = browser.get(left.headers["Location"], allow_redirects=False).headers["Location"]
    answer = browser.get(back, allow_redirects=False)
    assert answer.status_code == 303
    assert answer.headers["Location"] in ("/", "/%0d%0aX:%20y")
    assert "X" not in answer.headers


METADATA = {
    "other issuer": {"issuer": "https://evil.example"},
    "keys elsewhere": {"jwks_uri": "https://evil.example/keys"},
    "token endpoint elsewhere": {"token_endpoint": "https://169.254.169.254/latest"},
    "without TLS": {"token_endpoint": "http://localhost/token"},
    "no keys": {"jwks_uri": None},
    "no address": {"token_endpoint": "https://[localhost"},
    "numbers": {"token_endpoint": 5},
    "a file": {"authorization_endpoint": "file:///etc/passwd"},
    "a script": {"authorization_endpoint": "javascript:alert(1)"},
}


def test_a_provider_that_leads_elsewhere_is_not_followed(site: Site) -> None:
    for name, told in METADATA.items():
        forget(site.ours)
        site.provider.metadata.clear()
        site.provider.metadata.update(told)
        answer = site.browser().get(f"{site.address}/login/oidc", allow_redirects=False)
        assert answer.status_code == 502, name
        assert "evil" not in answer.text
    assert set(site.provider.asked) == {"/.well-known/openid-configuration"}


def test_a_provider_that_fails_is_not_asked_by_everybody_at_once(site: Site) -> None:
    site.provider.metadata["issuer"] = "https://evil.example"
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: site.browser().get(f"{site.address}/login/oidc"), range(16)))
    assert {answer.status_code for answer in answers} == {502}
    assert len(site.provider.asked) == 1


def test_a_provider_that_must_name_itself_in_its_answer_does(site: Site) -> None:
    site.provider.metadata["authorization_response_iss_parameter_supported"] = True
    assert site.sign_in().status_code == 403
    site.provider.answer["iss"] = site.provider.issuer
    assert site.sign_in().status_code == 200


def test_a_certificate_that_nobody_here_trusts_ends_it(site: Site, tmp_path: Path) -> None:
    honest = site.ours.settings
    other = Authority(tmp_path / "other", "Another CA")
    site.ours.settings = replace(honest, ca_file=other.ca)
    try:
        assert site.browser().get(f"{site.address}/login/oidc").status_code == 502
    finally:
        site.ours.settings = honest
    assert site.provider.asked == []


def test_a_policy_that_wants_a_second_factor_wants_it_here_too(site: Site) -> None:
    site.database["policy"].insert_one({"_id": "site", "require_totp": True})
    page = site.sign_in()
    assert page.url == f"{site.address}/login/set-up"
    assert site.database["sessions"].count_documents({}) == 0
    honest = site.ours.settings
    site.ours.settings = replace(honest, second_factor=True)
    try:
        assert site.sign_in().url == f"{site.address}/"
    finally:
        site.ours.settings = honest


def test_without_a_provider_there_is_no_such_page(database: Database[dict[str, Any]]) -> None:
    client = create_app(RunStore(database)).test_client()
    assert client.get("/login/oidc").status_code == 404
    assert client.get("/login/oidc/back?code=1&state=2").status_code == 404


@pytest.mark.browser
def test_a_real_browser_goes_there_and_back(site: Site, browser: Browser) -> None:
    """Cookies that come back from another site, and a security policy that lets nothing else through."""
    port = urlsplit(site.provider.issuer).port
    context = browser.new_context(ignore_https_errors=True)  # it does not know the tests' certificates
    watch = Watch(context, site.address)
    page = context.new_page()
    page.goto(f"{site.address}/privacy/overview")
    page.get_by_role("link", name="Lab account").click()
    page.wait_for_url(f"{site.address}/privacy/overview")
    assert {cookie["name"] for cookie in context.cookies(site.address)} == {
        "cloister_form",
        "cloister_session",
        "cloister_zone",
    }
    assert [one for one in watch.trouble if not one.startswith(f"request: https://localhost:{port}/")] == []
    context.close()
