"""Queueing a run: everything that a worker needs to make it is stored, and nothing is run."""

from __future__ import annotations

import logging
import platform
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ..observer.encryption.chosen import chosen_for
from ..observer.encryption.recording_key import recording_key
from ..observer.errors import CloisterError
from ..observer.field_names import decode_field_names
from ..observer.journal_places import journal_places
from ..observer.policy import recording_policy
from ..observer.recorder import Recorder
from ..observer.redaction.marks import holds_mark, marked_paths
from ..observer.redaction.run_redaction import begin_redaction
from ..observer.run_queue import queue_fields, ready_fields
from ..observer.settings import Settings
from ..observer.snapshot import SourceFile, find_project_root
from ..observer.snapshot.git_folder import find_repository
from ..observer.snapshot.sources import read_source
from ..observer.snapshot_recording import SnapshotRecording
from .ranks import find_place
from .run_identity import new_uid
from .run_start import RunPlan, described

if TYPE_CHECKING:
    from .experiment import Experiment

logger = logging.getLogger("cloister")

EntryKind = Literal["script", "call", "plain"]


class CannotQueue(CloisterError, RuntimeError):
    """A run cannot be queued."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"This run cannot be queued: {reason}")


@dataclass(frozen=True)
class QueuedRun:
    """A run that was put into the queue.

    Attributes:
        id: its number; None while the database is away, which does not keep it from being queued.
        missing: what of its code could not be stored, in words.
    """

    uid: str
    id: Any
    name: str
    project: str
    missing: tuple[str, ...]
    is_stored: bool

    def __str__(self) -> str:
        number = "" if self.id is None else f" as run {self.id}"
        kept = "" if self.is_stored else " as soon as the database answers: until then it is kept on this machine"
        missing = "".join(f"\n  {note}" for note in self.missing)
        warning = f"\nA worker will not have all of its code:{missing}" if missing else ""
        return f"Queued {self.name}{number}{kept}. 'cloister worker' runs it.{warning}"


@dataclass(frozen=True)
class Entry:
    """How a worker begins the run.

    Attributes:
        kind: "script" runs the file as it was started, "call" calls an experiment of a module, "plain" records a
            script that knows nothing of Cloister.
        words: what stands behind the script's name.
        module, attribute: where "call" finds the experiment; the module of the script itself is "__main__".
    """

    kind: EntryKind
    words: Sequence[str] = ()
    module: str = "__main__"
    attribute: str = ""


def queue_run(plan: RunPlan, settings: Settings, entry: Entry) -> QueuedRun:
    """Store a run for a worker: sources, config, git, packages, how to begin it. Works while the database is away.

    Raises:
        CannotQueue: there is no script, its file cannot be stored, or the run is to be something that only this
            process could make it.
        UncommittedCode: it was asked for with `enforce_clean`.
    """
    main_file, root = _refuse_impossible(plan)
    if plan.enforce_clean:
        from .clean_code import refuse_uncommitted

        refuse_uncommitted(main_file)
    header = described(plan, settings, new_uid())
    fields = queue_fields(
        entry=_entry_fields(entry, main_file, root),
        priority=plan.priority,
        python=platform.python_version(),
        settings=_asked_settings(plan),
    )
    header["queue"] = fields
    header["meta"] = {**header["meta"], "priority": float(plan.priority), "queue_time": fields["queued_at"]}
    _refuse_without_key(header["project"], settings)
    recorder = Recorder(_refuse_secrets(header, settings), settings)
    snapshot = SnapshotRecording(recorder, main_file, also_unimported=True)
    snapshot.start()
    snapshot.finish()
    recorder.record_fields(ready_fields(snapshot.source_notes))
    recorder.close()
    is_stored = recorder.wait_until_stored(settings.exit_wait)
    if not is_stored:
        recorder.warn_unless_stored()
    number = _number_of(header["uid"], recorder, settings) if is_stored else None
    return QueuedRun(header["uid"], number, header["name"], header["project"], snapshot.source_notes, is_stored)


def _refuse_impossible(plan: RunPlan) -> tuple[Path, Path]:
    main_file = plan.main_file
    if main_file is None:
        raise CannotQueue("a worker needs a script to run, and there is none here. Write the code into a .py file.")
    for name in ("resume", "fork_from", "join", "unobserved"):
        if getattr(plan, name):
            raise CannotQueue(f"{name.replace('_', '-')} needs a run that is made here and now. Leave one of both out.")
    if find_place(plan.rank, plan.world_size).world_size > 1:
        raise CannotQueue("it is one of several ranks. Queue it from a single process, whose worker is started once.")
    repository = find_repository(main_file.parent)
    root = find_project_root(main_file, repository.top if repository is not None else None)
    if root is None:
        raise CannotQueue(f"the folder of {main_file} cannot be read.")
    source = read_source(SourceFile(main_file.name, main_file, is_main=True))
    if source.content is None:
        raise CannotQueue(f"its script {main_file} cannot be stored: {source.reason}.")
    return main_file, root


def _refuse_secrets(header: dict[str, Any], settings: Settings) -> dict[str, Any]:
    """The header, if all that a worker needs of it may be stored.

    Raises:
        CannotQueue: something of the config or the command line is redacted, or the code is not recorded.
    """
    redaction, _ = begin_redaction(settings, journal_places(settings))
    if not redaction.profile.sources:
        raise CannotQueue(
            "the site's policy has no code recorded (profile 'strict'), and a worker could not rebuild it."
        )
    redacted = redaction.header(header)
    secret = [
        *dict.fromkeys(marked_paths(decode_field_names(redacted["config"]))),
        *(["its command line"] if any(map(holds_mark, redacted["queue"]["entry"]["words"])) else []),
    ]
    if secret:
        raise CannotQueue(
            f"{', '.join(secret)} is redacted when it is stored, so a worker would not have it. Have the script read "
            "it from the environment or a file of the worker's machine."
        )
    return header


def _entry_fields(entry: Entry, main_file: Path, root: Path) -> dict[str, Any]:
    root = root.resolve()
    try:
        folder = Path.cwd().resolve()
    except OSError:  # it was removed
        folder = root
    return {
        "kind": entry.kind,
        "file": main_file.relative_to(root).as_posix() if main_file.is_relative_to(root) else main_file.name,
        "folder": folder.relative_to(root).as_posix() if folder.is_relative_to(root) else ".",
        "words": [str(word) for word in entry.words],
        "module": entry.module,
        "attribute": entry.attribute,
        "paths": [path.relative_to(root).as_posix() for path in _own_paths(main_file, root)],
    }


def _refuse_without_key(project: str, settings: Settings) -> None:
    """Raises CannotQueue where something would have to be encrypted that cannot be: it would not be stored at all."""
    if chosen_for(project, recording_policy(journal_places(settings)).encrypt, settings.encrypt):
        try:
            recording_key(project, settings)
        except (CloisterError, OSError) as error:
            raise CannotQueue(f"parts of it are to be encrypted, and a worker would not have them. {error}") from error


def _own_paths(main_file: Path, root: Path) -> list[Path]:
    """Folders of the project that are looked through for imports, beside the script's."""
    from ..observer.snapshot.sources import search_folders

    return [path for path in search_folders(main_file, root) if path != main_file.parent]


