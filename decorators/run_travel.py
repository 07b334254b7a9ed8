"""A run in a process that multiprocessing spawns: handed over at its start, it records there as in a forked child."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from ..observer.errors import CloisterError
from ..observer.recorder import Recorder
from ..observer.settings import Settings
from .active_runs import enter, find_active

if TYPE_CHECKING:
    from .run import OnBadValue, Run
    from .run_identity import Identity


class RunCannotTravel(CloisterError, TypeError):
    """A run was pickled for something else than the start of a process."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"Run {name!r} cannot be pickled: it is open in this process, and a copy read later would record into it. "
            "Pass it to a process at its start (Process(args=(run,)), a pool's initargs); in a forked child use "
            "cloister.current_run(); to name the run elsewhere keep run.uid."
        )


def hand_over(header: dict[str, Any], settings: Settings, identity: Identity, on_bad_value: OnBadValue) -> Any:
    """What pickle makes of a run; see `object.__reduce__`.

    Raises:
        RunCannotTravel: no process is being started. (The database's URI goes along, and must not end up in a file.)
    """
    context = sys.modules.get("multiprocessing.context")
    if context is None or context.get_spawning_popen() is None:
        raise RunCannotTravel(header["name"])
    return open_in_child, (header, settings, identity.place, identity.session, on_bad_value)


def open_in_child(header: dict[str, Any], settings: Settings, place: Any, session: Any, on_bad_value: Any) -> Run:
    """The run in a process that was started with it: a segment of its own; its end is the parent's affair."""
    from .run import Run
    from .run_identity import Identity

    known = find_active(header["uid"])
    if known is not None:
        return known
    run = Run(
        Recorder(header, settings),
        header=header,
        config=header["config"],
        settings=settings,
        on_bad_value=on_bad_value,
        identity=Identity(header["uid"], place, session),
    )
    run.belongs_to_parent = True
    enter(run)
    return run
