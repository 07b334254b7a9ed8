"""`print_dependencies`: what a script runs with: its code with digests, the packages that it imports, the git state."""

from __future__ import annotations

import ast
import importlib.metadata
import importlib.util
import platform
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ..observer.amounts import count_of, size_of
from ..observer.snapshot import GitState, SourceContent, Sources, find_project_root, read_git_state
from ..observer.snapshot.git_folder import find_repository
from ..observer.snapshot.import_closure import complete_sources
from ..observer.snapshot.sources import OWN_PACKAGE, imported_local_modules, search_folders

SHOWN_DIGITS = 16
SHOWN_CHANGES = 20
NO_VERSION = "there, of no installed package"


@dataclass(frozen=True)
class Dependencies:
    """What was found.

    Attributes:
        packages: distributions whose modules the code imports by name: "numpy" -> "2.4.6"; None for what is not
            installed.
    """

    main_file: Path | None
    root: Path | None
    sources: tuple[SourceContent, ...]
    packages: dict[str, str | None]
    git: GitState


def print_dependencies(main_file: Path | None, console: Console | None = None) -> None:
    """Print what a script runs with, as it would be recorded now. Executes nothing of it."""
    console = console or Console(highlight=False)
    found = find_dependencies(main_file)
    console.print(f"[bold]Python[/] {platform.python_version()} ({escape(sys.executable)})")
    _print_packages(console, found)
    _print_sources(console, found)
    _print_git(console, found.git)


def find_dependencies(main_file: Path | None) -> Dependencies:
    """The code of a script, what it imports, and its git state."""
    folder = main_file.parent if main_file is not None else Path.cwd()
    try:
        repository = find_repository(folder)
    except OSError:
        repository = None
    root = find_project_root(main_file, repository.top if repository is not None else None)
    contents: list[SourceContent] = []
    if root is not None:
        files = complete_sources(imported_local_modules(main_file, root), root, search_folders(main_file, root))
        contents = Sources(main_file, root).read(files)
    return Dependencies(main_file, root, tuple(contents), _packages(contents), read_git_state(folder))


def _packages(sources: Iterable[SourceContent]) -> dict[str, str | None]:
    names = {name for source in sources for name in _imported_names(source.content or b"")}
    own = {Path(source.file.path).parts[0].removesuffix(".py") for source in sources}
    own |= {source.file.absolute.stem for source in sources} | {OWN_PACKAGE} | set(sys.stdlib_module_names)
    distributions = importlib.metadata.packages_distributions()
    found: dict[str, str | None] = {}
    for name in sorted(names - own):
        for distribution in distributions.get(name) or ():
            found[distribution] = importlib.metadata.version(distribution)
        if name not in distributions:
            found[name] = NO_VERSION if _is_importable(name) else None
    return found


def _is_importable(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None  # of a top-level name: imports nothing
    except (ImportError, ValueError):
        return False


def _imported_names(content: bytes) -> Iterable[str]:
    try:
        tree = ast.parse(content)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            yield node.module.partition(".")[0]


def _print_packages(console: Console, found: Dependencies) -> None:
    table = Table()
    table.add_column("Package")
    table.add_column("Version")
    for name, version in found.packages.items():
        table.add_row(escape(name), "[red]not installed[/]" if version is None else escape(version))
    if found.packages:
        console.print("[bold]Packages[/] that the code imports")
        console.print(table)
    else:
        console.print("The code imports no installed package.")


def _print_sources(console: Console, found: Dependencies) -> None:
    changed = {file.path: file.status for file in found.git.changes.files} if found.git.changes else {}
    console.print(f"[bold]Code[/] in {escape(str(found.root))}", soft_wrap=True)
    table = Table()
    for column in ("File", "Size", "SHA-256", "git"):
        table.add_column(column, justify="right" if column == "Size" else "left")
    for source in found.sources:
        size = "" if source.size_bytes is None else size_of(source.size_bytes)
        digest = source.sha256[:SHOWN_DIGITS] if source.sha256 else f"[yellow]{escape(source.reason or '')}[/]"
        status = changed.get(source.file.path, "")
        table.add_row(escape(source.file.path), size, digest, f"[yellow]{escape(status)}[/]" if status else "")
    console.print(table)


def _print_git(console: Console, git: GitState) -> None:
    if git.state != "repository":
        console.print(f"[bold]git[/] {escape(git.reason or git.state)}", soft_wrap=True)
        return
    where = git.branch or "no branch"
    console.print(
        f"[bold]git[/] {escape(str(git.top))}: {git.commit or 'no commit yet'} ({escape(where)})", soft_wrap=True
    )
    files = git.changes.files if git.changes is not None else []
    if not files:
        console.print("  nothing differs from the commit")
        return
    console.print(f"  [yellow]{count_of(len(files), 'file')} not as in the commit:[/]")
    for file in files[:SHOWN_CHANGES]:
        console.print(f"    {escape(file.status)} {escape(file.path)}", soft_wrap=True)
    if len(files) > SHOWN_CHANGES:
        console.print(f"    and {len(files) - SHOWN_CHANGES} more")
