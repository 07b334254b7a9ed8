"""Making a run that Sacred has queued (`-q`): its experiment is found again, and run under our observer.

Sacred stores the sources, the name of the main file, the command and the whole config; not the command line, nor
anything to check the sources by but an MD5, and since pymongo 4 not even that. So this is done only where asked for.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import closing
from typing import Any

from ...observer.errors import CloisterError
from ...observer.mongo import check, client_for, database_name, resolve_uri
from ...observer.process_facts import this_process
from ...observer.run_queue import begin_queued
from ...observer.sacred_values import plain_value
from ...observer.session_names import session_time
from ...observer.settings import load_settings
from .job_file import BadEntry, SacredJob

_REBUILT = frozenset({"py/tuple"})  # of jsonpickle's tags; all others name something to be called


class NoSacredExperiment(CloisterError, LookupError):
    """The main file of a run that Sacred queued makes no experiment of that name."""

    def __init__(self, name: str, found: list[str]) -> None:
        there = f"It makes {', '.join(found)}." if found else "It makes none at its top level."
        super().__init__(f"The run's main file makes no Sacred experiment {name!r}. {there}")


def read_sacred_config(stored: Any) -> dict[str, Any]:
    """The config of a run that Sacred stored, for running it again.

    Raises:
        BadEntry: it holds objects, which would have to be built by what the database says.
    """
    tags = sorted({tag for tag in _iter_tags(stored, 0) if tag not in _REBUILT})
    if tags:
        raise BadEntry(f"its config holds values of Python's that are not rebuilt ({', '.join(tags[:5])})")
    plain = plain_value(stored)
    return plain if isinstance(plain, dict) else {}


def _iter_tags(value: Any, depth: int) -> Iterator[str]:
    if depth > 100:
        yield "nested too deeply"
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            if isinstance(key, str) and key.startswith(("py/", "json://")):
                yield key if key.startswith("py/") else "a key that is no text"
            yield from _iter_tags(inner, depth + 1)
    elif isinstance(value, (list, tuple)):
        for inner in value:
            yield from _iter_tags(inner, depth + 1)


def make_sacred_run(job: SacredJob, module: Any) -> None:
    """Run the experiment that `module` has made, in the place of the queued run.

    Raises:
        NoSacredExperiment: it has made none of that name.
        NotYours: the worker's lease does not hold the run any more.
    """
    from ..sacred.mongo_observer import MongoObserver

    experiment = _find(job, module)
    _take(job)
    experiment.observers[:] = [MongoObserver(overwrite=job.run_id)]
    experiment.run(job.command, config_updates=job.config, meta_info=dict(job.meta))


def _find(job: SacredJob, module: Any) -> Any:
    sacred = sys.modules.get("sacred")  # imported by the main file, never by us
    kind = getattr(sacred, "Experiment", ())
    found = {value.path: value for value in vars(module).values() if kind and isinstance(value, kind)}
    if job.experiment not in found:
        raise NoSacredExperiment(job.experiment, sorted(found))
    return found[job.experiment]


def _take(job: SacredJob) -> None:
    settings = load_settings()
    uri = resolve_uri(settings)
    with closing(client_for(uri, timeout_ms=10_000)) as client:
        check(client)
        database = client[database_name(uri, settings)]
        begin_queued(database, job.run_id, job.token, {"time": session_time(), **this_process()}, by="_id")
