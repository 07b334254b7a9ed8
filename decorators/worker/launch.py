"""The process in which a queued run is made: `python -m cloister.decorators.worker.launch FOLDER`, by a worker."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from ...observer.errors import CloisterError
from ..queued_job import QueuedJob, is_pending, set_job
from .job_file import CODE_FOLDER, JobEntry, SacredJob, read_job

if TYPE_CHECKING:
    from ..experiment import Experiment

MODULE_NAME = "__cloister_job__"  # of a script that is not to run what it runs as __main__


class NotBegun(CloisterError, RuntimeError):
    """The script has ended without starting the run that was queued from it."""

    def __init__(self, job: QueuedJob) -> None:
        super().__init__(
            f"The script ended without starting its run of {job.experiment!r} (command {job.command!r}). It starts it "
            "only under conditions that do not hold here: a file, a variable of the environment, an argument."
        )


class NoExperiment(CloisterError, LookupError):
    """What was queued is not where it was."""

    def __init__(self, entry: JobEntry) -> None:
        place = entry.file if entry.module == "__main__" else f"Module {entry.module}"
        super().__init__(
            f"{place} has no experiment {entry.attribute!r} at its top level, as it had when the run was queued. Queue "
            "the run again."
        )


def main(folder: Path) -> None:
    """Make the run of the job in `folder`."""
    job, entry = read_job(folder)
    code = (folder / CODE_FOLDER).resolve()
    script = code / entry.file
    os.chdir(code / entry.folder)
    sys.argv = [str(script), *entry.words]
    # As `python script.py` has it; the worker's own folder, which `-m` has put first, is no place for imports.
    sys.path[0:1] = [str(script.parent), *(str(code / path) for path in entry.paths)]
    if isinstance(job, SacredJob):
        from .sacred_run import make_sacred_run

        make_sacred_run(job, _load(script))
        return
    set_job(job)
    _begin(job, entry, script)
    if is_pending():
        raise NotBegun(job)


def _begin(job: QueuedJob, entry: JobEntry, script: Path) -> None:
    from ..run_command import record_script, run_script

    if entry.kind == "plain":
        record_script(script, entry.words, experiment=job.experiment)
    elif entry.kind == "call":
        experiment = _find(entry, script)
        experiment.run(job.command)
    else:
        run_script(script)


def _find(entry: JobEntry, script: Path) -> Experiment[..., Any]:
    from ..experiment import Experiment  # a plain script does without

    module = _load(script) if entry.module == "__main__" else importlib.import_module(entry.module)
    found = getattr(module, entry.attribute, None)
    if not isinstance(found, Experiment):  # else any module's attribute that has a `run` could be called
        raise NoExperiment(entry)
    return found


def _load(script: Path) -> ModuleType:
    """The script as a module: what stands under `if __name__ == "__main__":` is not executed."""
    spec = importlib.util.spec_from_file_location(MODULE_NAME, script)
    if spec is None or spec.loader is None:
        raise ImportError(f"{script.name} cannot be imported: its name must end with .py.", path=str(script))
    module = importlib.util.module_from_spec(spec)
    sys.modules[MODULE_NAME] = module  # what is pickled for other processes is looked for there
    spec.loader.exec_module(module)
    return module


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]))
    except CloisterError as error:
        sys.stderr.write(f"{error}\n")
        raise SystemExit(1) from None
