"""The place of a process in a job of several: its rank, as launchers tell it, and the run that it shares."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from ..observer.errors import CloisterError
from ..observer.process_facts import describe_process

# Rank, number of ranks, rank on this host. SLURM comes last: what mpirun starts inside a batch script has the script's
# SLURM_PROCID=0 in every rank.
_VARIABLES = (
    ("RANK", "WORLD_SIZE", "LOCAL_RANK"),
    ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK"),
    ("PMI_RANK", "PMI_SIZE", "MPI_LOCALRANKID"),
    ("SLURM_PROCID", "SLURM_NTASKS", "SLURM_LOCALID"),
)
_RESTART_VARIABLES = ("TORCHELASTIC_RESTART_COUNT", "SLURM_RESTART_COUNT")
# All that tells a process which place it has in a job.
PLACE_VARIABLES = (
    *(name for names in _VARIABLES for name in names),
    *_RESTART_VARIABLES,
    *("LOCAL_WORLD_SIZE", "TORCHELASTIC_RUN_ID", "MASTER_ADDR", "MASTER_PORT"),
)
_OF_THE_HOST = re.compile(r"^network\.|\.host\.|^disk\.free$|^gpu\.\d+\.(?!memory\.run$)")
_AFTER_A_BREAK = re.compile(r"(?<=[\n\r])(?=[^\n\r])")

_joined = 0  # runs of this process that took their identity from the job


class BadRank(CloisterError, ValueError):
    """A rank that no process of a job can have."""

    def __init__(self, rank: object, world_size: object) -> None:
        super().__init__(
            f"Rank {rank!r} of {world_size!r} is not possible. A rank is a whole number from 0 to one less than the "
            "number of processes; pass both, rank= and world_size=, or let RANK and WORLD_SIZE say them."
        )


@dataclass(frozen=True)
class JobPlace:
    """Where a process stands in its job.

    Attributes:
        restarts: how often the launcher has started the job anew after a failure.
    """

    rank: int = 0
    world_size: int = 1
    local_rank: int = 0
    restarts: int = 0


def find_place(
    rank: int | None = None, world_size: int | None = None, environ: Mapping[str, str] = os.environ
) -> JobPlace:
    """The place of this process: as given, else as torchrun, MPI or SLURM say it, else alone.

    Raises:
        BadRank: `rank` or `world_size` make no sense.
    """
    if rank is not None:
        size = world_size if world_size is not None else max(rank + 1, 1) if isinstance(rank, int) else 1
        if type(rank) is not int or type(size) is not int or not 0 <= rank < size:
            raise BadRank(rank, world_size)
        return JobPlace(rank, size, _number(environ, "LOCAL_RANK") or 0 if rank else 0, _restarts(environ))
    for rank_name, size_name, local_name in _VARIABLES:
        found = _number(environ, rank_name)
        if found is not None:
            size = max(_number(environ, size_name) or 1, found + 1)
            local = _number(environ, local_name)
            return JobPlace(found, size, found if local is None else local, _restarts(environ))
    return JobPlace(restarts=_restarts(environ))


def shared_name(setting: str | None, environ: Mapping[str, str] = os.environ) -> str | None:
    """What names the run that the processes of this job share; None where each has its own.

    That is CLOISTER_RUN. Under torchrun on one host it is the torchrun process itself, so nothing has to be set there.
    A process that starts several runs shares each of them with the same one of the other processes.
    """
    text = setting or _torchrun_of_one_host(environ)
    if text is None or not _joined:
        return text
    return f"{text} {_joined + 1}"


def note_joined() -> None:
    """The process has begun a run under the shared name; its next one is another."""
    global _joined
    _joined += 1


def measured_here(values: Mapping[str, float], place: JobPlace) -> Mapping[str, float]:
    """The hardware values that are this rank's own: the host and its GPUs are measured by one rank of each host."""
    if place.local_rank == 0:
        return values
    return {name: value for name, value in values.items() if not _OF_THE_HOST.search(name)}


def mark_lines(rank: int, record: Callable[[str, str, float], None]) -> Callable[[str, str, float], None]:
    """A recorder of the console for a rank other than 0: its stderr alone, each line with the rank in front."""
    mark = f"[rank {rank}] "
    at_start = True

    def record_marked(stream: str, text: str, wall_time: float) -> None:
        nonlocal at_start
        if stream != "stderr" or not text:
            return
        marked = _AFTER_A_BREAK.sub(mark, text)
        if at_start and text[0] not in "\n\r":
            marked = mark + marked
        at_start = text[-1] in "\n\r"
        record(stream, marked, wall_time)

    return record_marked


def _torchrun_of_one_host(environ: Mapping[str, str]) -> str | None:
    if "TORCHELASTIC_RUN_ID" not in environ:
        return None
    size = _number(environ, "WORLD_SIZE")
    if size is None or size < 2 or size != _number(environ, "LOCAL_WORLD_SIZE"):
        return None
    parent = describe_process(os.getppid())
    # A process that a rank starts has these variables too, and another parent.
    if parent["machine"] is None or parent["started"] is None or not _is_torchrun(os.getppid()):
        return None
    return f"torchrun {parent['machine']} {parent['pid']} {parent['started']}"


def _is_torchrun(pid: int) -> bool:
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    return any(
        word.endswith((b"torchrun", b"torch.distributed.run", b"torch.distributed.launch")) for word in words[:6]
    )


def _restarts(environ: Mapping[str, str]) -> int:
    return max((_number(environ, name) or 0 for name in _RESTART_VARIABLES), default=0)


def _number(environ: Mapping[str, str], name: str) -> int | None:
    text = environ.get(name, "")
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 8 else None
