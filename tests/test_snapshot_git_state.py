"""What is recorded of ordinary repositories: each kind as what it is, and a diff that rebuilds the work tree."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import bson
import pytest
from cloister.observer.snapshot.git_state import read_git_state

Git = Callable[..., str]


@pytest.fixture
def git(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Git:
    """Runs git as a user of its own would."""
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    for name in list(os.environ):
        if name.startswith(("GIT_", "XDG_")):
            monkeypatch.delenv(name)

    def run(folder: Path, *arguments: str) -> str:
        identity = ["-c", "user.name=Ana", "-c", "user.email=ana@lab", "-c", "protocol.file.allow=always"]
        command = ["git", *identity, *arguments]
        return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout.strip()

    return run


@pytest.fixture
def repository(git: Git, tmp_path: Path) -> Path:
    """One commit with two files on the branch `trunk`."""
    folder = tmp_path / "project"
    folder.mkdir()
    git(folder, "init", "-q", "-b", "trunk")
    (folder / "train.py").write_text("lr = 0.1\nepochs = 5\n")
    (folder / "notes.md").write_text("first\n")
    git(folder, "add", ".")
    git(folder, "commit", "-q", "-m", "one")
    return folder


def document(folder: Path) -> dict[str, Any]:
    return read_git_state(folder).as_document()


def changed(state: dict[str, Any]) -> dict[str, tuple[str, int | None, int | None]]:
    return {file["path"]: (file["status"], file["added"], file["removed"]) for file in state["changed"]}


def left_out(state: dict[str, Any]) -> dict[str, str]:
    return {file["path"]: file["reason"] for file in state["left_out"]}


def tree_of(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file() and ".git" not in path.relative_to(folder).parts)
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def test_a_clean_repository_is_recorded_with_its_commit_and_branch(git: Git, repository: Path) -> None:
    git(repository, "remote", "add", "origin", "https://ana:hunter2@forge.lab/team/digits.git")
    state = document(repository)
    assert (state["state"], state["checkout"], state["reason"]) == ("repository", "main", None)
    assert state["commit"] == git(repository, "rev-parse", "HEAD")
    assert (state["branch"], state["detached"], state["dirty"]) == ("trunk", False, False)
    assert state["remote"] == "https://forge.lab/team/digits.git"
    assert (state["changed"], state["diff"], state["left_out"], state["notes"]) == ([], "", [], [])
    assert state["change_notes"] == []


def test_a_folder_inside_the_work_tree_belongs_to_the_repository(repository: Path) -> None:
    (repository / "deep" / "er").mkdir(parents=True)
    state = document(repository / "deep" / "er")
    assert state["state"] == "repository"
    assert state["top"] == str(repository)


def test_the_diff_rebuilds_the_work_tree_from_the_commit(git: Git, repository: Path, tmp_path: Path) -> None:
    (repository / "train.py").write_text("lr = 0.2\nepochs = 5\nseed = 1\n")
    (repository / "staged.py").write_text("staged\n")
    git(repository, "add", "staged.py")
    (repository / "notes.md").unlink()
    (repository / "sub folder").mkdir()
    (repository / "sub folder" / "a b.txt").write_text("no newline at the end\x0cform feed\u2028sep")
    (repository / 'quote"\ttab.txt').write_text("odd name\r\nsecond\r\n")
    (repository / "größe.txt").write_text("groß\n")
    (repository / "empty.txt").touch()
    (repository / "run.sh").write_text("#!/bin/sh\n")
    (repository / "run.sh").chmod(0o755)
    state = document(repository)

    clone = tmp_path / "clone"
    git(tmp_path, "clone", "-q", str(repository), str(clone))
    (tmp_path / "all.diff").write_text(state["diff"], newline="")
    git(clone, "apply", "--whitespace=nowarn", str(tmp_path / "all.diff"))
    assert tree_of(clone) == tree_of(repository)
    assert os.access(clone / "run.sh", os.X_OK)
    assert state["dirty"] is True
    assert changed(state)["train.py"] == ("modified", 2, 1)
    assert changed(state)["notes.md"] == ("deleted", 0, 1)
    assert changed(state)["staged.py"] == ("added", 1, 0)
    assert changed(state)["sub folder/a b.txt"] == ("untracked", 1, 0)
    assert state["left_out"] == []


def test_untracked_files_alone_do_not_make_a_repository_dirty(repository: Path) -> None:
    (repository / "new.py").write_text("x = 1\n")
    state = document(repository)
    assert state["dirty"] is False
    assert state["untracked_count"] == 1
    assert "+x = 1" in state["diff"]


def test_ignored_files_are_not_recorded(repository: Path, tmp_path: Path) -> None:
    (repository / ".gitignore").write_text("*.log\n")
    (repository / ".git" / "info" / "exclude").write_text("scratch/\n")
    (tmp_path / "home" / ".config" / "git").mkdir(parents=True)
    (tmp_path / "home" / ".config" / "git" / "ignore").write_text("*.swp\n")
    for name in ("a.log", "b.swp", "scratch/c.txt", "kept.txt"):
        (repository / name).parent.mkdir(exist_ok=True)
        (repository / name).write_text("text\n")
    assert set(changed(document(repository))) == {".gitignore", "kept.txt"}


def test_the_users_own_ignore_file_counts(repository: Path, tmp_path: Path) -> None:
    (tmp_path / "home" / ".gitconfig").write_text("[core]\n\texcludesFile = ~/my ignores\n")
    (tmp_path / "home" / "my ignores").write_text("*.tmp\n")
    (repository / "a.tmp").write_text("text\n")
    assert document(repository)["untracked_count"] == 0


def test_no_repository_is_none(tmp_path: Path) -> None:
    state = document(tmp_path)
    assert state["state"] == "none"
    assert str(tmp_path) in state["reason"]


def test_a_folder_that_does_not_exist_is_none(tmp_path: Path) -> None:
    assert document(tmp_path / "gone")["state"] == "none"


def test_a_bare_repository_is_bare(git: Git, repository: Path, tmp_path: Path) -> None:
    git(tmp_path, "clone", "-q", "--bare", str(repository), "bare.git")
    state = document(tmp_path / "bare.git")
    assert (state["state"], state["branch"]) == ("bare", "trunk")
    assert state["commit"] == git(repository, "rev-parse", "HEAD")


def test_a_detached_head_has_a_commit_and_no_branch(git: Git, repository: Path) -> None:
    git(repository, "checkout", "-q", "--detach")
    state = document(repository)
    assert (state["branch"], state["detached"]) == (None, True)
    assert state["commit"] == git(repository, "rev-parse", "HEAD")


def test_a_repository_without_commits_has_a_branch_and_no_commit(git: Git, tmp_path: Path) -> None:
    folder = tmp_path / "fresh"
    folder.mkdir()
    git(folder, "init", "-q", "-b", "main")
    (folder / "staged.py").write_text("a\n")
    git(folder, "add", ".")
    (folder / "new.py").write_text("b\n")
    state = document(folder)
    assert (state["state"], state["commit"], state["branch"]) == ("repository", None, "main")
    assert changed(state) == {"staged.py": ("added", 1, 0), "new.py": ("untracked", 1, 0)}


def test_a_submodule_names_its_superproject_and_the_other_way_round(git: Git, repository: Path, tmp_path: Path) -> None:
    outer = tmp_path / "outer"
    outer.mkdir()
    git(outer, "init", "-q", "-b", "main")
    git(outer, "submodule", "add", "-q", str(repository), "libs/inner")
    git(outer, "commit", "-q", "-m", "with a submodule")
    commit = git(repository, "rev-parse", "HEAD")
    inner = document(outer / "libs" / "inner")
    assert inner["superproject"] == {
        "top": str(outer),
        "commit": git(outer, "rev-parse", "HEAD"),
        "path": "libs/inner",
        "recorded_commit": commit,
    }
    assert (inner["commit"], inner["dirty"]) == (commit, False)
    assert document(outer)["submodules"] == [{"path": "libs/inner", "commit": commit, "checked_out": True}]


def test_a_submodule_at_another_commit_makes_the_superproject_dirty(git: Git, repository: Path, tmp_path: Path) -> None:
    outer = tmp_path / "outer"
    outer.mkdir()
    git(outer, "init", "-q")
    git(outer, "submodule", "add", "-q", str(repository), "inner")
    git(outer, "commit", "-q", "-m", "with a submodule")
    git(outer / "inner", "commit", "-q", "--allow-empty", "-m", "two")
    state = document(outer)
    assert state["dirty"] is True
    assert f"+Subproject commit {git(outer / 'inner', 'rev-parse', 'HEAD')}" in state["diff"]


def test_a_clone_inside_another_repository_is_not_a_submodule(git: Git, repository: Path) -> None:
    git(repository, "clone", "-q", str(repository), "nested")
    assert document(repository / "nested")["superproject"] is None
    assert left_out(document(repository)) == {"nested/": "a repository of its own"}


def test_a_worktree_has_a_head_of_its_own(git: Git, repository: Path, tmp_path: Path) -> None:
    git(repository, "worktree", "add", "-q", "-b", "side", str(tmp_path / "side"))
    (tmp_path / "side" / "train.py").write_text("lr = 9\n")
    state = document(tmp_path / "side")
    assert (state["checkout"], state["branch"], state["dirty"]) == ("worktree", "side", True)
    assert document(repository)["dirty"] is False


def test_a_git_file_that_leads_nowhere_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / ".git").write_text("gitdir: /gone/modules/x\n")
    state = document(tmp_path)
    assert state["state"] == "error"
    assert "/gone/modules/x" in state["reason"]


@pytest.mark.parametrize("part", ["HEAD", "index", "config", "objects"])
def test_a_damaged_repository_never_raises(repository: Path, part: str) -> None:
    target = repository / ".git" / part
    if target.is_dir():
        for blob in target.rglob("*"):
            if blob.is_file():
                blob.chmod(0o600)
                blob.write_bytes(b"damage")
    else:
        target.write_bytes(b"\0damage\xff")
    (repository / "train.py").write_text("changed\n")
    state = document(repository)
    assert state["state"] in ("repository", "error")
    assert state["reason"] or state["notes"] or state["change_notes"] or state["changed"]


def test_a_repository_of_another_owner_is_read(git: Git, repository: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give a folder away")
    for path in [repository, *repository.rglob("*")]:
        os.lchown(path, 12345, 12345)
    assert document(repository)["dirty"] is False


def test_line_ends_that_git_converts_do_not_count_as_changes(git: Git, repository: Path) -> None:
    git(repository, "config", "core.autocrlf", "true")
    (repository / "train.py").write_bytes(b"lr = 0.1\r\nepochs = 5\r\n")
    assert document(repository)["dirty"] is False


def test_a_touched_file_of_git_lfs_is_no_change_and_an_edited_one_is(git: Git, repository: Path) -> None:
    for name in ("same.bin", "edited.bin"):
        digest = hashlib.sha256(b"weights\0").hexdigest()
        pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{digest}\nsize 8\n"
        (repository / name).write_text(pointer)
    (repository / ".git" / "lfs").mkdir()
    git(repository, "add", ".")
    git(repository, "commit", "-q", "-m", "pointers, as LFS' filter writes them")
    (repository / "same.bin").write_bytes(b"weights\0")
    (repository / "edited.bin").write_bytes(b"weight!\0")
    state = document(repository)
    assert changed(state) == {"edited.bin": ("modified", None, None)}
    assert left_out(state) == {"edited.bin": "not text"}


def test_names_and_texts_that_are_not_utf8_can_be_stored(git: Git, repository: Path) -> None:
    (repository / "train.py").write_bytes("größe = 1\n".encode("latin-1"))
    (repository / os.fsdecode(b"odd \xff\n name.txt")).write_text("text\n")
    state = document(repository)
    assert bson.decode(bson.encode(state)) == state
    assert changed(state)["odd \ufffd\n name.txt"] == ("untracked", 1, 0)
    assert "+gr\ufffd\ufffde = 1" in state["diff"]
    assert any("not UTF-8" in note for note in state["change_notes"])


def test_a_machine_without_room_for_temporary_files_says_so(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
    state = document(repository)
    assert state["state"] == "error"
    assert str(tmp_path / "gone") in state["reason"]


def test_a_sha256_repository_is_read(git: Git, tmp_path: Path) -> None:
    folder = tmp_path / "new format"
    folder.mkdir()
    git(folder, "init", "-q", "--object-format=sha256")
    (folder / "a.txt").write_text("a\n")
    git(folder, "add", ".")
    assert changed(document(folder)) == {"a.txt": ("added", 1, 0)}
    git(folder, "commit", "-q", "-m", "one")
    assert document(folder)["commit"] == git(folder, "rev-parse", "HEAD")


def test_a_merge_conflict_is_recorded(git: Git, repository: Path) -> None:
    git(repository, "checkout", "-q", "-b", "other")
    (repository / "train.py").write_text("theirs\n")
    git(repository, "commit", "-q", "-am", "theirs")
    git(repository, "checkout", "-q", "trunk")
    (repository / "train.py").write_text("ours\n")
    git(repository, "commit", "-q", "-am", "ours")
    with pytest.raises(subprocess.CalledProcessError):
        git(repository, "merge", "other")
    state = document(repository)
    assert state["dirty"] is True
    assert "train.py" in changed(state)


def test_the_environment_of_a_git_hook_does_not_lead_elsewhere(
    git: Git, repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_COMMON_DIR"):
        monkeypatch.setenv(name, str(tmp_path / "elsewhere"))
    monkeypatch.setenv("GIT_TRACE", str(tmp_path / "trace"))
    monkeypatch.setenv("GIT_PREFIX", "sub/")
    monkeypatch.setenv("GIT_ATTR_SOURCE", "nonsense")
    state = document(repository)
    assert (state["state"], state["branch"], state["dirty"], state["change_notes"]) == (
        "repository",
        "trunk",
        False,
        [],
    )
    assert not (tmp_path / "trace").exists()


def test_reading_writes_nothing_in_the_repository(git: Git, repository: Path) -> None:
    (repository / "train.py").touch()  # the index' times are now stale, which makes git want to refresh it
    before = {path: path.stat().st_mtime_ns for path in (repository / ".git").rglob("*")}
    document(repository)
    assert {path: path.stat().st_mtime_ns for path in (repository / ".git").rglob("*")} == before


def test_a_machine_without_git_says_so(tmp_path: Path, repository: Path) -> None:
    script = "import sys, pathlib; from cloister.observer.snapshot import read_git_state; "
    script += "print(read_git_state(pathlib.Path(sys.argv[1])).as_document())"
    environment = {**os.environ, "PATH": str(tmp_path)}
    environment.pop("GIT_PYTHON_REFRESH", None)
    done = subprocess.run(
        [sys.executable, "-c", script, str(repository)], env=environment, capture_output=True, text=True, check=True
    )
    assert "'state': 'error'" in done.stdout
    assert "Is git installed?" in done.stdout


def test_sacred_gets_what_it_stores_of_a_repository(git: Git, repository: Path) -> None:
    git(repository, "remote", "add", "origin", "git@forge.lab:team/digits.git")
    (repository / "train.py").write_text("changed\n")
    assert read_git_state(repository).as_sacred_repository() == {
        "url": "git@forge.lab:team/digits.git",
        "commit": git(repository, "rev-parse", "HEAD"),
        "dirty": True,
    }
