"""One git command as a process: bounded in time and output, and gone afterwards. GitPython starts it."""

from __future__ import annotations

import os
import selectors
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import IO, BinaryIO

from ..errors import CloisterError
from .deadline import Deadline

OUTPUT_LIMIT_BYTES = 16_000_000
ERROR_LIMIT_BYTES = 4_096


class GitFailed(CloisterError, OSError):
    """git ended with an error."""

    def __init__(self, command: str, code: int, message: str) -> None:
        self.message = message.strip() or "no message"
        super().__init__(f"git {command} ended with {code}: {self.message}")


@dataclass(frozen=True)
class GitOutput:
    """What git wrote, and why it is not all of it, if it is not."""

    data: bytes
    cut_by: str | None = None  # "time" or "size"

    def records(self) -> list[str]:
        """The NUL-terminated records, whole ones only, as file system text."""
        return [os.fsdecode(record) for record in self.data.split(b"\0")[:-1]]


def run_git(
    arguments: list[str] | tuple[str, ...],
    folder: Path,
    environment: dict[str, str],
    limit_bytes: int,
    deadline: Deadline,
    standard_input: BinaryIO | None = None,
) -> GitOutput:
    """Run one git command under `environment`; it is stopped at the limit or the deadline, whichever comes first.

    Raises:
        GitFailed: git ended with an error.
        ImportError: there is no git (GitPython looks for it when it is imported).
    """
    from git import Git  # about 80 ms: spares scripts that record nothing; raises ImportError where git is missing

    command = [Git.GIT_PYTHON_GIT_EXECUTABLE or "git", "--no-pager", "--literal-pathspecs", *arguments]
    started = Git(str(folder)).execute(
        command, istream=standard_input, env=environment, as_process=True, shell=False, universal_newlines=False
    )
    process = started.proc
    assert process is not None
    started.proc = None  # GitPython's wrapper would wait for a process that cannot be killed
    assert process.stdout is not None
    assert process.stderr is not None
    with process.stdout as out, process.stderr as err:
        output, error = _collect(process, out, err, limit_bytes, deadline)
    if output.cut_by is None and process.returncode not in (0, None):
        raise GitFailed(arguments[0], process.returncode, os.fsdecode(error))
    return output


def _collect(
    process: subprocess.Popen[bytes], out: IO[bytes], err: IO[bytes], limit_bytes: int, deadline: Deadline
) -> tuple[GitOutput, bytes]:
    """Read both pipes until they end, the limit is reached or time is over; the process is gone afterwards."""
    pieces: list[bytes] = []
    errors: list[bytes] = []
    size = 0
    cut_by: str | None = None
    with selectors.DefaultSelector() as selector:
        selector.register(out, selectors.EVENT_READ, pieces)
        selector.register(err, selectors.EVENT_READ, errors)
        while selector.get_map() and cut_by is None:
            for key, _ in selector.select(deadline.remaining_seconds()):
                piece = os.read(key.fd, 262_144)
                if not piece:
                    selector.unregister(key.fileobj)
                elif key.data is pieces:
                    pieces.append(piece)
                    size += len(piece)
                elif sum(map(len, errors)) < ERROR_LIMIT_BYTES:
                    errors.append(piece)
            cut_by = "size" if size > limit_bytes else "time" if deadline.is_over() else None
    _end(process, cut_by)
    return GitOutput(b"".join(pieces)[:limit_bytes], cut_by), b"".join(errors)


def _end(process: subprocess.Popen[bytes], cut_by: str | None) -> None:
    if cut_by is not None:
        process.kill()
    try:
        process.wait(timeout=2.0)
    except subprocess.TimeoutExpired:
        process.kill()  # stuck in a dead network file system: it ends when that answers, and nobody waits
