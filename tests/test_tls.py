"""The viewer over TLS, and behind proxies that it was told of."""

from __future__ import annotations

import http.client
import socket
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pymongo
import pytest
from cloister.observer.runs import RunStore
from cloister.viewer.access_rules import RULES
from cloister.viewer.accounts.users import add_user
from cloister.viewer.app import create_app
from cloister.viewer.security import STRICT_TRANSPORT, find_refusal, host_rule
from cloister.viewer.serve_command import AccountsUnknown, OpenToTheNetwork, refuse_without_accounts
from cloister.viewer.store_access import ServedDatabase, StoreAccess
from cloister.viewer.tls import BadCertificate, HalfOfTls, OpenKeyFile, load_tls
from cloister.viewer.trusted_proxies import NO_PROXIES, BadProxyAddress, Sender, parse_trusted_proxies
from flask import Flask, request
from pymongo.database import Database
from running_viewer import ask, running_viewer
from test_serve_command import refused, serve_command

pytest.importorskip("cryptography", reason="needs cryptography")
from tls_certificates import Authority


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def certificate(authority: Authority) -> tuple[Path, Path]:
    return authority.server()


@pytest.fixture
def port(store: RunStore, certificate: tuple[Path, Path]) -> Iterator[int]:
    with running_viewer(store, tls=load_tls(*certificate)) as port:
        yield port


def ask_safely(port: int, path: str, authority: Authority, **options: object) -> http.client.HTTPResponse:
    """The head of an answer over TLS, the certificate checked."""
    context = ssl.create_default_context(cafile=str(authority.ca))
    connection = http.client.HTTPSConnection("127.0.0.1", port, context=context, timeout=10)
    try:
        connection.request("GET", path, **options)  # type: ignore[arg-type]
        return connection.getresponse()
    finally:
        connection.close()


class TestTls:
    def test_every_answer_says_that_only_tls_will_do_from_now_on(self, port: int, authority: Authority) -> None:
        for path in ("/", "/nothing", "/healthz", "/static/js/theme.js", "/api/v1/projects", "/api/v1/live?x=1"):
            assert ask_safely(port, path, authority).headers["Strict-Transport-Security"] == STRICT_TRANSPORT, path

    def test_over_plain_http_nothing_of_the_kind_is_said(self, store: RunStore) -> None:
        with running_viewer(store) as port:
            assert "Strict-Transport-Security" not in ask(port, "/")[0].headers

    def test_cookies_are_for_tls_and_this_host_alone(self, port: int, authority: Authority, database: Database) -> None:
        add_user(database, "ana")
        cookies = ask_safely(port, "/login", authority).headers.get_all("Set-Cookie")
        assert cookies
        for cookie in cookies:
            assert cookie.startswith("__Host-"), cookie
            parts = {part.strip().lower() for part in cookie.split(";")}
            assert {"secure", "httponly", "path=/"} <= parts
            assert parts & {"samesite=lax", "samesite=strict"}
            assert not any(part.startswith("domain") for part in parts)

    def test_plain_http_gets_nothing_on_its_port(self, port: int) -> None:
        with pytest.raises((OSError, http.client.HTTPException)):
            ask(port, "/")

    @pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
    def test_old_versions_are_refused(self, port: int, authority: Authority, version: ssl.TLSVersion) -> None:
        context = ssl.create_default_context(cafile=str(authority.ca))
        with pytest.warns(DeprecationWarning, match="TLS"):
            context.minimum_version = context.maximum_version = version
        context.set_ciphers("ALL:@SECLEVEL=0")  # else our own side would be the one that refuses
        with socket.create_connection(("127.0.0.1", port), timeout=5) as plain, pytest.raises((ssl.SSLError, OSError)):
            context.wrap_socket(plain, server_hostname="127.0.0.1")

    @pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
    def test_newer_ones_are_spoken_with_forward_secrecy(
        self, port: int, authority: Authority, version: ssl.TLSVersion
    ) -> None:
        context = ssl.create_default_context(cafile=str(authority.ca))
        context.minimum_version = context.maximum_version = version
        with (
            socket.create_connection(("127.0.0.1", port), timeout=5) as plain,
            context.wrap_socket(plain, server_hostname="127.0.0.1") as spoken,
        ):
            name = spoken.cipher()[0]  # type: ignore[index]
        assert "GCM" in name or "CHACHA20" in name
        assert name.startswith(("ECDHE-", "TLS_"))

    def test_handshakes_that_never_end_keep_nobody_out(self, port: int, authority: Authority) -> None:
        slow = [socket.create_connection(("127.0.0.1", port), timeout=5) for _ in range(150)]  # the limit is 128
        try:
            for connection in slow:
                connection.sendall(b"\x16\x03\x01")
            assert ask_safely(port, "/healthz", authority).status == 200
        finally:
            for connection in slow:
                connection.close()

    def test_a_browsers_own_page_is_known_by_its_origin(self, port: int, authority: Authority) -> None:
        own, plain = ({"Origin": f"{scheme}://127.0.0.1:{port}"} for scheme in ("https", "http"))
        assert ask_safely(port, "/api/v1/projects", authority, headers=own).status == 200
        # The first is asked for better words, the other is not let that far: plain HTTP may be anybody's page.
        assert ask_safely(port, "/api/v1/live?run=x", authority, headers=own).status == 400
        assert ask_safely(port, "/api/v1/live?run=x", authority, headers=plain).status == 403
        rule = host_rule(allowed_hosts=["tracker.lab"])
        request = {"method": "POST", "host": "tracker.lab", "fetch_site": None, "rule": rule}
        assert find_refusal(**request, origin="https://tracker.lab", own_page_only=False, scheme="https") is None
        assert find_refusal(**request, origin="http://tracker.lab", own_page_only=False, scheme="https") is not None
        assert find_refusal(**request, origin="https://tracker.lab", own_page_only=False, scheme="http") is None


