"""The process that makes a queued run: started on its own, heard, interrupted, ended."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

from ...observer.errors import CloisterError
from ...observer.settings import ENVIRONMENT_PREFIX, Settings
from ..ranks import PLACE_VARIABLES
from .workplace import Workplace

OUTPUT_FILE = "output.txt"
TAIL_BYTES = 20_000
TAIL_LINES = 60
_NOT_PASSED_ON = ("run", "resume", "project")  # they would name another run than the queued one


class NoCloisterThere(CloisterError, RuntimeError):
    """The interpreter that is to make the runs cannot."""

    def __init__(self, python: str, reason: str) -> None:
        super().__init__(
            f"{python} cannot make runs: {reason}. Name an interpreter with --python in whose environment cloister and "
            "what the runs import are installed."
        )


def check_python(python: str) -> str:
    """The version of an interpreter that can make runs.

    Raises:
        NoCloisterThere: it cannot be started, or does not have this package.
    """
    package = __name__.partition(".")[0]
    program = f"import {package}.decorators.queued_job, platform; print(platform.python_version())"
    try:
        asked = subprocess.run(  # noqa: S603 - an interpreter that the worker's user names, no shell
            [python, "-c", program], capture_output=True, text=True, timeout=60, check=False
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise NoCloisterThere(python, str(error)) from error
    if asked.returncode:
        raise NoCloisterThere(python, (asked.stderr.strip().splitlines() or ["it failed"])[-1])
    return asked.stdout.strip()


def start_job(place: Workplace, python: str, settings: Settings, asked: Mapping[str, Any]) -> subprocess.Popen[bytes]:
    """Start the process of a run: a session of its own, no terminal, its output in a file of the workplace.

    Args:
        asked: settings that were asked for when the run was queued.
    """
    module = f"{__name__.rpartition('.')[0]}.launch"
    with (place.folder / OUTPUT_FILE).open("wb") as output:
        return subprocess.Popen(  # noqa: S603 - our own program; that it runs stored code is what a worker is for
            [python, "-m", module, str(place.folder)],
            cwd=place.folder,  # not the code's: with -m, a `click.py` among it would be imported in place of click
            env=_environment(settings, asked),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            pass_fds=(place.lock,),
        )


def _environment(settings: Settings, asked: Mapping[str, Any]) -> dict[str, str]:
    """The worker's own, without its place in a job or a run, and with its settings: a cloister.toml is not there."""
    unwanted = {ENVIRONMENT_PREFIX + name.upper() for name in _NOT_PASSED_ON} | set(PLACE_VARIABLES)
    environment = {name: value for name, value in os.environ.items() if name not in unwanted}
    for field in fields(settings):
        value = asked.get(field.name) if field.name in ("capture", "beat_interval") else None
        value = getattr(settings, field.name) if value is None else value
        if field.name not in _NOT_PASSED_ON and value is not None and value != field.default and value is not MISSING:
            environment[ENVIRONMENT_PREFIX + field.name.upper()] = str(value)
    environment["PYTHONUNBUFFERED"] = "1"  # what it prints before it dies is what tells why
    return environment


def signal_job(process: subprocess.Popen[bytes], number: int) -> None:
    """Send a signal to the process and all that it has started."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)


def last_lines(place: Workplace) -> list[str]:
    """The end of what the process has printed, for runs that did not begin."""
    try:
        with (place.folder / OUTPUT_FILE).open("rb") as output:
            output.seek(max(0, output.seek(0, os.SEEK_END) - TAIL_BYTES))
            text = output.read().decode("utf-8", "replace")
    except OSError:
        return []
    return [f"{line}\n" for line in text.splitlines()[-TAIL_LINES:]]


def how_it_ended(process: subprocess.Popen[bytes]) -> dict[str, Any]:
    """Exit code or signal, as `cloister.exit` has it."""
    code = process.returncode
    return {"signal": -code} if code is not None and code < 0 else {"code": code}


def words_for(exit_as: Mapping[str, Any]) -> str:
    if "signal" in exit_as:
        with contextlib.suppress(ValueError):
            return f"by {signal.Signals(exit_as['signal']).name}"
    return f"with exit code {exit_as.get('code')}"


def default_python() -> str:
    return sys.executable or str(Path(sys.prefix) / "bin" / "python")
