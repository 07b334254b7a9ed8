"""The commands that every experiment has: they show what would run, and run nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from .captured import Captured
from .config.commands import CONFIG_COMMANDS
from .part import Command, Part, StockAct

if TYPE_CHECKING:
    from .config import ConfigSpec, Resolved
    from .config.commands import ConfigCommand
    from .experiment import Experiment

HELP = "help"
_OWNER = Part("stock commands", "", ())


def without_word_for_help(words: Sequence[str]) -> list[str]:
    """The words, with `help` as `--help`: 'train.py help', 'train.py help evaluate'."""
    return ["--help", *words[1:]] if list(words[:1]) == [HELP] else list(words)


def _config_command(name: str, command: ConfigCommand) -> Command:
    def act(_experiment: Experiment[..., Any], spec: ConfigSpec, resolved: Resolved) -> None:
        command.act(spec, resolved, None)

    return _stock(name, command.function, act)


def print_dependencies() -> None:
    """Shows what would run: code with digests, imported packages, git state."""


def _print_dependencies(experiment: Experiment[..., Any], _spec: ConfigSpec, _resolved: Resolved) -> None:
    from .dependencies_report import print_dependencies  # rich takes 50 ms, which no training pays

    print_dependencies(experiment.main_file)


def _stock(name: str, function: Callable[..., None], act: StockAct) -> Command:
    return Command(name, Captured(function, _OWNER, ""), unobserved=True, act=act)


def configured() -> None:
    """Stands for the caller's own code in `Experiment.configured`: a config is settled for it, and it is not called."""


TRIED_OUT = _stock("configured", configured, lambda _experiment, _spec, _resolved: None)

STOCK_COMMANDS: dict[str, Command] = {
    **{name: _config_command(name, command) for name, command in CONFIG_COMMANDS.items()},
    "print_dependencies": _stock("print_dependencies", print_dependencies, _print_dependencies),
}
