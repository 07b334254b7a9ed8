"""`ConfigSpec`: what an experiment can be configured with, and the config of one call."""

from __future__ import annotations

import inspect
import logging
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from .computing import ConfigFunction
from .presets import Presets
from .resolved import Resolved
from .resolving import Request, Sources, resolve
from .root import is_parsed, read_source
from .script import is_interactive, should_read_command_line
from .signature import ExperimentSignature

_logger = logging.getLogger("cloister")


def _nothing() -> None:
    """What an ingredient without a function of its own is read from."""


@dataclass(frozen=True)
class ConfigSpec:
    """What a function can be configured with. Making one reads no file; `resolve` does, so that a script can say
    in one sentence what is wrong with it.

    Attributes:
        function: its parameters are entries; of an ingredient a function that takes nothing, mostly.
        given: what `config=` gives.
        presets: the named sets of values.
        config_functions: functions of entries that give further entries.
        ingredients: other specs, whose entries stand under their path.
        command: who is called instead of `function`; its own parameters are entries too.
        command_path: the ingredient that the command belongs to; "" is none.
        taken_elsewhere: entries that other functions of the experiment take: `config=` may give those too, and so may
            presets, files and the command line.
    """

    function: Callable[..., Any]
    given: Any = None
    presets: Presets = field(default_factory=Presets)
    config_functions: list[Callable[..., Any]] = field(default_factory=list)
    ingredients: dict[str, ConfigSpec] = field(default_factory=dict)
    command: Callable[..., Any] | None = None
    command_path: str = ""
    taken_elsewhere: frozenset[str] = frozenset()

    @classmethod
    def from_function(cls, function: Callable[..., Any], config: Any = None) -> ConfigSpec:
        """The spec of `function`'s parameters with the defaults, or the whole config, that `config` gives."""
        if not isinstance(config, (str, Path)):
            read_source(config)  # what is no config at all is refused where it is written
        return cls(function, config)

    @classmethod
    def of_ingredient(cls, path: str, config: Any = None) -> ConfigSpec:
        """The spec of an ingredient. `config` may also be a function, whose parameters are the entries."""
        if inspect.isfunction(config):
            return cls(config)
        return cls.from_function(_nothing, config)

    def for_command(self, command: Callable[..., Any], path: str = "") -> ConfigSpec:
        """The same config for another function, of the experiment or of the ingredient at `path`: it is called with the
        entries that it takes, and its parameters that are none become entries."""
        return replace(self, command=command, command_path=path)

    @cached_property
    def signature(self) -> ExperimentSignature:
        # Not at decoration: a hint may name a class that stands further down in the module.
        return ExperimentSignature.of(self.function)

    @cached_property
    def called(self) -> ExperimentSignature:
        """Who receives the arguments."""
        return self.signature if self.command is None else ExperimentSignature.of(self.command)

    @property
    def takes_run(self) -> bool:
        return self.called.takes_run

    @property
    def all_functions(self) -> list[ConfigFunction]:
        """The config functions of the ingredients and of the experiment, in that order."""
        parts = [
            *((path, spec.config_functions) for path, spec in self.ingredients.items()),
            ("", self.config_functions),
        ]
        return [ConfigFunction(function, path) for path, functions in parts for function in functions]

    @property
    def all_presets(self) -> Presets:
        """The presets by the names that a command line has for them: `fast`, and `data.small` of an ingredient."""
        return Presets(
            {
                **self.presets.known,
                **{
                    f"{path}.{preset.name}": preset
                    for path, spec in self.ingredients.items()
                    for preset in spec.presets
                },
            }
        )

    def reads_command_line(
        self, call_args: Sequence[Any], call_kwargs: Mapping[str, Any], command_line: bool | None = None
    ) -> bool:
        """Whether a call reads `sys.argv`.

        None: when it gives no arguments, the function was defined in the script that was started, and no
        argparse.Namespace is the config (then the command line has been read). True: always, except at a prompt or in
        a notebook. False: never.
        """
        if command_line is not None:
            return command_line and not is_interactive()
        if call_args or call_kwargs or is_parsed(self.given):
            return False
        return should_read_command_line(self.function)

    def resolve(
        self,
        call_args: Sequence[Any] = (),
        call_kwargs: Mapping[str, Any] | None = None,
        argv: Sequence[str] | None = None,
        *,
        kept: Mapping[str, Any] | None = None,
        updates: Mapping[str, Any] | None = None,
        presets: Sequence[Any] = (),
    ) -> Resolved:
        """The config of a call with these arguments and these words of the command line; raises ConfigError.

        A call's argument is the whole value. Presets and files change the keys that they name, later ones over earlier
        ones; single values win over both. A key that both the call and the command line give is refused.

        Args:
            call_args, call_kwargs: of the call.
            argv: words of a command line, without the command; None reads none.
            kept: the config of a run that goes on.
            updates: single values given in code, by dotted key or nested.
            presets: names of presets, paths of files, or mappings, that code asks for: before those of `argv`.
        """
        request = Request(tuple(call_args), call_kwargs or {}, argv, kept or {}, updates or {}, tuple(presets))
        return resolve(self, Sources.read(self), request)

    def usage(self, commands: Mapping[str, str] | None = None) -> str:
        """What `--help` prints. `commands`: what each does, in a line."""
        from .usage import render_usage  # only who wants help pays for it

        return render_usage(self, Sources.read(self).defaults(), commands or {})

    def warn_of_unread_words(self, call_args: Sequence[Any], call_kwargs: Mapping[str, Any]) -> None:
        """Says so where `python train.py lr=0.1` is not read because the script calls `train(epochs=5)`."""
        if not (call_args or call_kwargs) or is_parsed(self.given) or not should_read_command_line(self.function):
            return
        names = {parameter.name for parameter in self.signature.parameters}
        words = [word for word in sys.argv[1:] if word.partition("=")[0] in names and "=" in word]
        if words:
            _logger.warning(
                "%s() was called with arguments, so the command line (%s) is not read. Call it without arguments, or "
                "write @experiment(command_line=True) to have both.",
                self.signature.name,
                " ".join(words),
            )
