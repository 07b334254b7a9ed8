"""`cloister run script.py`: record a script that was not changed at all."""

from __future__ import annotations

import atexit
import difflib
import os
import runpy
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn

import click

from ..observer.errors import CloisterError
from ..observer.settings import load_settings
from .config.literals import parse_literal
from .run import Run
from .run_options import RUN_OPTIONS, post_mortem, read_run_options
from .run_start import RunPlan, begin_run


class NoScript(CloisterError, FileNotFoundError):
    """There is no such script."""

    def __init__(self, path: Path) -> None:
        super().__init__(f"There is no script {str(path)!r} here ({Path.cwd()}). Give the path of a Python file.")


def _run_options(command: Callable[..., None]) -> Callable[..., None]:
    """Declares the options of a run, from the same rows as for scripts."""
    for option in reversed(RUN_OPTIONS):
        flags = (*option.flags, option.name)
        sentence = option.help[:1].upper() + option.help[1:] + "."
        if option.value is None:
            command = click.option(*flags, is_flag=True, help=sentence)(command)
        else:
            command = click.option(*flags, metavar=option.value, multiple=option.repeats, help=sentence)(command)
    return command


@click.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@_run_options
@click.argument("script", type=click.Path(path_type=Path))
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def run(script: Path, arguments: tuple[str, ...], **given: Any) -> None:
    """Record SCRIPT, which needs no change: its arguments, console, code, packages, machine and hardware use.

    What follows SCRIPT is the script's: 'cloister run --project digits train.py --lr 0.1'.
    """
    if str(script).startswith("-"):
        raise _no_option(str(script))
    if not script.is_file():
        raise NoScript(script)
    options = read_run_options(given)
    options.set_up_logging()
    # As `python script.py` has it, so that the script and what it imports see nothing unusual.
    sys.argv = [str(script), *arguments]
    sys.path[0] = str(script.resolve().parent)
    plan = options.over(_plan(script, arguments, script.stem))
    settings = load_settings(**options.settings())
    if options.queue:
        from .queueing import Entry, queue_run

        click.echo(queue_run(plan, settings, Entry("plain", arguments)))
        return
    run_script(script, begin_run(plan, settings), debug=options.pdb)


def _plan(script: Path, arguments: Sequence[str], label: str) -> RunPlan:
    config = config_from_arguments(arguments)
    return RunPlan(experiment=label, command=label, config=config, defaults=config, main_file=script.resolve())


def record_script(script: Path, arguments: Sequence[str], *, experiment: str) -> None:
    """What `cloister run` does, for a worker: the run is the queued one."""
    run_script(script, begin_run(_plan(script, arguments, experiment), load_settings()))


def _no_option(word: str) -> click.NoSuchOption:
    """What click says by itself of commands that do not hand unknown options on to a script."""
    context = click.get_current_context()
    known = [name for option in context.command.params for name in option.opts if name.startswith("-")]
    return click.NoSuchOption(word, possibilities=difflib.get_close_matches(word, known, n=1), ctx=context)


def config_from_arguments(arguments: Sequence[str]) -> dict[str, Any]:
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


def run_script(script: Path, recorded: Run | None = None, *, debug: bool = False) -> None:
    """Run a script as `python script.py` would, and end `recorded` as it ends."""
    error: BaseException | None = None
    try:
        runpy.run_path(str(script), run_name="__main__")
    except SystemExit as ending:
        error = ending
        raise
    except BaseException as ending:  # Ctrl-C too: whatever ends the script ends the run
        error = ending
        error.__traceback__ = _inside(script, error.__traceback__)
        if recorded is not None:
            recorded.end_as(error)
        if debug and isinstance(error, Exception):
            post_mortem(error)
        _end_like_python(error)
    finally:
        if recorded is not None:
            recorded.end_as(error)


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
