"""Keys, values, text and files that are encrypted: what comes back, and what does not come out."""

from __future__ import annotations

import contextlib
import io
import json
import os
import stat
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from importlib.util import find_spec
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from bson import Binary, encode
from bson.codec_options import CodecOptions
from cloister.observer.encryption import kmip_messages
from cloister.observer.encryption.chosen import Chosen, chosen_for, parse_table, parse_words
from cloister.observer.encryption.data_keys import (
    COLLECTION,
    DataKey,
    new_data_key,
    read_facts,
    unwrapped,
    wrapped_document,
)
from cloister.observer.encryption.field_cipher import DamagedValue, FieldCipher, is_sealed
from cloister.observer.encryption.key_file import KeyFile
from cloister.observer.encryption.key_providers import (
    KeyProvider,
    KeyProviderFailed,
    KeyUnavailable,
    open_provider,
)
from cloister.observer.encryption.kmip_server import KmipServer
from cloister.observer.encryption.sealed_files import (
    HEADER_BYTES,
    SEGMENT_BYTES,
    ChangedMeanwhile,
    SealedReader,
    SealedStream,
    plain_size,
    sealed_size,
)
from cloister.observer.encryption.sealed_text import TextCipher
from cloister.observer.encryption.vault_transit import VaultTransit
from cloister.observer.settings import load_settings
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st
from kmip_running import Kmip, running_kmip
from pymongo.database import Database
from pymongo.encryption import ClientEncryption
from transit_server import TOKEN, Transit, running_transit

KEY = DataKey(bytes(range(16)), "medical", bytes(range(96)))


@pytest.fixture(scope="module")
def vault() -> Iterator[Transit]:
    with running_transit() as transit:
        yield transit


@pytest.fixture(scope="module")
def kmip(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kmip]:
    if find_spec("kmip") is None:
        pytest.skip("needs PyKMIP: pip install pykmip")
    with running_kmip(tmp_path_factory.mktemp("kmip")) as server:
        yield server