class TestCertificates:
    def test_neither_file_means_no_tls(self) -> None:
        assert load_tls(None, None) is None

    def test_half_of_it_is_named(self, certificate: tuple[Path, Path]) -> None:
        with pytest.raises(HalfOfTls, match="--tls-cert was given without --tls-key"):
            load_tls(certificate[0], None)
        with pytest.raises(HalfOfTls, match="--tls-key was given without --tls-cert"):
            load_tls(None, certificate[1])

    def test_a_key_that_others_can_read_is_refused(self, certificate: tuple[Path, Path], tmp_path: Path) -> None:
        open_key = tmp_path / "open.key"
        open_key.write_bytes(certificate[1].read_bytes())
        open_key.chmod(0o644)
        with pytest.raises(OpenKeyFile, match=r"mode 0644.*chmod 600"):
            load_tls(certificate[0], open_key)

    def test_what_cannot_be_used_is_said(
        self, authority: Authority, certificate: tuple[Path, Path], tmp_path: Path
    ) -> None:
        _, other_key = authority.server("other")
        text = tmp_path / "text.pem"
        text.write_text("no certificate")
        text.chmod(0o600)
        locked = tmp_path / "locked.key"
        subprocess.run(
            ["openssl", "pkey", "-in", certificate[1], "-aes256", "-passout", "pass:x", "-out", locked], check=True
        )
        locked.chmod(0o600)
        for files, reason in [
            ((certificate[0], other_key), "the key is another certificate's"),
            ((text, certificate[1]), "not PEM"),
            ((certificate[0], text), "not PEM"),
            ((certificate[0], locked), "the key has a password"),
            ((tmp_path / "missing", certificate[1]), "No such file"),
            ((certificate[0], tmp_path / "missing"), "No such file"),
        ]:
            with pytest.raises(BadCertificate, match=reason):
                load_tls(*files)


class TestServeCommand:
    def test_beyond_this_machine_it_starts_with_accounts_and_tls(
        self, certificate: tuple[Path, Path], authority: Authority, database: Database, database_uri: str
    ) -> None:
        tls = ("--tls-cert", str(certificate[0]), "--tls-key", str(certificate[1]), "--uri", database_uri)
        add_user(database, "ana")
        words = serve_command("--host", "0.0.0.0", "--port", "0", "--allowed-host", "tracker.lab", *tls)
        process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
        try:
            line = process.stdout.readline()  # type: ignore[union-attr]
            assert line.startswith("Cloister is at https://127.0.0.1:")
            port = int(line.rstrip("/\n").rpartition(":")[2])
            assert ask_safely(port, "/healthz", authority).status == 200
            assert ask_safely(port, "/api/v1/projects", authority).status == 401
        finally:
            process.terminate()
            process.communicate(timeout=20)

    def test_behind_a_proxy_of_this_machine_it_wants_accounts_too(self, database_uri: str) -> None:
        assert "no accounts yet" in refused("--trusted-proxy", "127.0.0.1", "--port", "0", "--uri", database_uri)

    def test_without_accounts_or_an_answer_whether_there_are_any_it_does_not_start(
        self, store: RunStore, database: Database
    ) -> None:
        served = ServedDatabase("cloister", StoreAccess(lambda: store))
        with pytest.raises(OpenToTheNetwork, match=r"it has no accounts yet.*cloister user add"):
            refuse_without_accounts("0.0.0.0", 6390, served)
        add_user(database, "ana")
        refuse_without_accounts("0.0.0.0", 6390, served)
        with pymongo.MongoClient("mongodb://127.0.0.1:9/", serverSelectionTimeoutMS=50) as dead:
            silent = ServedDatabase("cloister", StoreAccess(lambda: RunStore(dead["cloister"])))
            with pytest.raises(AccountsUnknown, match="Start the viewer again when"):
                refuse_without_accounts("0.0.0.0", 6390, silent)


