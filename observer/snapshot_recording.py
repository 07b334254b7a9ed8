"""Recording what surrounds a run, in the background of its first moments, and completing it at its end."""

from __future__ import annotations

import logging
import math
import sysconfig
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from .bson_values import to_bson
from .fork_guard import import_beside, no_fork

if TYPE_CHECKING:
    from .recorder import Recorder
    from .snapshot import GitState, SourceContent, SourceFile, Sources

logger = logging.getLogger("cloister")

# What a finished run waits for its own snapshot: git reads for 10 s at most, packages and machine take milliseconds.
FINISH_SECONDS = 12.0
# What the snapshot imports, 180 ms in all: too long for the training to wait, and left in two pieces by a fork that
# comes meanwhile. The sources come before the rest of it: they are what may change.
IMPORTED_FIRST = f"{__package__}.snapshot"
IMPORTED_BESIDE = (
    "importlib.metadata",
    "psutil",
    "pynvml",
    "git",
    f"{__package__}.hardware.cgroup_limits",
)


class SnapshotRecording:
    """Records git, sources, packages and machine in a thread, so that the training's first line need not wait."""

    def __init__(
        self,
        recorder: Recorder,
        main_file: Path | None,
        *,
        resumed: bool = False,
        also_unimported: bool = False,
        only_machine: bool = False,
    ) -> None:
        """
        Args:
            resumed: the run was started before, from code that may have been different: what was recorded of that
                stays, and this is recorded beside it.
            also_unimported: whether to record the project's files too that its code would import later.
            only_machine: code and git are recorded already, by who queued the run.
        """
        self._only_machine = only_machine
        self._also_unimported = also_unimported
        self._recorder = recorder
        self._git_field = "cloister.resumed_git" if resumed else "cloister.git"
        self._main_file = main_file
        self._started = time.time()
        self._sources: Sources | None = None
        self._thread = threading.Thread(target=self._record, name="cloister-snapshot", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def finish(self) -> None:
        """Wait for the thread and add the modules that were imported since."""
        self._thread.join(FINISH_SECONDS)
        if self._sources is not None and not self._thread.is_alive():
            self._record_sources(self._sources.read_new(), self._sources.notes)

    @property
    def source_notes(self) -> tuple[str, ...]:
        """Sources that are not recorded, and why."""
        if self._sources is None:
            return ("The sources were not read in time.",)
        return tuple(self._sources.notes)

    def _record(self) -> None:
        import_beside(IMPORTED_FIRST)
        with no_fork():
            sysconfig.get_config_vars()  # imports a module of its own
        parts = (self._record_code, self._import_the_rest, self._record_git, self._record_machine)
        # Each part for itself: what goes wrong in one must not cost the others.
        for part in (self._import_the_rest, self._record_machine) if self._only_machine else parts:
            try:
                part()
            except Exception as error:
                # Wide on purpose: the training outranks its record.
                logger.warning("A part of the run's surroundings is not recorded: %s", error, exc_info=error)

    def _record_code(self) -> None:
        from .snapshot import Sources, find_project_root

        # Not asked of git, which takes its time: the sources are to be what they were at the start.
        sources = Sources(self._main_file, find_project_root(self._main_file, _find_work_tree(self._folder())))
        self._record_sources(sources.read_new(), sources.notes, since=self._started)
        if self._also_unimported and sources.root is not None:
            self._record_sources(sources.read(_unimported(sources.main_file, sources.root)), sources.notes)
        self._sources = sources

    def _import_the_rest(self) -> None:
        import_beside(*IMPORTED_BESIDE)

    def _record_git(self) -> None:
        from .snapshot import read_git_state

        git = read_git_state(self._folder())
        document = git.as_document()
        document.pop("diff", None)  # megabytes: stored as a file of its own
        fields = {self._git_field: to_bson(document)}
        repository = git.as_sacred_repository()
        if repository is not None and self._git_field == "cloister.git":
            fields["experiment.repositories"] = [repository]
        self._recorder.record_fields(fields)
        self._record_diff(git)

    def _record_diff(self, git: GitState) -> None:
        if git.changes is not None and git.changes.diff_pieces:
            diff = "".join(git.changes.diff_pieces).encode("utf-8", "backslashreplace")
            self._recorder.record_attached(f"{self._git_field}.diff_file", "uncommitted.patch", diff, "text/x-diff")

    def _folder(self) -> Path:
        return self._main_file.parent if self._main_file is not None else Path.cwd()

    def _record_sources(self, sources: list[SourceContent], notes: list[str], *, since: float = math.inf) -> None:
        for source in sources:
            if source.content is not None:
                self._recorder.record_source(source.file.path, source.content)
                if _was_changed(source.file.absolute, since):
                    notes.append(
                        f"The source {source.file.path} was changed in the run's first moments: it may not be what ran."
                    )
        if notes:
            self._recorder.record_fields({"cloister.source_notes": to_bson(notes)})

    def _record_machine(self) -> None:
        from .snapshot import read_distributions, read_environment, read_gpus, read_host

        gpus = read_gpus()
        distributions = read_distributions()
        environment = read_environment(distributions, gpus)
        self._recorder.record_fields(
            {
                "cloister.environment": to_bson(environment),
                "experiment.dependencies": to_bson(list(distributions.imported)),  # what Sacred lists
                "host": to_bson(read_host(gpus)),
            }
        )


def _unimported(main_file: Path | None, root: Path) -> list[SourceFile]:
    from .snapshot.import_closure import complete_sources
    from .snapshot.sources import imported_local_modules, search_folders

    return complete_sources(imported_local_modules(main_file, root), root, search_folders(main_file, root))


def _find_work_tree(folder: Path) -> Path | None:
    """The folder, or the nearest one above it, that holds a git repository."""
    try:
        folder = folder.resolve()
        return next((path for path in (folder, *folder.parents) if (path / ".git").exists()), None)
    except OSError:
        return None


def _was_changed(path: Path, since: float) -> bool:
    try:
        return path.stat().st_mtime > since
    except OSError:
        return False
