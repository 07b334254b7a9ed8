"""Starting a run: from what a script gave to an open journal."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from ..observer.account import host_name, login_name
from ..observer.bson_values import NAME_LIMIT, to_bson, to_text
from ..observer.errors import CloisterError
from ..observer.field_names import decode_field_names
from ..observer.recorder import Recorder
from ..observer.redaction.marks import without_marked
from ..observer.session_names import session_time
from ..observer.settings import CaptureMode, RanksMode, Settings, load_settings
from .console_filter import ConsoleFilter
from .interruptions import check_status
from .queued_job import take_job
from .run import OnBadValue, Run
from .run_identity import Identity, new_uid, read_fork, settle_identity

DEFAULT_PROJECT = "default"
PLAIN_DEPTH = 10  # one that contains itself has no end
_PLAIN = (bool, int, float, str)


@dataclass(frozen=True)
class RunPlan:
    """What a run is to be: as `start_run` and `@experiment` describe it, before anything is recorded.

    Attributes:
        config_beside: called for a run that goes on, with the config that it keeps: gives the config of this process,
            whose defaults are then those values.
        comment: why this run is made; kept as `meta.comment`, and the notes where there are none.
        priority: of a run that is queued.
        queue: the run is stored for a worker, not made here.
        unobserved: nothing is recorded.
        enforce_clean: code that no commit holds is refused.
        interruptions: statuses of a run that ends by these exceptions.
        console_filter: makes of each piece of output what is recorded of it.
        meta: further entries of Sacred's `meta`: `named_configs`, `config_updates`.
        config_changes: what the config has other than its defaults, and who said so.
        options: what the command line said of the run, by its long flags, for `meta.options`.
    """

    experiment: str
    command: str
    config: dict[str, Any]
    defaults: dict[str, Any]
    project: str | None = None
    name: str | None = None
    tags: Sequence[str] = ()
    notes: str = ""
    group: str | None = None
    job_type: str | None = None
    main_file: Path | None = None
    resume: Any = None
    config_beside: Callable[[dict[str, Any]], dict[str, Any]] | None = None
    fork_from: Any = None
    join: str | None = None
    rank: int | None = None
    world_size: int | None = None
    comment: str = ""
    priority: float = 0.0
    queue: bool = False
    unobserved: bool = False
    enforce_clean: bool = False
    interruptions: Mapping[type[BaseException], str] = field(default_factory=dict)
    console_filter: ConsoleFilter | None = None
    meta: Mapping[str, Any] = field(default_factory=dict)
    config_changes: Sequence[Mapping[str, Any]] = ()
    options: Mapping[str, Any] = field(default_factory=dict)


def start_run(
    *,
    project: str | None = None,
    config: Any = None,
    name: str | None = None,
    experiment: str | None = None,
    tags: Sequence[str] = (),
    notes: str = "",
    group: str | None = None,
    job_type: str | None = None,
    uri: str | None = None,
    capture: CaptureMode | None = None,
    hardware: bool = True,
    on_bad_value: OnBadValue = "warn",
    resume: int | str | None = None,
    fork_from: Any = None,
    join: str | None = None,
    rank: int | None = None,
    world_size: int | None = None,
    ranks: RanksMode | None = None,
    comment: str = "",
    unobserved: bool = False,
    enforce_clean: bool = False,
    beat_interval: float | None = None,
    visibility: str | None = None,
    shared_with: Sequence[str] | None = None,
    interruptions: Mapping[type[BaseException], str] | None = None,
    console_filter: ConsoleFilter | None = None,
) -> Run:
    """Start a run that needs no function: `with cloister.start_run(project="digits", config={"lr": 0.1}) as run:`.

    It is recorded from here on and ends with the `with` block, else with `run.finish()` or the script. MongoDB is not
    waited for: without it the run is kept on disk and shipped later.

    Args:
        project: where the run belongs; else the setting `project`, else "default".
        config: a mapping, dataclass, pydantic model, argparse namespace, or the path of a YAML, JSON or TOML file.
        name: how lists show it; made from the experiment's name when left out.
        experiment: the experiment's name; the script's file name when left out.
        tags, notes, group, job_type: to find it again.
        uri: a MongoDB URI; else the setting `uri`, else the embedded database.
        capture: how stdout and stderr are recorded: "sys", "fd" or "none".
        hardware: whether CPU, memory, disk, network and GPUs are sampled.
        on_bad_value: "warn" refuses a value with a warning, "raise" raises.
        resume: the number, uid or name of a run to go on with: same id, steps counted on, its config kept. "auto" goes
            on with the run that `join` or CLOISTER_RUN names if there is one, else starts it.
        fork_from: `(run, step)`: start with the history of another run up to that step.
        join: names the run that several processes share: its uid, or any text that they agree on; else CLOISTER_RUN.
        rank, world_size: which of those processes this is; else as torchrun, MPI or SLURM say.
        ranks: how metrics of other ranks than 0 are named: "tag" makes them "rank/1/loss", "merge" leaves "loss".
        comment: why this run is made: kept where Sacred's readers look for it, and at the head of the notes.
        unobserved: nothing is recorded; all else works.
        enforce_clean: code that no commit of its git repository holds is refused.
        beat_interval: seconds between two signs of life, 1 to 20; else the setting, else 5.
        visibility: who sees the run: "private", "project" or "site"; else the setting, else as its project has it.
        shared_with: who sees it besides: `["ana", "group:vision"]`; else the setting.
        interruptions: statuses of a run that ends by these exceptions, such as `{MemoryError: "OUT_OF_MEMORY"}`.
        console_filter: called with each piece of output as text, gives the text to record; one that fails is dropped.

    Raises:
        UncommittedCode: `enforce_clean` finds code that no commit holds.
        BadStatus: `interruptions` has a status that cannot be one.
        RunIsAlive, RunHasEnded, NoRunToResume, ResumeNeedsDatabase: the run that `resume` or `join` names is being
            recorded by another process, is over, does not exist, or cannot be looked up. See docs/processes.md.
        BadFork, BadRank, BadResume: `fork_from`, `rank` or `resume` make no sense.
        ConfigError: `config` cannot be read.
        BadSetting: an argument, CLOISTER_* variable or cloister.toml holds what Cloister cannot use.
    """
    plain = _plain_config(config)
    main_file = main_file_of_process()
    label = experiment or (main_file.stem if main_file is not None else "notebook")
    plan = RunPlan(
        experiment=label,
        command=label,
        config=plain,
        defaults=plain,
        project=project,
        name=name,
        tags=tags,
        notes=notes,
        group=group,
        job_type=job_type,
        main_file=main_file,
        resume=resume,
        fork_from=fork_from,
        join=join,
        rank=rank,
        world_size=world_size,
        comment=comment,
        unobserved=unobserved,
        enforce_clean=enforce_clean,
        interruptions=interruptions or {},
        console_filter=console_filter,
    )
    settings = load_settings(
        uri=uri,
        project=project,
        capture=capture,
        ranks=ranks,
        beat_interval=beat_interval,
        visibility=visibility,
        shared_with=shared_with,
    )
    return begin_run(plan, settings, hardware=hardware, on_bad_value=on_bad_value)


def _plain_config(config: Any) -> dict[str, Any]:
    if type(config) is dict and _is_plain(config):
        return deepcopy(config)
    if config is None:
        return {}
    from .config import plain_config  # 30 ms that a run with a plain dict, or none, does not pay

    return plain_config(config)


def _is_plain(config: dict[Any, Any], depth: int = 0) -> bool:
    """Whether a dict is what `plain_config` would make of it: text as keys, and plain values."""
    return depth < PLAIN_DEPTH and all(
        type(key) is str
        and (value is None or type(value) in _PLAIN or (type(value) is dict and _is_plain(value, depth + 1)))
        for key, value in config.items()
    )


def begin_run(plan: RunPlan, settings: Settings, *, hardware: bool = True, on_bad_value: OnBadValue = "warn") -> Run:
    """Open the journal and start recording; for `start_run`, `@experiment` and `cloister run`."""
    for status in plan.interruptions.values():
        check_status(status)
    fork = read_fork(plan.fork_from)
    if plan.enforce_clean:
        from .clean_code import refuse_uncommitted

        refuse_uncommitted(plan.main_file)
    if plan.unobserved:
        return _begin_unobserved(plan, settings, on_bad_value)
    job = take_job(plan.experiment, plan.command)
    identity = _settle(plan, settings) if job is None else job.begin(settings)
    header = _header(plan, settings, identity)
    if fork is not None and not identity.is_resumed and identity.place.rank == 0:
        header["fork_from"] = fork
    run = Run(
        Recorder(header, settings),
        header=header,
        config=_config_of(plan, identity),
        settings=settings,
        on_bad_value=on_bad_value,
        identity=identity,
        next_step=_first_step(identity, fork),
        interruptions=plan.interruptions,
        console_filter=plan.console_filter,
    )
    run.begin(capture=settings.capture, hardware=hardware, main_file=plan.main_file)
    return run


def _begin_unobserved(plan: RunPlan, settings: Settings, on_bad_value: OnBadValue) -> Run:
    from ..observer.silent_recorder import SilentRecorder

    identity = Identity(new_uid())
    run = Run(
        SilentRecorder(),
        header=_header(plan, settings, identity),
        config=plan.config,
        settings=settings,
        on_bad_value=on_bad_value,
        identity=identity,
        interruptions=plan.interruptions,
    )
    run.begin(capture="none", hardware=False, main_file=plan.main_file)
    return run


def _settle(plan: RunPlan, settings: Settings) -> Identity:
    try:
        return settle_identity(
            settings,
            config_beside=partial(_config_beside, plan),
            resume=plan.resume,
            join=plan.join,
            rank=plan.rank,
            world_size=plan.world_size,
            project=plan.project,
        )
    except CloisterError as error:
        from .run_takeover import inherits_identity

        if plan.join is not None or plan.resume is not None or not inherits_identity(error, settings):
            raise
        # A program that the training starts has its CLOISTER_RUN, and is no part of its run.
        return Identity(new_uid())


def _config_beside(plan: RunPlan, kept: dict[str, Any]) -> Any:
    """The config of this process, BSON-ready, for comparing it with the one that the run keeps."""
    if plan.config_beside is None:
        return to_bson(plan.config)
    return to_bson(plan.config_beside(without_marked(decode_field_names(kept))))


def _config_of(plan: RunPlan, identity: Identity) -> dict[str, Any]:
    """What the run was started with: of one that goes on and is given none, the config that it has."""
    if plan.config or identity.known is None or not identity.known.config:
        return plan.config
    return dict(decode_field_names(identity.known.config))


def _first_step(identity: Identity, fork: dict[str, Any] | None) -> int:
    if identity.known is not None:
        return identity.known.next_step
    return 0 if fork is None else fork["step"] + 1


def _header(plan: RunPlan, settings: Settings, identity: Identity) -> dict[str, Any]:
    """The first record of the run's journal; see `run_record.new_run_document`."""
    header = described(plan, settings, identity.uid)
    if identity.known is not None:
        header.update({name: value for name, value in identity.known.fields.items() if value is not None})
        if identity.known.config is not None:
            header["config"] = identity.known.config
        header["tags"] = list(dict.fromkeys((*header["tags"], *(to_text(tag, NAME_LIMIT) for tag in plan.tags))))
    place = identity.place
    header.update(rank=place.rank, world_size=place.world_size, session=identity.session, resumed=identity.is_resumed)
    if place.world_size > 1:
        header["local_rank"] = place.local_rank
    if identity.note is not None:
        header["resumption"] = identity.note
    return header


