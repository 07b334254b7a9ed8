"""Whether a call of an experiment is a script being started, whose command line is ours to read."""

from __future__ import annotations

import builtins
import inspect
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ...observer.errors import CloisterError
from .errors import BadOverride, UnknownConfigKey, UnknownPreset

EXIT_CODE = 2  # as argparse and click: the command line was wrong


class HelpWanted(Exception):
    """The command line asks for help; the message is the help."""


def should_read_command_line(function: Callable[..., Any]) -> bool:
    """Whether `sys.argv` belongs to the script that defines `function`.

    True when the function was defined in the module that was started (`python train.py`, `python -m team.train`,
    `torchrun train.py`, `cloister run train.py`) and `sys.argv[0]` names that module's file. False in notebooks and at
    a prompt, where argv is the kernel's; under pytest, in a console script and in every other program that imports
    the function, where argv is that program's; and in the processes that multiprocessing spawns.
    """
    names = getattr(inspect.unwrap(function), "__globals__", {})
    file = names.get("__file__")
    if names.get("__name__") != "__main__" or not file or not sys.argv or is_interactive():
        return False
    started = Path(sys.argv[0])
    # By name first: argv[0] may be relative, and the script may have changed its working directory since.
    return started.name == Path(file).name or (started.exists() and started.samefile(file))


def is_interactive() -> bool:
    """Whether somebody types at a prompt or into a notebook; then argv belongs to the interpreter."""
    # IPython's `%run train.py` sets argv for the script, but leaves get_ipython in place: `__file__` tells them apart.
    main = sys.modules.get("__main__")
    return hasattr(sys, "ps1") or (hasattr(builtins, "get_ipython") and not hasattr(main, "__file__"))


@contextmanager
def explained_exit(program: str) -> Iterator[None]:
    """Ends the script with one clear sentence where the config cannot be had, and with the help where it was wanted."""
    try:
        yield
    except HelpWanted as wish:
        sys.stdout.write(str(wish))
        sys.stdout.flush()
        raise SystemExit(0) from None
    except CloisterError as error:
        sys.stderr.write(f"{program}: {error}\n{_advice(program, error)}")
        raise SystemExit(EXIT_CODE) from None


def program_name() -> str:
    return Path(sys.argv[0]).name if sys.argv and sys.argv[0] else "experiment"


def _advice(program: str, error: CloisterError) -> str:
    if isinstance(error, UnknownPreset):
        return f"'{program} print_presets' lists the presets.\n"
    if not isinstance(error, (UnknownConfigKey, BadOverride)):
        return ""
    return (
        f"'{program} --help' lists the config keys. "
        "A script that reads its command line itself says @experiment(command_line=False).\n"
    )
