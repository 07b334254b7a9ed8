"""Files by their paths as a tree of folders; a folder that holds nothing but a folder stands in one line with it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

DEEPEST = 24  # what lies deeper stands in the last folder under the rest of its path
OPEN_UP_TO_FILES = 60

File = TypeVar("File")


@dataclass
class Folder(Generic[File]):
    """A folder.

    Attributes:
        name: its name, or those of several folders, one in the other, that hold nothing else.
        path: from the outermost folder on.
        count: how many files it holds at any depth.
        is_open: it is small, or holds the file that is shown.
    """

    name: str
    path: str
    folders: list[Folder[File]] = field(default_factory=list)
    files: list[File] = field(default_factory=list)
    count: int = 0
    is_open: bool = True


def build_file_tree(files: Iterable[tuple[str, File]], opened: str | None = None) -> Folder[File]:
    """The outermost folder of files given with their paths, in their order; folders come before files.

    Args:
        opened: the path of the file that is shown: its folders are open however large they are.
    """
    top: Folder[File] = Folder("", "")
    known: dict[str, Folder[File]] = {"": top}
    for path, file in files:
        parts = [part for part in path.split("/")[:-1] if part][:DEEPEST]
        folder = top
        for depth, part in enumerate(parts):
            inner_path = "/".join(parts[: depth + 1])
            inner = known.get(inner_path)
            if inner is None:
                inner = known[inner_path] = Folder(part, inner_path)
                folder.folders.append(inner)
            folder = inner
        folder.files.append(file)
    _count(top)
    for folder in known.values():
        folder.is_open = top.count <= OPEN_UP_TO_FILES or (opened is not None and opened.startswith(f"{folder.path}/"))
    top.folders = [_joined(folder) for folder in top.folders]
    return top


def _count(folder: Folder[File]) -> int:
    folder.count = len(folder.files) + sum(_count(inner) for inner in folder.folders)
    return folder.count


def _joined(folder: Folder[File]) -> Folder[File]:
    while not folder.files and len(folder.folders) == 1:
        [only] = folder.folders
        folder = Folder(f"{folder.name}/{only.name}", only.path, only.folders, only.files, only.count, only.is_open)
    folder.folders = [_joined(inner) for inner in folder.folders]
    return folder