def described(plan: RunPlan, settings: Settings, uid: str) -> dict[str, Any]:
    """What a run's header says of the plan, whoever records it."""
    return {
        "uid": uid,
        "project": to_text(plan.project or settings.project or DEFAULT_PROJECT, NAME_LIMIT),
        "name": to_text(plan.name or f"{plan.experiment}-{uid[-4:]}", NAME_LIMIT),
        "experiment": plan.experiment,
        "command": plan.command,
        "group": plan.group,
        "job_type": plan.job_type,
        "tags": [to_text(tag, NAME_LIMIT) for tag in plan.tags],
        "notes": to_text("\n\n".join(dict.fromkeys(text for text in (plan.comment, plan.notes) if text))),
        "meta": _meta(plan),
        "owner": login_name(),
        **_sharing(settings),
        "start_time": session_time(),
        "config": to_bson(plan.config),
        "config_defaults": to_bson(plan.defaults),
        "config_changes": to_bson(list(plan.config_changes)),
        "argv": [to_bson(word) for word in sys.argv],
        "base_dir": to_bson(str(plan.main_file.parent if plan.main_file else Path.cwd())),
        "mainfile": plan.main_file.name if plan.main_file else None,
        "host": {"hostname": host_name()},
    }


def _sharing(settings: Settings) -> dict[str, Any]:
    """Who sees the run, where anything is said of that."""
    said: dict[str, Any] = {}
    if settings.visibility is not None:
        said["visibility"] = settings.visibility
    if settings.shared_with:
        from ..observer.access.run_sharing import parse_shared_with  # most runs are shared with nobody by name

        people, groups = parse_shared_with(settings.shared_with)
        said["shared_with"] = {"people": list(people), "groups": list(groups)}
    return said


def _meta(plan: RunPlan) -> dict[str, Any]:
    """What Sacred's readers find in a run's `meta`."""
    said: dict[str, Any] = {"command": plan.command, "options": dict(plan.options), "named_configs": [], **plan.meta}
    if plan.comment:
        said["comment"] = plan.comment
    if plan.priority:
        said["priority"] = float(plan.priority)
    meta: dict[str, Any] = to_bson(said)
    return meta


def main_file_of_process() -> Path | None:
    """The script that this process runs; None in a notebook, a REPL, under `python -c` and `python -`."""
    file = getattr(sys.modules.get("__main__"), "__file__", None)
    return Path(file).resolve() if isinstance(file, str) and file != "<stdin>" else None
