"""`cloister run script.py`: record a script that was not changed at all."""

from __future__ import annotations

import atexit
import difflib
import os
import runpy
import signal
import sys
import traceback
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn

import click

from ..observer.errors import CloisterError
from ..observer.settings import load_settings
from .config.literals import parse_literal
from .run import Run
from .run_start import RunPlan, begin_run


class NoScript(CloisterError, FileNotFoundError):
    """There is no such script."""

    def __init__(self, path: Path) -> None:
        super().__init__(f"There is no script {str(path)!r} here ({Path.cwd()}). Give the path of a Python file.")


@click.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.option("--project", help="Where the run belongs; else the setting 'project'.")
@click.option("--name", help="How lists show the run; else the script's name and a part of the run's id.")
@click.option("--tag", "tags", multiple=True, help="A tag, to find the run again. May be given more than once.")
@click.option("--resume", help="Go on with a run: its number, its uid, its name, or 'auto'.")
@click.option("--fork-from", help="Start with the history of another run: RUN@STEP.")
@click.argument("script", type=click.Path(path_type=Path))
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def run(
    project: str | None,
    name: str | None,
    tags: tuple[str, ...],
    resume: str | None,
    fork_from: str | None,
    script: Path,
    arguments: tuple[str, ...],
) -> None:
    """Record SCRIPT, which needs no change: its arguments, console, code, packages, machine and hardware use.

    What follows SCRIPT is the script's: 'cloister run --project digits train.py --lr 0.1'.
    """
    if str(script).startswith("-"):
        raise _no_option(str(script))
    if not script.is_file():
        raise NoScript(script)
    # As `python script.py` has it, so that the script and what it imports see nothing unusual.
    sys.argv = [str(script), *arguments]
    sys.path[0] = str(script.resolve().parent)
    config = config_from_arguments(arguments)
    plan = RunPlan(
        experiment=script.stem,
        command=script.stem,
        config=config,
        defaults=config,
        project=project,
        name=name,
        tags=tags,
        main_file=script.resolve(),
        resume=resume,
        fork_from=fork_from,
    )
    recorded = begin_run(plan, load_settings())
    _run_as_main(script, recorded)


def _no_option(word: str) -> click.NoSuchOption:
    """What click says by itself of commands that do not hand unknown options on to a script."""
    context = click.get_current_context()
    known = [name for option in context.command.params for name in option.opts if name.startswith("-")]
    return click.NoSuchOption(word, possibilities=difflib.get_close_matches(word, known), ctx=context)


def config_from_arguments(arguments: tuple[str, ...]) -> dict[str, Any]:
    """A script's arguments as config, as far as their form tells: `--lr 0.1`, `--lr=0.1`, `lr=0.1`, `--flag`."""
    config: dict[str, Any] = {}
    words = list(arguments)
    while words:
        word = words.pop(0)
        name, equals, value = word.lstrip("-").partition("=")
        if not name or not (word.startswith("--") or (equals and not word.startswith("-"))):
            continue  # a positional word or a short option: the command line is recorded whole beside the config
        if equals:
            config[name.replace("-", "_")] = parse_literal(value)
        elif words and not words[0].startswith("--"):
            config[name.replace("-", "_")] = parse_literal(words.pop(0))
        else:
            config[name.replace("-", "_")] = True
    return config


def _run_as_main(script: Path, recorded: Run) -> None:
    try:
        runpy.run_path(str(script), run_name="__main__")
    except SystemExit as error:
        recorded.end_as(error)
        raise
    except BaseException as error:  # Ctrl-C too: whatever ends the script ends the run
        error.__traceback__ = _inside(script, error.__traceback__)
        recorded.end_as(error)
        _end_like_python(error)
    recorded.end_as(None)


def _end_like_python(error: BaseException) -> NoReturn:
    """End the process as `python script.py` would: the script's own traceback, and its exit code or signal."""
    sys.excepthook(type(error), error, error.__traceback__)
    if isinstance(error, KeyboardInterrupt):
        atexit._run_exitfuncs()  # they would not run after a signal, and one of them waits for the courier
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
    raise SystemExit(1)


def _inside(script: Path, trace: TracebackType | None) -> TracebackType | None:
    """The part of a traceback that begins in the script."""
    place = trace
    while place is not None:
        if traceback.extract_tb(place, limit=1)[0].filename == str(script):
            return place
        place = place.tb_next
    return trace
