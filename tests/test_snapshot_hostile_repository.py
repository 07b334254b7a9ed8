"""A repository whose config, attributes and files try to run commands, to hang us, or to leak keys."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cloister.observer.snapshot.git_state import read_git_state

Git = Callable[..., str]


@pytest.fixture
def git(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Git:
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))

    def run(folder: Path, *arguments: str) -> str:
        command = ["git", "-c", "user.name=Ana", "-c", "user.email=ana@lab", *arguments]
        return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout.strip()

    return run


@pytest.fixture
def repository(git: Git, tmp_path: Path) -> Path:
    """One commit, and afterwards one changed, one staged and one untracked file, which git has to look into."""
    folder = tmp_path / "project"
    folder.mkdir()
    git(folder, "init", "-q", "-b", "main")
    (folder / "train.py").write_text("one\n")
    (folder / "touched.py").write_text("same\n")
    git(folder, "add", ".")
    git(folder, "commit", "-q", "-m", "one")
    (folder / "train.py").write_text("two\n")
    (folder / "touched.py").touch()
    (folder / "staged.py").write_text("three\n")
    git(folder, "add", "staged.py")
    (folder / "untracked.py").write_text("four\n")
    return folder


@pytest.fixture
def canary(tmp_path: Path) -> Path:
    return tmp_path / "canary"


def document(folder: Path, seconds: float = 10.0) -> dict[str, Any]:
    return read_git_state(folder, seconds=seconds).as_document()


def left_out(state: dict[str, Any]) -> dict[str, str]:
    return {file["path"]: file["reason"] for file in state["left_out"]}


def make_canary_script(canary: Path) -> Path:
    script = canary.with_name("evil.sh")
    script.write_text(f"#!/bin/sh\ntouch {canary}\ncat\n")
    script.chmod(0o755)
    return script


CONFIGS = {
    "fsmonitor": ["core.fsmonitor={evil}"],
    "external diff": ["diff.external={evil}"],
    "diff driver": ["diff.evil.command={evil}"],
    "textconv": ["diff.evil.textconv={evil}"],
    "clean filter": ["filter.evil.clean={evil}", "filter.evil.smudge={evil}"],
    "required filter": ["filter.evil.clean={evil}", "filter.evil.required=true"],
    "process filter": ["filter.evil.process={evil}"],
    "pager": ["core.pager={evil}", "pager.diff={evil}", "pager.config={evil}"],
    "ssh command": ["core.sshCommand={evil}", "remote.origin.url=ssh://host/x"],
    "hooks": ["core.hooksPath={evil_folder}"],
    "alias": ["alias.diff=!{evil}", "alias.rev-parse=!{evil}", "alias.ls-files=!{evil}"],
    "editor and askpass": ["core.editor={evil}", "core.askPass={evil}", "credential.helper=!{evil}"],
    "alternate refs": ["core.alternateRefsCommand={evil}"],
    "gpg": ["gpg.program={evil}", "log.showSignature=true"],
    "another work tree": ["core.worktree=/etc"],
    "worktree config": ["extensions.worktreeConfig=true", "core.repositoryFormatVersion=1"],
}


@pytest.mark.parametrize("name", CONFIGS)
def test_a_hostile_config_executes_nothing(git: Git, repository: Path, canary: Path, name: str) -> None:
    evil = make_canary_script(canary)
    (repository / ".gitattributes").write_text("* filter=evil diff=evil\n")
    git(repository, "add", ".gitattributes")
    hooks = canary.with_name("hooks")
    hooks.mkdir()
    for hook in ("post-index-change", "fsmonitor-watchman", "reference-transaction", "post-checkout"):
        (hooks / hook).write_text(evil.read_text())
        (hooks / hook).chmod(0o755)
        (repository / ".git" / "hooks" / hook).write_text(evil.read_text())
        (repository / ".git" / "hooks" / hook).chmod(0o755)
    (repository / ".git" / "config.worktree").write_text(f"[core]\n\tfsmonitor = {evil}\n")
    canary.unlink(missing_ok=True)
    for line in CONFIGS[name]:
        key, _, value = line.partition("=")
        git(repository, "config", key, value.format(evil=evil, evil_folder=hooks))
    canary.unlink(missing_ok=True)
    state = document(repository)
    assert not canary.exists()
    assert state["state"] == "repository"
    assert "-one\n+two" in state["diff"]
    assert "+four" in state["diff"]
    assert {file["path"] for file in state["changed"]} == {".gitattributes", "train.py", "staged.py", "untracked.py"}


@pytest.mark.parametrize("name", ["fsmonitor", "clean filter", "external diff", "process filter"])
def test_the_canary_sings_for_plain_git(git: Git, repository: Path, canary: Path, name: str) -> None:
    """The attacks above are real: git itself, asked without care, runs them."""
    evil = make_canary_script(canary)
    (repository / ".gitattributes").write_text("* filter=evil diff=evil\n")
    for line in CONFIGS[name]:
        key, _, value = line.partition("=")
        git(repository, "config", key, value.format(evil=evil, evil_folder=""))
    canary.unlink(missing_ok=True)
    subprocess.run(["git", "diff", "HEAD"], cwd=repository, capture_output=True, check=False)
    assert canary.exists()


def test_a_hostile_submodule_executes_nothing(git: Git, repository: Path, canary: Path, tmp_path: Path) -> None:
    evil = make_canary_script(canary)
    outer = tmp_path / "outer"
    outer.mkdir()
    git(outer, "init", "-q")
    git(outer, "-c", "protocol.file.allow=always", "submodule", "add", "-q", str(repository), "inner")
    git(outer, "commit", "-q", "-m", "one")
    git(outer / "inner", "config", "core.fsmonitor", str(evil))
    git(outer, "config", "diff.submodule", "log")
    (outer / "inner" / "train.py").write_text("changed inside\n")
    canary.unlink(missing_ok=True)
    assert document(outer)["state"] == "repository"
    assert document(outer / "inner")["dirty"] is True
    assert not canary.exists()


def test_a_missing_object_of_a_partial_clone_is_not_fetched(git: Git, repository: Path, canary: Path) -> None:
    evil = make_canary_script(canary)
    blob = git(repository, "rev-parse", "HEAD:train.py")
    (repository / ".git" / "objects" / blob[:2] / blob[2:]).unlink()
    for key, value in {
        "core.repositoryFormatVersion": "1",
        "extensions.partialClone": "origin",
        "remote.origin.url": "/nowhere",
        "remote.origin.uploadpack": str(evil),
        "remote.origin.promisor": "true",
    }.items():
        git(repository, "config", key, value)
    state = document(repository)
    assert not canary.exists()
    assert state["state"] == "repository"
    assert left_out(state)["train.py"].startswith("git cannot read it")
    assert "touched.py" not in str(state)
    assert "+four" in state["diff"]
    assert "+three" in state["diff"]


def test_a_git_environment_with_commands_executes_nothing(
    repository: Path, canary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    evil = str(make_canary_script(canary))
    for name in ("GIT_EXTERNAL_DIFF", "GIT_PAGER", "GIT_SSH_COMMAND", "GIT_ASKPASS", "GIT_EDITOR", "GIT_PROXY_COMMAND"):
        monkeypatch.setenv(name, evil)
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", "core.fsmonitor")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", evil)
    monkeypatch.setenv("GIT_CONFIG_PARAMETERS", f"'core.fsmonitor'='{evil}'")
    assert "-one\n+two" in document(repository)["diff"]
    assert not canary.exists()


@pytest.mark.parametrize("part", ["config", "HEAD", "index", "info/exclude"])
def test_a_pipe_in_the_git_directory_hangs_nobody(repository: Path, part: str) -> None:
    (repository / ".git" / part).unlink(missing_ok=True)
    os.mkfifo(repository / ".git" / part)
    state = document(repository)
    assert state["read_seconds"] < 5


def test_a_config_that_includes_a_device_is_listed_without_it(git: Git, repository: Path) -> None:
    git(repository, "config", "include.path", "/dev/zero")
    state = document(repository)
    assert (state["state"], state["read_seconds"] < 5) == ("repository", True)


def test_a_pipe_that_git_itself_opens_is_given_up_at_the_deadline(repository: Path) -> None:
    os.mkfifo(repository / ".git" / "packed-refs")
    state = document(repository, seconds=1.0)
    assert state["read_seconds"] < 4
    assert state["state"] == "error"
    assert "too long" in state["reason"]


def test_links_pipes_and_devices_are_left_out_by_name(git: Git, repository: Path) -> None:
    (repository / "to_passwd").symlink_to("/etc/passwd")
    (repository / "to_zero").symlink_to("/dev/zero")
    (repository / "train.py").unlink()
    os.mkfifo(repository / "train.py")
    os.mkfifo(repository / "pipe")
    (repository / "touched.py").unlink()
    (repository / "touched.py").symlink_to("/etc/shadow")
    state = document(repository)
    found = left_out(state)
    assert {name: found[name] for name in ("to_passwd", "to_zero", "touched.py")} == dict.fromkeys(
        ("to_passwd", "to_zero", "touched.py"), "a link"
    )
    assert found["train.py"] == "not a plain file"
    assert "root:" not in state["diff"]


SECRET_NAMES = [".env", ".env.local", "prod.env", "id_rsa", "deploy.pem", "server.key", ".netrc", ".aws/credentials"]


@pytest.mark.parametrize("name", SECRET_NAMES)
def test_files_that_hold_keys_are_left_out_whether_tracked_or_not(git: Git, repository: Path, name: str) -> None:
    path = repository / "tracked" / name
    path.parent.mkdir(parents=True)
    path.write_text("before\n")
    git(repository, "add", "-f", ".")
    git(repository, "commit", "-q", "-m", "keys")
    path.write_text("CANARY-7f3a\n")
    (repository / name).parent.mkdir(exist_ok=True)
    (repository / name).write_text("CANARY-7f3a\n")
    state = document(repository)
    assert "CANARY-7f3a" not in str(state)
    assert left_out(state) == dict.fromkeys((f"tracked/{name}", name), "its name says that it holds secrets")


def test_a_secret_in_a_folder_that_took_a_files_place_is_left_out(git: Git, repository: Path) -> None:
    (repository / "train.py").unlink()
    (repository / "train.py").mkdir()
    (repository / "train.py" / ".env").write_text("CANARY-7f3a\n")
    git(repository, "add", "-f", "train.py/.env")
    assert "CANARY-7f3a" not in str(document(repository))


def test_binary_and_large_files_are_left_out_with_their_size(git: Git, repository: Path) -> None:
    (repository / "weights.bin").write_bytes(bytes(range(256)) * 10)
    (repository / "data.csv").write_text("1,2,3\n" * 200_000)
    (repository / "latin.txt").write_bytes("größe\n".encode("latin-1"))
    (repository / "touched.py").write_text("x\n" * 600_000)
    (repository / "staged.py").write_bytes(b"\0\1\2")
    state = document(repository)
    assert left_out(state) == {
        "weights.bin": "not text",
        "latin.txt": "not text",
        "data.csv": "larger than 1 MB",
        "touched.py": "larger than 1 MB",
        "staged.py": "not text",
    }
    sizes = {file["path"]: file["size"] for file in state["left_out"]}
    assert (sizes["weights.bin"], sizes["data.csv"]) == (2560, 1_200_000)


def test_a_large_committed_file_that_was_deleted_is_left_out(git: Git, repository: Path) -> None:
    (repository / ".gitattributes").write_text("* diff\n")  # else git's own limit for large files would do
    (repository / "big.txt").write_text("x\n" * 600_000)
    git(repository, "add", ".")
    git(repository, "commit", "-q", "-m", "big")
    (repository / "big.txt").unlink()
    state = document(repository)
    assert left_out(state) == {"big.txt": "larger than 1 MB"}
    assert state["diff"] == ""


def test_the_diff_of_all_files_has_a_limit(repository: Path) -> None:
    for number in range(12):
        (repository / f"log{number}.txt").write_text("0123456789\n" * 60_000)
    state = document(repository)
    assert state["diff_bytes"] <= 4_000_000
    assert state["diff_bytes"] == len(state["diff"].encode())
    assert "no room: the diff is larger than it may be" in left_out(state).values()


def test_a_million_files_that_nobody_ignored_are_cut_off(repository: Path) -> None:
    for number in range(30_000):
        (repository / f"{number}.txt").touch()
    state = document(repository)
    assert state["read_seconds"] < 15
    assert len(state["changed"]) <= 1_000
    assert state["untracked_count"] == 30_001
    assert any("untracked files were not looked at" in note for note in state["change_notes"])


def test_no_time_at_all_is_said(repository: Path) -> None:
    state = document(repository, seconds=0.0)
    assert state["state"] == "error"
    assert "too long" in state["reason"]
