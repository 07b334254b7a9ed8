"""The state of the git repository that a run was started from: commit, branch, remotes, and everything uncommitted."""

from __future__ import annotations

import re
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from .deadline import Deadline
from .git_changes import LISTED_FILES, Changes, shown_path
from .git_folder import RepositoryFolder, find_repository
from .git_process import GitFailed
from .git_reader import GitReader, open_git_reader
from .remote_urls import without_credentials
from .tracked_files import read_tracked
from .untracked_files import read_untracked

READ_SECONDS = 10.0
LISTED_SUBMODULES = 200

State = Literal["repository", "none", "bare", "error"]
_REMOTE_URL = re.compile(r"remote\.(.+)\.url", re.DOTALL)


@dataclass(frozen=True)
class Remote:
    name: str
    url: str  # without credentials


@dataclass(frozen=True)
class Superproject:
    """The repository that this one is a submodule of."""

    top: str
    commit: str | None  # the superproject's own
    path: str  # where in it the submodule lies
    recorded_commit: str | None  # the submodule's commit that the superproject's index names


@dataclass(frozen=True)
class Submodule:
    path: str
    commit: str  # as the index names it
    checked_out: bool


@dataclass(frozen=True)
class GitState:
    """What git knew when the run started. Without a repository only `state` and perhaps `reason` say something."""

    state: State
    reason: str | None = None  # in words, for "none" and "error"
    top: str | None = None
    checkout: str | None = None  # main, worktree, bare
    commit: str | None = None  # None: no commits yet
    branch: str | None = None  # None: detached
    detached: bool = False
    remotes: tuple[Remote, ...] = ()
    submodules: tuple[Submodule, ...] = ()
    superproject: Superproject | None = None
    changes: Changes | None = None
    notes: tuple[str, ...] = ()
    read_seconds: float = 0.0

    def as_document(self) -> dict[str, Any]:
        """The value of `cloister.git` in a stored run."""
        document: dict[str, Any] = {
            "state": self.state,
            "reason": self.reason,
            "read_seconds": round(self.read_seconds, 3),
            "notes": list(self.notes),
        }
        if self.state in ("none", "error"):
            return document
        document |= {
            "top": self.top,
            "checkout": self.checkout,
            "commit": self.commit,
            "branch": self.branch,
            "detached": self.detached,
            "remote": self._main_remote(),
            "remotes": [asdict(remote) for remote in self.remotes],
            "submodules": [asdict(submodule) for submodule in self.submodules],
            "superproject": asdict(self.superproject) if self.superproject else None,
        }
        return document | _changes_document(self.changes or Changes())

    def as_sacred_repository(self) -> dict[str, Any] | None:
        """The entry of Sacred's `experiment.repositories`, or None where Sacred would write none."""
        if self.commit is None:
            return None
        dirty = bool(self.changes and self.changes.dirty)
        return {"url": self._main_remote(), "commit": self.commit, "dirty": dirty}

    def _main_remote(self) -> str | None:
        by_name = {remote.name: remote.url for remote in self.remotes}
        return by_name.get("origin", next(iter(by_name.values()), None))


def read_git_state(folder: Path, *, seconds: float = READ_SECONDS) -> GitState:
    """Read the repository that `folder` lies in, executing nothing that it names, in about `seconds` at most.

    Never raises: what could not be read is in `state`, `reason` and `notes`.
    """
    started = time.monotonic()
    try:
        state = _read(folder, Deadline(seconds))
    except ImportError as error:
        state = GitState("error", f"GitPython cannot be used: {_first_line(error)}. Is git installed?")
    except Exception as error:
        # Wide on purpose: the training outranks its record, and a repository on disk can be damaged in any way.
        state = GitState("error", f"{type(error).__name__}: {_first_line(error)}")
    return replace(state, read_seconds=time.monotonic() - started)


