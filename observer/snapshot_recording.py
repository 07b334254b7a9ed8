"""Recording what surrounds a run, in the background of its first moments, and completing it at its end."""

from __future__ import annotations

import logging
import sysconfig
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from .bson_values import to_bson
from .fork_guard import import_beside, no_fork

if TYPE_CHECKING:
    from .recorder import Recorder
    from .snapshot import GitState, Sources

logger = logging.getLogger("cloister")

# What a finished run waits for its own snapshot: git reads for 10 s at most, packages and machine take milliseconds.
FINISH_SECONDS = 12.0
# What the snapshot imports, 180 ms in all: too long for the training to wait, and left in two pieces by a fork that
# comes meanwhile.
IMPORTED_BESIDE = (
    f"{__package__}.snapshot",
    "importlib.metadata",
    "psutil",
    "pynvml",
    "git",
    f"{__package__}.hardware.cgroup_limits",
)


class SnapshotRecording:
    """Records git, sources, packages and machine in a thread, so that the training's first line need not wait."""

    def __init__(self, recorder: Recorder, main_file: Path | None, *, resumed: bool = False) -> None:
        """
        Args:
            resumed: the run was started before, from code that may have been different: what was recorded of that
                stays, and this is recorded beside it.
        """
        self._recorder = recorder
        self._git_field = "cloister.resumed_git" if resumed else "cloister.git"
        self._main_file = main_file
        self._sources: Sources | None = None
        self._thread = threading.Thread(target=self._record, name="cloister-snapshot", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def finish(self) -> None:
        """Wait for the thread and add the modules that were imported since."""
        self._thread.join(FINISH_SECONDS)
        if self._sources is not None and not self._thread.is_alive():
            self._record_sources(self._sources)

    def _record(self) -> None:
        import_beside(*IMPORTED_BESIDE)
        with no_fork():
            sysconfig.get_config_vars()  # imports a module of its own
        # Each part for itself: what goes wrong in one must not cost the others.
        for part in (self._record_code, self._record_machine):
            try:
                part()
            except Exception as error:
                # Wide on purpose: the training outranks its record.
                logger.warning("A part of the run's surroundings is not recorded: %s", error, exc_info=error)

    def _record_code(self) -> None:
        from .snapshot import Sources, find_project_root, read_git_state

        folder = self._main_file.parent if self._main_file is not None else Path.cwd()
        git = read_git_state(folder)
        sources = Sources(self._main_file, find_project_root(self._main_file, Path(git.top) if git.top else None))
        self._record_sources(sources)
        self._sources = sources
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

    def _record_sources(self, sources: Sources) -> None:
        for source in sources.read_new():
            if source.content is not None:
                self._recorder.record_source(source.file.path, source.content)
        if sources.notes:
            self._recorder.record_fields({"cloister.source_notes": to_bson(sources.notes)})

    def _record_machine(self) -> None:
        from .snapshot import read_distributions, read_environment, read_gpus, read_host

        gpus = read_gpus()
        distributions = read_distributions()
        environment = read_environment(distributions, gpus)
        self._recorder.record_fields(
            {
                "cloister.environment": to_bson(environment),
                "experiment.dependencies": to_bson(list(distributions.installed)),
                "host": to_bson(read_host(gpus)),
            }
        )
