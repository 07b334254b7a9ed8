"""Starting a run: from what a script gave to an open journal."""

from __future__ import annotations

import os
import sys
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from ..observer.bson_values import to_bson
from ..observer.recorder import Recorder
from ..observer.settings import CaptureMode, Settings, load_settings
from .run import OnBadValue, Run

DEFAULT_PROJECT = "default"


@dataclass(frozen=True)
class RunPlan:
    """What a run is to be: as `start_run` and `@experiment` describe it, before anything is recorded."""

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

    Raises:
        ConfigError: `config` cannot be read.
        BadSetting: an argument, CLOISTER_* variable or cloister.toml holds what Cloister cannot use.
    """
    from .config import plain_config

    plain = plain_config(config) if config is not None else {}
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
    )
    settings = load_settings(uri=uri, project=project, capture=capture)
    return begin_run(plan, settings, hardware=hardware, on_bad_value=on_bad_value)


def begin_run(plan: RunPlan, settings: Settings, *, hardware: bool = True, on_bad_value: OnBadValue = "warn") -> Run:
    """Open the journal and start recording; for `start_run`, `@experiment` and `cloister run`."""
    header = _header(plan, settings)
    run = Run(
        Recorder(header, settings),
        uid=header["uid"],
        project=header["project"],
        name=header["name"],
        experiment=plan.experiment,
        config=plan.config,
        settings=settings,
        on_bad_value=on_bad_value,
    )
    run.tags = tuple(header["tags"])
    run.begin(capture=settings.capture, hardware=hardware, main_file=plan.main_file)
    return run


def _header(plan: RunPlan, settings: Settings) -> dict[str, Any]:
    """The first record of the run's journal; see `run_record.new_run_document`."""
    from ..observer.snapshot import host_name, login_name  # spares `import cloister` what a run needs anyway

    uid = new_uid()
    return {
        "uid": uid,
        "project": str(plan.project or settings.project or DEFAULT_PROJECT),
        "name": str(plan.name or f"{plan.experiment}-{uid[-4:]}"),
        "experiment": plan.experiment,
        "command": plan.command,
        "group": plan.group,
        "job_type": plan.job_type,
        "tags": [str(tag) for tag in plan.tags],
        "notes": str(plan.notes),
        "owner": login_name(),
        "start_time": datetime.now(timezone.utc),
        "config": to_bson(plan.config),
        "config_defaults": to_bson(plan.defaults),
        "argv": [to_bson(word) for word in sys.argv],
        "base_dir": to_bson(str(plan.main_file.parent if plan.main_file else Path.cwd())),
        "mainfile": plan.main_file.name if plan.main_file else None,
        "host": {"hostname": host_name()},
    }


def new_uid() -> str:
    """A UUIDv7 as text: sorts by time of creation. Source: RFC 9562, section 5.7."""
    milliseconds = time.time_ns() // 1_000_000
    number = milliseconds << 80 | int.from_bytes(os.urandom(10), "big")
    number = number & ~(0xF << 76) | 0x7 << 76
    return str(uuid.UUID(int=number & ~(0x3 << 62) | 0x2 << 62))


def main_file_of_process() -> Path | None:
    """The script that this process runs; None in a notebook, a REPL, or under `python -c`."""
    file = getattr(sys.modules.get("__main__"), "__file__", None)
    return Path(file).resolve() if isinstance(file, str) else None