class TestTrustedProxies:
    proxies = parse_trusted_proxies(["10.0.0.0/29", "127.0.0.1", "fd00::/64"])

    @pytest.mark.parametrize(
        ("peer", "headers", "expected"),
        [
            pytest.param("10.0.0.3", {"X-Forwarded-For": "192.168.7.7"}, ("192.168.7.7", "http"), id="one-hop"),
            pytest.param(
                "10.0.0.3", {"X-Forwarded-For": "6.6.6.6, 192.168.7.7"}, ("192.168.7.7", "http"), id="forged-first"
            ),
            pytest.param(
                "10.0.0.3", {"X-Forwarded-For": "192.168.7.7, 10.0.0.4"}, ("192.168.7.7", "http"), id="two-proxies"
            ),
            pytest.param("10.0.0.3", {"X-Forwarded-For": "10.0.0.4"}, ("10.0.0.4", "http"), id="only-proxies"),
            pytest.param("10.0.0.3", {"X-Forwarded-For": "evil\r\nX: y"}, ("10.0.0.3", "http"), id="garbage"),
            pytest.param("10.0.0.3", {"X-Forwarded-For": "192.168.7.7, x"}, ("10.0.0.3", "http"), id="garbage-last"),
            pytest.param("10.0.0.3", {"X-Forwarded-Proto": "https"}, ("10.0.0.3", "https"), id="tls"),
            pytest.param("10.0.0.3", {"X-Forwarded-Proto": "https, http"}, ("10.0.0.3", "http"), id="nearest-proto"),
            pytest.param("10.0.0.3", {"X-Forwarded-Proto": "javascript"}, ("10.0.0.3", "http"), id="odd-proto"),
            pytest.param("::ffff:10.0.0.3", {"X-Forwarded-For": "::1"}, ("::1", "http"), id="mapped"),
            pytest.param("fd00::7", {"X-Forwarded-For": "192.168.7.7"}, ("192.168.7.7", "http"), id="ipv6"),
            pytest.param(
                "10.0.0.9",
                {"X-Forwarded-For": "127.0.0.1", "X-Forwarded-Proto": "https"},
                ("10.0.0.9", "http"),
                id="stranger",
            ),
            pytest.param("", {"X-Forwarded-For": "127.0.0.1"}, ("", "http"), id="nobody"),
        ],
    )
    def test_only_the_nearest_address_that_a_proxy_vouches_for_counts(
        self, peer: str, headers: dict[str, str], expected: tuple[str, str]
    ) -> None:
        assert self.proxies.sender(peer, "http", headers) == Sender(*expected)

    @pytest.mark.parametrize("given", ["proxy.lab", "0.0.0.0/0", "::/0", "10.0.0.1/8", "", "1.2.3", "http://10.0.0.1"])
    def test_what_is_no_proxys_address_is_refused(self, given: str) -> None:
        with pytest.raises(BadProxyAddress, match=r"10\.0\.0\.5"):
            parse_trusted_proxies([given])

    @pytest.mark.parametrize("trusted", [True, False])
    def test_the_server_believes_its_proxies_and_nobody_else(
        self, store: RunStore, monkeypatch: pytest.MonkeyPatch, trusted: bool
    ) -> None:
        monkeypatch.setitem(RULES, "echo", "anyone")
        app = with_echo(create_app(store))
        proxies = self.proxies if trusted else NO_PROXIES
        headers = {"X-Forwarded-For": "192.168.7.7", "X-Forwarded-Proto": "https", "X-Forwarded-Host": "evil"}
        with running_viewer(store, app=app, proxies=proxies) as port:
            _, body = ask(port, "/echo", headers=headers)
            sender = "192.168.7.7 https" if trusted else "127.0.0.1 http"
            assert body.decode() == f"{sender} 127.0.0.1:{port}"
            # The next request on the same connection is another person's.
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
            for sent, expected in [(headers, body), ({}, f"127.0.0.1 http 127.0.0.1:{port}".encode())]:
                connection.request("GET", "/echo", headers=sent)
                assert connection.getresponse().read() == expected
            connection.close()


def with_echo(app: Flask) -> Flask:
    @app.get("/echo")
    def echo() -> str:
        return f"{request.remote_addr} {request.scheme} {request.host}"

    return app
