"""Cloister's own settings: which source wins, and what a wrong one is told."""

from __future__ import annotations

from pathlib import Path

import pytest
from cloister.observer.settings import (
    BadSetting,
    UnknownSetting,
    UnreadableSettings,
    UnreadableUriFile,
    load_settings,
)

URI = "mongodb://ana:secret@lab-db:27017/cloister"


@pytest.fixture
def uri_file(tmp_path: Path) -> Path:
    path = tmp_path / "uri"
    path.write_text(URI + "\n", encoding="utf-8")
    return path


def test_arguments_win_over_the_environment_and_that_over_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cloister.toml").write_text('project = "toml"\ncache_mb = 300\ncapture = "fd"', encoding="utf-8")
    monkeypatch.setenv("CLOISTER_PROJECT", "environment")
    monkeypatch.setenv("CLOISTER_CACHE_MB", "400")
    (tmp_path / "deeper").mkdir()

    settings = load_settings(tmp_path / "deeper", project="call", cache_mb=None)

    assert (settings.project, settings.cache_mb, settings.capture) == ("call", 400, "fd")


def test_the_uri_may_lie_in_a_file(uri_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLOISTER_URI_FILE", str(uri_file))
    assert load_settings().uri == URI


def test_a_uri_in_the_environment_wins_over_a_file_there_and_a_call_over_both(
    uri_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLOISTER_URI_FILE", str(uri_file))
    monkeypatch.setenv("CLOISTER_URI", "mongodb://here")
    assert load_settings().uri == "mongodb://here"
    assert load_settings(uri="mongodb://called").uri == "mongodb://called"


def test_a_file_named_in_the_environment_wins_over_the_uri_of_cloister_toml(
    uri_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cloister.toml").write_text('uri = "mongodb://from-toml"', encoding="utf-8")
    assert load_settings(tmp_path).uri == "mongodb://from-toml"
    monkeypatch.setenv("CLOISTER_URI_FILE", str(uri_file))
    assert load_settings(tmp_path).uri == URI


@pytest.mark.parametrize(
    ("content", "reason"), [(None, "No such file"), (b" \n", "it is empty"), (b"\xff\xfe", "it is not text")]
)
def test_a_uri_file_without_a_uri_is_told_with_its_name(
    content: bytes | None, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "secret-uri"
    if content is not None:
        path.write_bytes(content)
    monkeypatch.setenv("CLOISTER_URI_FILE", str(path))

    with pytest.raises(UnreadableUriFile, match=reason) as told:
        load_settings()

    assert str(path) in str(told.value)
    assert "CLOISTER_URI_FILE" in str(told.value)


def test_an_unknown_setting_is_told_with_those_that_exist(tmp_path: Path) -> None:
    (tmp_path / "cloister.toml").write_text('urn = "mongodb://x"', encoding="utf-8")
    with pytest.raises(UnknownSetting, match=r"cloister\.toml has an unknown setting 'urn'.*uri, database, project"):
        load_settings(tmp_path)


def test_a_settings_file_that_is_no_toml_is_told_with_its_name(tmp_path: Path) -> None:
    (tmp_path / "cloister.toml").write_text("uri: mongodb://x", encoding="utf-8")
    with pytest.raises(UnreadableSettings, match=r"cloister\.toml cannot be read as TOML"):
        load_settings(tmp_path)


@pytest.mark.parametrize(
    ("name", "value"), [("CACHE_MB", "much"), ("EXIT_WAIT", "inf"), ("EXIT_WAIT", "-1"), ("CAPTURE", "everything")]
)
def test_a_value_that_does_not_fit_is_told_with_its_variable(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"CLOISTER_{name}", value)
    with pytest.raises(BadSetting, match=f"CLOISTER_{name} sets {name.lower()} to '{value}'"):
        load_settings()


def test_a_misspelled_setting_is_told_with_the_one_that_was_meant(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("CLOISTER_DURABLITY", "fsync")
    monkeypatch.setenv("CLOISTER_FRIEND_OF_MINE", "1")
    assert load_settings(tmp_path).durability == "second"
    load_settings(tmp_path)
    [said] = [record.getMessage() for record in caplog.records]
    assert said == "The environment variable CLOISTER_DURABLITY sets nothing. Did you mean CLOISTER_DURABILITY?"
    (tmp_path / "cloister.toml").write_text("journal_limti = 1")
    with pytest.raises(UnknownSetting, match="Did you mean 'journal_limit'"):
        load_settings(tmp_path)


@pytest.mark.parametrize(("given", "size"), [("20 GB", 20_000_000_000), ("1.5M", 1_500_000), ("700000", 700_000)])
def test_a_size_is_given_with_its_unit_or_in_bytes(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, given: str, size: int
) -> None:
    monkeypatch.setenv("CLOISTER_JOURNAL_LIMIT", given)
    assert load_settings(tmp_path).journal_limit == size


@pytest.mark.parametrize("given", ["10", "0", "-1 GB", "much", "10 apples"])
def test_a_size_without_its_unit_is_refused_with_an_example(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, given: str
) -> None:
    monkeypatch.setenv("CLOISTER_JOURNAL_LIMIT", given)
    with pytest.raises(BadSetting, match="20 GB"):
        load_settings(tmp_path)
