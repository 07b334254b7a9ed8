"""`--enforce-clean`: a run is refused unless a commit holds all of the code that it runs."""

from __future__ import annotations

from pathlib import Path

from ..observer.errors import CloisterError
from ..observer.snapshot import GitState, find_project_root, read_git_state
from ..observer.snapshot.deadline import Deadline
from ..observer.snapshot.git_folder import find_repository
from ..observer.snapshot.git_reader import open_git_reader
from ..observer.snapshot.import_closure import complete_sources
from ..observer.snapshot.sources import imported_local_modules, search_folders

SHOWN_FILES = 10
READ_SECONDS = 20.0


class UncommittedCode(CloisterError, RuntimeError):
    """Code that is to run is in no commit."""

    def __init__(self, why: str, files: list[str] | None = None) -> None:
        files = files or []
        more = f" and {len(files) - SHOWN_FILES} more" if len(files) > SHOWN_FILES else ""
        listed = f" ({', '.join(files[:SHOWN_FILES])}{more})" if files else ""
        super().__init__(
            f"This run was asked for with --enforce-clean, and {why}{listed}. Commit it, or leave the option out: the "
            "differences are recorded with the run either way."
        )


def refuse_uncommitted(main_file: Path | None) -> None:
    """Check the repository of the script, or of the working folder.

    Raises:
        UncommittedCode: there is no repository or no commit, tracked files differ from the commit, or a file of the
            run's code is not in it: untracked or ignored.
    """
    folder = main_file.parent if main_file is not None else Path.cwd()
    state = read_git_state(folder, seconds=READ_SECONDS)
    _refuse_state(state, folder)
    assert state.top is not None
    unknown = _untracked_sources(main_file, Path(state.top))
    if unknown:
        raise UncommittedCode(f"code that it imports is not in git repository {state.top}", unknown)


def _refuse_state(state: GitState, folder: Path) -> None:
    if state.state == "none":
        raise UncommittedCode(f"{folder} is in no git repository")
    if state.state != "repository":
        raise UncommittedCode(f"the git repository of {folder} cannot be read: {state.reason or state.state}")
    if state.commit is None:
        raise UncommittedCode(f"git repository {state.top} has no commit yet")
    changed = [file.path for file in (state.changes.files if state.changes else ()) if file.status != "untracked"]
    if state.changes is None or state.changes.dirty is None:
        notes = " ".join(state.changes.notes if state.changes else ())
        raise UncommittedCode(f"whether {state.top} differs from its commit cannot be told. {notes}".rstrip(". "))
    if state.changes.dirty:
        raise UncommittedCode(f"git repository {state.top} differs from commit {state.commit[:10]}", changed)


def _untracked_sources(main_file: Path | None, top: Path) -> list[str]:
    root = find_project_root(main_file, top)
    if root is None:
        return []
    sources = complete_sources(imported_local_modules(main_file, root), root, search_folders(main_file, root))
    repository = find_repository(root)
    if repository is None:
        return [source.path for source in sources]
    with open_git_reader(repository, Deadline(READ_SECONDS)) as reader:
        names = {source.absolute: source for source in sources if source.absolute.is_relative_to(repository.top)}
        inside = [path.relative_to(repository.top).as_posix() for path in names]
        tracked = set(reader.ask("ls-files", "-z", "--", *inside).records())
    return sorted(name for name in inside if name not in tracked)