@pytest.fixture(params=["file", "vault", "kmip"])
def provider(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> KeyProvider:
    if request.param == "file":
        return open_provider(load_settings(keys=str(tmp_path / "keys.json")))
    if request.param == "kmip":
        server: Kmip = request.getfixturevalue("kmip")
        monkeypatch.setenv("CLOISTER_KMIP_CERTIFICATE", str(server.certificate))
        monkeypatch.setenv("CLOISTER_KMIP_CA", str(server.authority))
        opened = open_provider(load_settings(keys=f"kmip:{server.address}"))
        for project in ("medical", "digits"):
            opened.forget(project)  # of the test before
        return opened
    transit: Transit = request.getfixturevalue("vault")
    transit.keys.clear()
    monkeypatch.setenv("VAULT_TOKEN", TOKEN)
    return open_provider(load_settings(keys=f"vault:{transit.url}"))


# ---- what is chosen


@pytest.mark.parametrize(
    ("words", "path", "is_chosen"),
    [
        (("config",), "lr", True),
        (("everything",), "a.b", True),
        (("config.patient.*",), "patient.name", True),
        (("config.patient",), "patient.name", True),
        (("config.*.name",), "a.name.first", True),
        (("config.patient.*",), "patient", False),
        (("config.patient",), "patients.name", False),
        (("console", "sources"), "lr", False),
    ],
)
def test_a_config_entry_is_chosen_by_its_path_or_by_what_it_is_a_part_of(
    words: tuple[str, ...], path: str, is_chosen: bool
) -> None:
    assert Chosen(words).has_key(path) is is_chosen


def test_what_the_user_chooses_is_added_to_what_the_policy_says() -> None:
    table = parse_table({"medical-*": ["console"], "*": "artifacts"})
    assert chosen_for("medical-ct", table, ("console", "sources")).words == ("console", "artifacts", "sources")
    assert chosen_for("digits", table).words == ("artifacts",)
    for bad in ("consol", "config.", ["config", 3], {"console": True}):
        with pytest.raises(ValueError, match="everything or config"):
            parse_words(bad)


# ---- one promise, each provider


def test_a_wrapped_key_opens_through_rotations_until_its_version_is_dropped(provider: KeyProvider) -> None:
    assert provider.find("medical") is None
    state = provider.make("medical")
    assert (state.newest, provider.make("medical").newest) == (1, 1)
    key = new_data_key("medical")
    document = wrapped_document(key, provider)
    assert key.secret not in encode(document)
    assert provider.rotate("medical").versions == (1, 2)
    assert unwrapped(document, provider) == key
    newer = wrapped_document(key, provider)
    assert (read_facts(document).version, read_facts(newer).version) == (1, 2)
    assert provider.drop_old("medical").versions == (2,)
    assert unwrapped(newer, provider) == key
    with pytest.raises(KeyUnavailable):
        unwrapped(document, provider)


def test_a_forgotten_key_opens_nothing_also_when_another_of_its_name_is_made(provider: KeyProvider) -> None:
    provider.make("medical")
    document = wrapped_document(new_data_key("medical"), provider)
    provider.forget("medical")
    provider.forget("medical")
    assert provider.find("medical") is None
    with pytest.raises(KeyUnavailable, match="cloister keys add"):
        unwrapped(document, provider)
    with pytest.raises(KeyUnavailable):
        provider.wrap("medical", b"s" * 96)
    assert provider.find("medical") is None  # asking for a wrapped secret has not made one again
    provider.make("medical")
    with pytest.raises(KeyUnavailable):
        unwrapped(document, provider)


def test_a_wrapped_key_opens_neither_under_another_project_nor_changed(provider: KeyProvider) -> None:
    for project in ("medical", "digits"):
        provider.make(project)
    wrapped = provider.wrap("medical", b"s" * 96)
    changed = bytes([*wrapped.material[:-2], wrapped.material[-2] ^ 1, wrapped.material[-1]])
    for project, material in (("digits", wrapped.material), ("medical", changed), ("medical", b"")):
        with pytest.raises(KeyUnavailable):
            provider.unwrap(project, material, wrapped.master, wrapped.version)
    with pytest.raises(KeyUnavailable):
        provider.unwrap("medical", wrapped.material, "aws", 1)


# ---- the key file


def test_a_key_file_is_for_its_account_alone_and_others_are_refused(tmp_path: Path) -> None:
    keys = KeyFile(tmp_path / "folder" / "keys.json")
    keys.make("medical")
    assert stat.S_IMODE(keys.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(keys.path.parent.stat().st_mode) == 0o700
    keys.path.chmod(0o640)
    with pytest.raises(KeyProviderFailed, match="chmod 600"):
        keys.find("medical")
    keys.path.chmod(0o600)
    link = KeyFile(tmp_path / "link.json")
    link.path.symlink_to(keys.path)
    with pytest.raises(KeyProviderFailed):
        link.find("medical")
    keys.path.write_bytes(b'{"format": 1, "projects": {"medical": [{"version": 1, "key": "AAAA"}]}}')
    with pytest.raises(KeyProviderFailed, match="damaged"):
        keys.find("medical")


def test_what_is_forgotten_is_in_no_file_of_the_folder(tmp_path: Path) -> None:
    keys = KeyFile(tmp_path / "keys.json")
    for project in ("medical", "digits"):
        keys.make(project)
    [stored] = json.loads(keys.path.read_text())["projects"]["medical"]
    with keys.path.open("rb") as before:  # as a process has it that opened the file before
        keys.forget("medical")
        assert stored["key"].encode() not in before.read()
    assert all(stored["key"] not in path.read_text() for path in tmp_path.iterdir())
    assert keys.projects() == ("digits",)


def test_an_exported_key_is_that_projects_alone_and_opens_elsewhere(tmp_path: Path) -> None:
    here, there = KeyFile(tmp_path / "here.json"), KeyFile(tmp_path / "there.json")
    for project in ("medical", "digits"):
        here.make(project)
    document = wrapped_document(new_data_key("medical"), here)
    here.rotate("medical")
    here.export("medical", tmp_path / "handed.json")
    assert stat.S_IMODE((tmp_path / "handed.json").stat().st_mode) == 0o600
    assert there.take_in(KeyFile(tmp_path / "handed.json")) == ("medical",)
    assert there.take_in(KeyFile(tmp_path / "handed.json")) == ()
    assert there.projects() == ("medical",)
    assert unwrapped(document, there) == unwrapped(document, here)
    apart = KeyFile(tmp_path / "apart.json")
    apart.make("medical")
    with pytest.raises(KeyProviderFailed, match="made apart"):
        there.take_in(apart)
    with pytest.raises(FileExistsError):
        here.export("medical", tmp_path / "handed.json")


# ---- the KMIP server


def test_a_kmip_server_is_spoken_to_with_certificates_that_are_checked(
    kmip: Kmip, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CLOISTER_KMIP_CA", raising=False)
    monkeypatch.setenv("CLOISTER_KMIP_CERTIFICATE", str(kmip.certificate))
    with pytest.raises(KeyProviderFailed, match="certificate verify failed"):
        KmipServer.at(kmip.address).make("medical")
    monkeypatch.setenv("CLOISTER_KMIP_CA", str(kmip.authority))
    monkeypatch.delenv("CLOISTER_KMIP_CERTIFICATE")
    with pytest.raises(KeyProviderFailed):
        KmipServer.at(kmip.address).make("medical")  # who comes without one gets no key
    with pytest.raises(KeyProviderFailed, match="does not answer"):
        KmipServer.at("127.0.0.1:1").find("medical")
    for address in ("", "kmip.lan:x", "user@kmip.lan", "kmip.lan/keys"):
        with pytest.raises(KeyProviderFailed, match="no address"):
            KmipServer.at(address)


@given(st.binary(max_size=200))
def test_whatever_a_kmip_server_sends_is_read_or_refused(data: bytes) -> None:
    message = kmip_messages.request(kmip_messages.GET, kmip_messages.text(kmip_messages.UNIQUE_IDENTIFIER, "7"))
    assert kmip_messages.decode(message).encoded() == message
    for place in (data, message[: len(data)], message[:8] + data, data[:3] + message[3:]):
        with contextlib.suppress(ValueError, StopIteration):
            kmip_messages.decode(place).find(kmip_messages.BATCH_ITEM, kmip_messages.OPERATION)


# ---- the Vault


def test_a_vault_is_asked_by_its_documented_api_with_the_token_in_a_header(
    vault: Transit, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("VAULT_TOKEN", raising=False)
    monkeypatch.setenv("VAULT_TOKEN_FILE", str(tmp_path / "token"))
    provider = VaultTransit.at(vault.url)
    with pytest.raises(KeyProviderFailed, match="there is no token"):
        provider.find("medical")
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    vault.keys.clear()
    vault.asked.clear()
    provider.make("Medical CT")
    wrapped = provider.wrap("Medical CT", b"s" * 96)
    assert provider.unwrap("Medical CT", wrapped.material, wrapped.master, 1) == b"s" * 96
    [name] = vault.keys
    assert name.startswith("cloister-medical-ct-")
    assert ("POST", f"keys/{name}", {"type": "aes256-gcm96", "exportable": False}) in vault.asked
    assert {path.partition("/")[0] for _, path, _ in vault.asked} == {"keys", "encrypt", "decrypt"}


def test_a_vault_that_refuses_or_is_away_is_named_without_the_token(
    vault: Transit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VAULT_TOKEN", "hvs.another")
    with pytest.raises(KeyProviderFailed, match="403 permission denied") as refused:
        VaultTransit.at(vault.url).make("medical")
    assert "hvs.another" not in str(refused.value)
    with pytest.raises(KeyProviderFailed, match="does not answer"):
        VaultTransit.at("http://127.0.0.1:1/transit").find("medical")
    for address in ("http://vault.lan:8200/transit", "vault.lan", "https://user@vault.lan", "https://vault.lan:x"):
        with pytest.raises(KeyProviderFailed):
            VaultTransit.at(address)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate of this machine, signed by itself, with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "the test's Vault")])
    now = datetime.now(timezone.utc)
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("vault") / "certificate.pem"
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path.write_bytes(signed.public_bytes(Encoding.PEM) + private)
    return path


def test_the_token_is_sent_to_a_vault_whose_certificate_is_trusted_and_to_no_other(
    certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VAULT_TOKEN", TOKEN)
    monkeypatch.delenv("VAULT_CACERT", raising=False)
    with running_transit(certificate) as transit:
        with pytest.raises(KeyProviderFailed, match="does not answer"):
            VaultTransit.at(transit.url).make("medical")
        assert transit.asked == []
        monkeypatch.setenv("VAULT_CACERT", str(certificate))
        assert VaultTransit.at(transit.url).make("medical").newest == 1
        with pytest.raises(KeyProviderFailed):
            VaultTransit.at(transit.url.replace("127.0.0.1", "localhost")).find("medical")  # not its name


# ---- values


VALUES = [
    None,
    True,
    -0.0,
    2**62,
    "",
    "Ana",
    b"\0",
    [1, "two"],
    {"a": {"b": None}},
    datetime(2026, 3, 2, tzinfo=timezone.utc),
]


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_a_value_comes_back_and_shows_neither_itself_nor_its_type(value: Any) -> None:
    cipher = FieldCipher()
    cipher.add(KEY)
    sealed = cipher.encrypt(KEY.id, value)
    assert (sealed.subtype, is_sealed(sealed)) == (6, True)
    assert sealed[17] == 3  # MongoDB notes a value's BSON type there: they are all documents
    opened = cipher.decrypt(sealed)
    assert opened == value
    assert isinstance(opened, type(value))
    assert cipher.encrypt(KEY.id, value) != sealed
    with pytest.raises(DamagedValue, match="another run"):
        cipher.decrypt(sealed, "018f")


def test_a_changed_value_and_one_of_another_key_do_not_open() -> None:
    cipher, other = FieldCipher(), FieldCipher()
    cipher.add(KEY)
    other.add(DataKey(KEY.id, KEY.project, os.urandom(96)))
    sealed = cipher.encrypt(KEY.id, "Ana")
    for at in (20, len(sealed) // 2, len(sealed) - 1):
        changed = Binary(bytes([*sealed[:at], sealed[at] ^ 1, *sealed[at + 1 :]]), 6)
        with pytest.raises(DamagedValue):
            cipher.decrypt(changed)
    with pytest.raises(DamagedValue):
        other.decrypt(sealed)
    with pytest.raises(KeyError):
        FieldCipher().decrypt(sealed)


def test_values_are_encrypted_in_a_forked_child_too() -> None:
    cipher = FieldCipher()
    cipher.add(KEY)
    cipher.encrypt(KEY.id, 1)
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writing, bytes(cipher.encrypt(KEY.id, "from the child")))
        os._exit(0)
    os.waitpid(child, 0)
    os.close(writing)
    with os.fdopen(reading, "rb") as stream:
        assert cipher.decrypt(stream.read()) == "from the child"


def test_pymongos_client_encryption_opens_what_we_have_encrypted(database: Database[Any], tmp_path: Path) -> None:
    """Stored keys are a key vault of MongoDB's own form: with the key file, no Cloister is needed to read a field."""
    keys = KeyFile(tmp_path / "keys.json")
    keys.make("medical")
    key = new_data_key("medical")
    document = wrapped_document(key, keys)
    database[COLLECTION].insert_one(document)
    cipher = FieldCipher()
    cipher.add(key)
    sealed = cipher.encrypt(key.id, {"name": "Ana"}, "018f")

    import base64

    master = base64.b64decode(json.loads(keys.path.read_text())["projects"]["medical"][0]["key"])
    providers = {document["masterKey"]["provider"]: {"key": master}}
    vault = f"{database.name}.{COLLECTION}"
    with ClientEncryption(providers, vault, database.client, CodecOptions()) as client_encryption:
        assert client_encryption.decrypt(sealed) == {"v": {"name": "Ana"}, "run": "018f"}
        theirs = client_encryption.encrypt(
            {"v": "Bo", "run": "018f"}, "AEAD_AES_256_CBC_HMAC_SHA_512-Random", key_id=Binary(key.id, 4)
        )
    assert cipher.decrypt(theirs, "018f") == "Bo"


# ---- console text


def test_a_piece_of_console_opens_only_for_its_run_and_its_stream() -> None:
    cipher = TextCipher(KEY, b"a" * 16)
    sealed = cipher.encrypt("stdout", "Zwölf\n")
    assert cipher.decrypt("stdout", sealed) == "Zwölf\n"
    for other, stream, text in (
        (cipher, "stderr", sealed),
        (TextCipher(KEY, b"b" * 16), "stdout", sealed),
        (cipher, "stdout", sealed[:-1]),
        (cipher, "stdout", b""),
    ):
        with pytest.raises(DamagedValue):
            other.decrypt(stream, text)


# ---- files


def _sealed(content: bytes, key: DataKey = KEY) -> bytes:
    return SealedStream(io.BytesIO(content), key).read()


def _reader(sealed: bytes, key: DataKey = KEY) -> SealedReader:
    def find(key_id: bytes) -> DataKey:
        assert key_id == key.id
        return key

    return SealedReader(lambda place, size: sealed[place : place + size], len(sealed), find)


def _opened(sealed: bytes) -> bytes:
    reader = _reader(sealed)
    return b"".join(reader.segment(number) for number in range(max(1, -(-reader.size // SEGMENT_BYTES))))


@hypothesis.settings(max_examples=30)
@given(st.integers(0, 3 * SEGMENT_BYTES + 5), st.integers(1, 200_000))
def test_a_file_comes_back_whatever_its_size_and_however_it_is_read(size: int, step: int) -> None:
    content = (b"%d," % size * (size + 1))[:size]
    stream = SealedStream(io.BytesIO(content), KEY)
    sealed = b"".join(iter(lambda: stream.read(step), b""))
    assert (len(sealed), plain_size(len(sealed))) == (sealed_size(size), size)
    assert _opened(sealed) == content
    assert content[:40] not in sealed or size < 8


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda data: data[: HEADER_BYTES + SEGMENT_BYTES + 16], id="its end cut off at a segment"),
        pytest.param(lambda data: data[:-1], id="its last byte cut off"),
        pytest.param(lambda data: data[:70] + bytes([data[70] ^ 1]) + data[71:], id="one bit turned"),
        pytest.param(lambda data: data[:30] + bytes([data[30] ^ 1]) + data[31:], id="its salt changed"),
        pytest.param(
            lambda data: (
                data[:HEADER_BYTES] + data[HEADER_BYTES + SEGMENT_BYTES + 16 :][: SEGMENT_BYTES + 16]
                + data[HEADER_BYTES:][: SEGMENT_BYTES + 16] + data[HEADER_BYTES + 2 * (SEGMENT_BYTES + 16) :]
            ),
            id="two segments swapped",
        ),
        pytest.param(lambda data: b"", id="nothing left"),
        pytest.param(lambda data: b"x" * len(data), id="another file"),
    ],
)  # fmt: skip
def test_a_file_that_was_changed_does_not_open(change: Callable[[bytes], bytes]) -> None:
    sealed = _sealed(os.urandom(2 * SEGMENT_BYTES + 100))
    with pytest.raises(ValueError, match=r"encrypted|written"):
        _opened(change(sealed))


def test_equal_files_of_a_project_are_equal_bytes_and_of_two_projects_have_nothing_in_common() -> None:
    content = b"weights" * 100
    other = new_data_key("digits")
    assert _sealed(content) == _sealed(content)
    ours, theirs = _sealed(content), _sealed(content, other)
    assert ours[HEADER_BYTES - 32 :] != theirs[HEADER_BYTES - 32 :]
    assert not any(ours[at : at + 8] in theirs for at in range(9, len(ours) - 8))
    assert _sealed(content + b"!")[HEADER_BYTES - 32 : HEADER_BYTES] != ours[HEADER_BYTES - 32 : HEADER_BYTES]


def test_a_file_that_changes_while_it_is_read_is_encrypted_under_a_salt_of_its_own(tmp_path: Path) -> None:
    """Two contents under one salt would share a key and its nonces, and each would tell the other."""
    path = tmp_path / "log.txt"
    before, after = b"a" * 3 * SEGMENT_BYTES, b"b" * 3 * SEGMENT_BYTES
    path.write_bytes(before)
    with path.open("rb") as source:
        stream = SealedStream(source, KEY)
        path.write_bytes(after)
        with pytest.raises(ChangedMeanwhile):
            stream.read()
        stream.forget_digest()
        sealed = stream.read()
    assert _opened(sealed) == after
    assert sealed[HEADER_BYTES - 32 : HEADER_BYTES] != _sealed(before)[HEADER_BYTES - 32 : HEADER_BYTES]
    assert sealed != _sealed(after)
