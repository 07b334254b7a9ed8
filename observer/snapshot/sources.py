"""The code of a run: the main file and every imported module that is the project's own, not an installed one's."""

from __future__ import annotations

import hashlib
import os
import site
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType

from .plain_files import read_plain_file
from .secret_files import holds_secrets

OWN_PACKAGE = __name__.partition(".")[0]
PACKAGE_FOLDERS = frozenset({"site-packages", "dist-packages"})
LISTED_SOURCES = 2_000  # a project that imports more modules of its own has something generated among them
SOURCES_LIMIT_BYTES = 32_000_000


@dataclass(frozen=True)
class SourceFile:
    """A file of the run's code. `path` is relative to the project's root, with slashes, as Sacred stores it."""

    path: str
    absolute: Path
    is_main: bool = False


@dataclass(frozen=True)
class SourceContent:
    """A source as it was when it was read; without content, `reason` says why."""

    file: SourceFile
    content: bytes | None
    sha256: str | None
    size_bytes: int | None
    reason: str | None = None


class Sources:
    """The sources of one run, gathered in steps: each call of `read_new` gives what the earlier ones had not.

    Call it when the run starts and again when it ends: modules that were imported in between are then added. A file is
    read once, as near to its import as can be: what it says later is not what ran. Not thread-safe; other threads may
    import meanwhile.
    """

    def __init__(self, main_file: Path | None, root: Path | None) -> None:
        self.main_file = main_file
        self.root = root
        self.notes: list[str] = []
        self._seen: set[Path] = set()
        self._left_bytes = SOURCES_LIMIT_BYTES

    def read_new(self) -> list[SourceContent]:
        """Read the sources that are new since the last call, main file first. Never raises for what is on disk."""
        return [] if self.root is None else self.read(imported_local_modules(self.main_file, self.root))

    def read(self, files: Iterable[SourceFile]) -> list[SourceContent]:
        """Read those of `files` that were not read before. Never raises for what is on disk."""
        contents: list[SourceContent] = []
        for file in files:
            if file.absolute in self._seen:
                continue
            if len(self._seen) >= LISTED_SOURCES:
                self.notes.append(
                    f"More than {LISTED_SOURCES:,} sources: {file.path} and what follows are not recorded."
                )
                break
            self._seen.add(file.absolute)
            contents.append(self._read_within_limit(file))
        return contents

    def _read_within_limit(self, file: SourceFile) -> SourceContent:
        source = read_source(file)
        if source.content is not None and len(source.content) > self._left_bytes:
            reason = f"the sources together are larger than {SOURCES_LIMIT_BYTES / 1e6:g} MB"
            source = SourceContent(file, None, None, source.size_bytes, reason)
        self._left_bytes -= len(source.content or b"")
        if source.reason:
            self.notes.append(f"The source {file.path} is not recorded: {source.reason}.")
        return source


def find_main_file() -> Path | None:
    """The script or notebook that is running; None in a bare interpreter and under `python -c`."""
    main = sys.modules.get("__main__")
    names = _names(main)
    # VS Code and Jupyter run a notebook's cells in a __main__ without a file; these are where they say its name.
    for candidate in (names.get("__file__"), names.get("__vsc_ipynb_file__"), os.environ.get("JPY_SESSION_NAME")):
        if (path := _as_file(candidate)) is not None:
            return path
    return None


def find_project_root(main_file: Path | None, git_top: Path | None) -> Path | None:
    """What counts as the project: the repository's work tree, or the script's folder, or where a notebook works.

    A script outside the repository that we happen to stand in has a project of its own.
    """
    if main_file is None:
        return git_top or _working_folder()
    if git_top is not None and main_file.is_relative_to(git_top.resolve()):
        return git_top.resolve()
    return main_file.parent


def imported_local_modules(main_file: Path | None, root: Path) -> list[SourceFile]:
    """The main file and the `.py` files under `root` that are imported now, main file first, the others by path.

    Modules of the standard library, of installed packages and of Cloister itself do not count, nor what has no file.
    """
    root = root.resolve()
    main = main_file.resolve() if main_file is not None else None
    files = {path for path in _iter_module_files(root) if _is_local(path, root)}
    files.discard(main) if main is not None else None
    found = [SourceFile(path.relative_to(root).as_posix(), path) for path in files]
    first = [SourceFile(_relative(main, root), main, is_main=True)] if main is not None else []
    return first + sorted(found, key=lambda file: file.path)


def search_folders(main_file: Path | None, root: Path) -> list[Path]:
    """Where the project's own modules are imported from: the script's folder, then what `sys.path` has under `root`."""
    first = [main_file.parent] if main_file is not None else []
    others = (Path(entry or ".").resolve() for entry in sys.path.copy() if isinstance(entry, str))
    return list(dict.fromkeys([*first, *(path for path in others if _is_local(path, root))]))


def read_source(file: SourceFile) -> SourceContent:
    """Read a source of at most 1 MB, or say why not."""
    if holds_secrets(file.path):
        return SourceContent(file, None, None, None, "its name says that it holds secrets")
    plain = read_plain_file(file.absolute)
    if plain.content is None:
        return SourceContent(file, None, None, plain.size_bytes, plain.reason)
    return SourceContent(file, plain.content, hashlib.sha256(plain.content).hexdigest(), len(plain.content))


def _iter_module_files(root: Path) -> Iterator[Path]:
    local_folders: dict[str, bool] = {}  # asking the disk about every module of torch would take long
    # A copy, made in one step of the interpreter: other threads import while we look.
    for name, module in sys.modules.copy().items():
        file = _names(module).get("__file__")
        if type(file) is not str or not file.endswith(".py") or _is_our_own(name):
            continue
        folder = os.path.dirname(file)  # noqa: PTH120 - a Path for each module costs more than all the rest
        if folder not in local_folders:
            local_folders[folder] = _is_local_folder(folder, root)
        if local_folders[folder] and (path := _as_file(file)) is not None:
            yield path


def _is_our_own(name: object) -> bool:
    return isinstance(name, str) and name.partition(".")[0] == OWN_PACKAGE


def _is_local_folder(folder: str, root: Path) -> bool:
    try:
        return Path(folder).resolve().is_relative_to(root)
    except (OSError, ValueError, RuntimeError):
        return False


def _names(module: object) -> dict[str, object]:
    """A module's names, read around its own attribute access: a lazy module would import itself, others may raise."""
    if not issubclass(type(module), ModuleType):
        return {}
    names = ModuleType.__getattribute__(module, "__dict__")
    return names if isinstance(names, dict) else {}


def _as_file(value: object) -> Path | None:
    if type(value) is not str or not value:
        return None
    try:
        path = Path(value).resolve()
        return path if path.is_file() else None
    except (OSError, ValueError, RuntimeError):  # a NUL, a loop of links, the working folder is gone
        return None


def _is_local(path: Path, root: Path) -> bool:
    if not path.is_relative_to(root) or PACKAGE_FOLDERS.intersection(path.relative_to(root).parts):
        return False
    return not any(path.is_relative_to(folder) and not root.is_relative_to(folder) for folder in _installed_folders())


@cache
def _installed_folders() -> tuple[Path, ...]:
    """Where the standard library and installed packages lie. Not sys.prefix: a project may lie below /usr."""
    names = {sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    names |= {*site.getsitepackages(), site.getusersitepackages(), str(Path(os.__file__).parent)}
    return tuple(Path(name).resolve() for name in names if name)


def _relative(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else path.name


def _working_folder() -> Path | None:
    try:
        return Path.cwd()
    except OSError:
        return None  # it was removed