def _asked_settings(plan: RunPlan) -> Mapping[str, Any]:
    """What was said on the command line of settings; the others are the worker's own."""
    return {"capture": plan.options.get("--capture"), "beat_interval": plan.options.get("--beat-interval")}


def _number_of(uid: str, recorder: Recorder, settings: Settings) -> Any:
    from ..observer.runs import RunStore

    number = recorder.run_id(timeout_seconds=0.0)
    if number is not None:
        return number
    try:
        with RunStore.connect(settings.uri) as store:
            found = store.database["runs"].find_one({"cloister.uid": uid}, {"_id": 1})
    except Exception as error:
        # Wide on purpose: the run is queued, and only its number is not known.
        logger.debug("The number of queued run %s cannot be looked up: %s", uid, error)
        return None
    return None if found is None else found["_id"]


def entry_of(experiment: Experiment[..., Any], command: str, *, from_command_line: bool) -> Entry:
    """How a worker finds a command of an experiment again.

    Raises:
        CannotQueue: the experiment has no name at the top level of a module.
    """
    if from_command_line:
        return Entry("script", () if command == experiment.main_name else (command,))
    module, attribute = experiment.__module__, experiment.global_name
    if attribute is None:
        raise CannotQueue(
            f"a worker could not find experiment {experiment.name!r} again, which has no name at the top level of "
            f"module {module}. Define it there."
        )
    return Entry("call", module=module, attribute=attribute)


def end_after_queueing(queued: QueuedRun) -> None:
    """A script that was started with --queue has done what it was started for.

    Raises:
        SystemExit: always, with code 0.
    """
    sys.stdout.write(f"{queued}\n")
    sys.stdout.flush()
    raise SystemExit(0)
