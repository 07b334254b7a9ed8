"""Where a repository lies: its work tree, its git directory, and what kind of checkout it is. Reads names only."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ..errors import CloisterError
from .plain_files import read_plain_file

Checkout = Literal["main", "worktree", "bare"]

POINTER_LIMIT_BYTES = 16_384  # a .git file or HEAD is one line; a path has at most 4,096 bytes


class BrokenRepository(CloisterError, OSError):
    """A folder says that it belongs to a repository which is not there."""

    def __init__(self, pointer: Path, target: str) -> None:
        super().__init__(f"{pointer} points to {target!r}, which is not a git directory. Is it mounted here?")


@dataclass(frozen=True)
class RepositoryFolder:
    """A repository on disk. `top` is the work tree's root, or the repository itself when it is bare."""

    top: Path
    git_directory: Path  # HEAD and index of this checkout
    common_directory: Path  # objects, refs and config, shared by all its worktrees
    checkout: Checkout


def find_repository(folder: Path) -> RepositoryFolder | None:
    """Find the repository that `folder` lies in, as git would, but without asking git.

    git itself would first read the repository's config, which names programs; here `core.worktree` and all else in it
    have no say. Folders of other owners are fine for the same reason (git's safe.directory guards what we never do).

    Raises:
        BrokenRepository: a `.git` file leads nowhere.
    """
    folder = folder.resolve()
    for candidate in (folder, *folder.parents):
        dot_git = candidate / ".git"
        if dot_git.is_file():
            return _linked_checkout(candidate, dot_git)
        if dot_git.is_dir() and _is_git_directory(dot_git):
            return _checkout(candidate, dot_git.resolve())
        if candidate.name != ".git" and _is_git_directory(candidate):
            return RepositoryFolder(candidate, candidate, candidate, "bare")
    return None


def _linked_checkout(top: Path, dot_git: Path) -> RepositoryFolder:
    target = _read_pointer(dot_git).removeprefix("gitdir:").strip()
    git_directory = (top / target).resolve()
    if not target or not _is_git_directory(git_directory):
        raise BrokenRepository(dot_git, target)
    return _checkout(top, git_directory)


def _checkout(top: Path, git_directory: Path) -> RepositoryFolder:
    common = _common_directory(git_directory)
    return RepositoryFolder(top, git_directory, common, "main" if common == git_directory else "worktree")


def _common_directory(git_directory: Path) -> Path:
    pointer = git_directory / "commondir"
    return (git_directory / _read_pointer(pointer)).resolve() if pointer.is_file() else git_directory


def _is_git_directory(folder: Path) -> bool:
    head = folder / "HEAD"
    if not (head.is_file() or head.is_symlink()):
        return False
    common = _common_directory(folder)
    return (common / "objects").is_dir() and (common / "refs").is_dir()


def _read_pointer(path: Path) -> str:
    content = read_plain_file(path, limit_bytes=POINTER_LIMIT_BYTES, follow_links=True).content or b""
    # NUL cannot stand in a path, and pathlib raises for it.
    return content.decode("utf-8", "surrogateescape").replace("\0", "").strip()
