"""What is left of a remote's address."""

from __future__ import annotations

import string

import pytest
from cloister.observer.snapshot.remote_urls import LEFT_OUT, without_credentials
from cloister.observer.snapshot.secret_files import holds_secrets
from hypothesis import given
from hypothesis import strategies as st


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://forge.lab/team/digits.git", "https://forge.lab/team/digits.git"),
        ("https://ana:hunter2@forge.lab/digits.git", "https://forge.lab/digits.git"),
        ("https://ghp_token@forge.lab/digits.git", "https://forge.lab/digits.git"),
        ("https://oauth2:tok%40en@forge.lab:8443/digits.git", "https://forge.lab:8443/digits.git"),
        ("https://ana:p@ss@forge.lab/digits.git", "https://forge.lab/digits.git"),
        ("https://forge.lab/digits.git?private_token=abc#frag", "https://forge.lab/digits.git"),
        ("ssh://git@forge.lab:22/team/digits.git", "ssh://git@forge.lab:22/team/digits.git"),
        ("ssh://ana:pw@forge.lab/digits", "ssh://forge.lab/digits"),
        ("https://git@forge.lab/digits", "https://forge.lab/digits"),
        ("git@forge.lab:team/digits.git", "git@forge.lab:team/digits.git"),
        ("ana@forge.lab:team/digits.git", "forge.lab:team/digits.git"),
        ("ana:pw@forge.lab:team/digits.git", LEFT_OUT),
        ("git@[::1]:digits.git", "git@[::1]:digits.git"),
        ("https://ana:pw@[::1]:8443/x", "https://[::1]:8443/x"),
        ("/srv/git/digits.git", "/srv/git/digits.git"),
        ("../digits", "../digits"),
        ("file:///srv/git/digits.git", "file:///srv/git/digits.git"),
        ("C:\\git\\digits", "C:\\git\\digits"),
        ("ext::sh -c 'curl -H token:abc %S'", f"ext::{LEFT_OUT}"),
        ("gcrypt::https://ana:pw@forge.lab/x", "gcrypt::https://forge.lab/x"),
        ("https://ana:pa/ss@forge.lab/x", f"https://{LEFT_OUT}"),
        ("https://ana:12/ss@forge.lab/x", f"https://{LEFT_OUT}"),
        ("https://forge.lab/user:tok@x/y", f"https://forge.lab/{LEFT_OUT}"),
        ("https://ana:pw@forge.lab/\x1b[31mx\n", "https://forge.lab/[31mx"),
        ("", ""),
    ],
)
def test_an_address_keeps_the_place_and_loses_the_key(url: str, shown: str) -> None:
    assert without_credentials(url) == shown


SECRET_TEXT = st.text(alphabet=string.ascii_letters + string.digits + ":/@?#%-_.~!$&'()*+,;=[] ", max_size=12)


@given(
    st.sampled_from(["https", "http", "ssh", "git", "ftp", "git+ssh", "HTTPS", "s3"]),
    SECRET_TEXT,
    SECRET_TEXT,
    st.sampled_from(["forge.lab", "forge.lab:8443", "[::1]", "10.0.0.1"]),
)
def test_no_password_survives_whatever_it_is_made_of(scheme: str, before: str, after: str, host: str) -> None:
    url = f"{scheme}://ana:{before}CANARY{after}@{host}/team/digits.git"
    assert "CANARY" not in without_credentials(url)


@given(st.text(max_size=60))
def test_any_text_is_taken(text: str) -> None:
    assert isinstance(without_credentials(text), str)


@pytest.mark.parametrize("path", ["train.py", "keys.py", "environment.yml", "monkey.txt", "src/envs/cart.py", "README"])
def test_ordinary_files_do_not_count_as_secret(path: str) -> None:
    assert not holds_secrets(path)


@pytest.mark.parametrize("path", [".env", "a/.ENV.local", "deploy.PEM", ".ssh/config", "a/credentials.json", "id_rsa"])
def test_files_that_people_keep_keys_in_count_as_secret(path: str) -> None:
    assert holds_secrets(path)