def _read(folder: Path, deadline: Deadline) -> GitState:
    repository = find_repository(folder)
    if repository is None:
        return GitState("none", f"{folder} is in no git repository.")
    with open_git_reader(repository, deadline) as reader:
        state = _read_head(reader)
        if repository.checkout == "bare":
            return state
        submodules, notes = _read_submodules(reader)
        return replace(
            state,
            changes=_read_changes(reader, state.commit),
            submodules=submodules,
            notes=notes,
            superproject=_read_superproject(repository, deadline),
        )


def _read_head(reader: GitReader) -> GitState:
    repository = reader.repository
    reference = reader.answer("symbolic-ref", "--quiet", "HEAD")
    remotes = ((_REMOTE_URL.fullmatch(name), urls) for name, urls in reader.config.items())
    return GitState(
        "bare" if repository.checkout == "bare" else "repository",
        top=str(repository.top),
        checkout=repository.checkout,
        commit=reader.answer("rev-parse", "--quiet", "--verify", "HEAD"),
        branch=reference.removeprefix("refs/heads/") if reference else None,
        detached=reference is None,
        remotes=tuple(Remote(match[1], without_credentials(urls[0])) for match, urls in remotes if match),
    )


def _read_submodules(reader: GitReader) -> tuple[tuple[Submodule, ...], tuple[str, ...]]:
    # Listing a large index costs; a repository with submodules has this file.
    if not (reader.repository.top / ".gitmodules").is_file():
        return (), ()
    try:
        output = reader.ask("ls-files", "--stage", "-z")
    except GitFailed as error:
        return (), (f"The submodules could not be listed. {error}",)
    found = [
        Submodule(shown_path(path), commit, (reader.repository.top / path / ".git").exists())
        for path, commit in _gitlinks(output.records())
    ]
    notes = (
        [f"{len(found) - LISTED_SUBMODULES} more submodules are not listed."] if len(found) > LISTED_SUBMODULES else []
    )
    return tuple(found[:LISTED_SUBMODULES]), tuple(notes)


def _gitlinks(records: list[str]) -> list[tuple[str, str]]:
    """(path, commit) of the submodules among lines of `git ls-files --stage`."""
    pairs = (record.partition("\t") for record in records if record.startswith("160000 "))
    return [(path, description.split(" ")[1]) for description, _, path in pairs]


def _read_changes(reader: GitReader, commit: str | None) -> Changes:
    """Compare the work tree with `commit` (None: with nothing), untracked files included."""
    changes = Changes()
    try:
        read_tracked(reader, commit or reader.empty_tree, changes)
    except GitFailed as error:
        changes.notes.append(f"The files could not be compared with the commit. {error}")
    try:
        read_untracked(reader, changes)
    except GitFailed as error:
        changes.notes.append(f"The untracked files could not be listed. {error}")
    return changes


def _read_superproject(repository: RepositoryFolder, deadline: Deadline) -> Superproject | None:
    outer = find_repository(repository.top.parent)
    if outer is None or outer.checkout == "bare":
        return None
    path = repository.top.relative_to(outer.top).as_posix()
    with open_git_reader(outer, deadline) as reader:
        links = _gitlinks(reader.ask("ls-files", "--stage", "-z", "--", path).records())
        commits = [commit for link, commit in links if link == path]
        if not commits:
            return None  # a clone that merely lies in another's folder
        commit = reader.answer("rev-parse", "--quiet", "--verify", "HEAD")
        return Superproject(str(outer.top), commit, shown_path(path), commits[0])


def _changes_document(changes: Changes) -> dict[str, Any]:
    return {
        "dirty": changes.dirty,
        "changed": [asdict(file) for file in changes.files[:LISTED_FILES]],
        "changed_count": len(changes.files),
        "untracked_count": changes.untracked_count,
        "diff": "".join(changes.diff_pieces),
        "diff_bytes": changes.diff_bytes,
        "left_out": [
            {"path": file.path, "reason": file.reason, "size": file.size_bytes}
            for file in changes.left_out[:LISTED_FILES]
        ],
        "left_out_count": len(changes.left_out),
        "change_notes": [shown_path(note) for note in changes.notes],
    }


def _first_line(error: BaseException) -> str:
    text = shown_path(str(error)).strip() or type(error).__name__
    return text.splitlines()[0].rstrip(".")[:500]
