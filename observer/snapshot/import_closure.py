"""Files of the project that its code would import: read from the import statements, nothing is executed.

A training that imports a module inside a function has not imported it when it starts. Who wants to run the code
elsewhere, or to know whether all of it is committed, needs that file too.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from pathlib import Path

from .plain_files import read_plain_file
from .sources import LISTED_SOURCES, SourceFile


def complete_sources(files: Sequence[SourceFile], root: Path, folders: Sequence[Path]) -> list[SourceFile]:
    """`files` and the further files under `root` that they, and those in turn, import by name.

    Args:
        folders: where imports are looked for: the script's folder, and what else of `sys.path` lies under `root`.
    """
    found = {file.absolute: file for file in files}
    queue = list(found)
    while queue and len(found) < LISTED_SOURCES:
        for path in _iter_imports(queue.pop(0), folders):
            if path not in found and path.is_relative_to(root):
                found[path] = SourceFile(path.relative_to(root).as_posix(), path)
                queue.append(path)
    return list(found.values())


def _iter_imports(path: Path, folders: Sequence[Path]) -> Iterator[Path]:
    content = read_plain_file(path).content if path.suffix == ".py" else None
    try:
        tree = ast.parse(content or b"")
    except (SyntaxError, ValueError, RecursionError, MemoryError):  # not Python, or nested without end
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield from _resolve(alias.name.split("."), folders)
        elif isinstance(node, ast.ImportFrom):
            base = [*path.parents][node.level - 1 : node.level] if node.level else folders
            words = node.module.split(".") if node.module else []
            yield from _resolve(words, base)
            for alias in node.names:  # each may be a module of the package
                yield from _resolve([*words, alias.name], base)


def _resolve(words: Sequence[str], folders: Sequence[Path]) -> Iterator[Path]:
    """The files that importing `a.b.c` from the first of `folders` that has `a` reads: a, a.b and a.b.c."""
    for folder in folders:
        place = folder
        files = []
        for word in words:
            module, package = place / f"{word}.py", place / word / "__init__.py"
            place = place / word
            files += [file for file in (package, module) if file.is_file()][:1]
        if files or (words and place.is_dir()):
            yield from (file.resolve() for file in files)
            return
