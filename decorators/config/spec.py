"""`ConfigSpec`: what an experiment can be configured with, and the config of one call."""

from __future__ import annotations

import inspect
import logging
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from ..seeds import SEED_LIMIT
from .command_line import SOURCE, find_place, parse_command_line
from .draft import Draft
from .errors import BadConfigValue, ConfigClash, ConfigError, UnknownConfigKey
from .files import load_config_file
from .plain import plain_value
from .root import Root, is_parsed, read_source
from .script import HelpWanted, explained_exit, is_interactive, program_name, should_read_command_line
from .signature import ExperimentSignature
from .usage import render_usage

_logger = logging.getLogger("cloister")


@dataclass(frozen=True)
class Resolved:
    """The config of one call.

    `arguments` is what the function is called with, by parameter, without `run`; `config` what is recorded, nested and
    plain; `defaults` the same before the call's and the command line's overrides; `overrides` those, by dotted key;
    `run_options` what the command line says of the run itself: `resume`, `fork_from`.
    """

    arguments: dict[str, Any]
    config: dict[str, Any]
    defaults: dict[str, Any]
    overrides: dict[str, Any]
    _signature: ExperimentSignature
    run_options: dict[str, str] = field(default_factory=dict)

    def bind(self, run: Any = None) -> inspect.BoundArguments:
        """The call: `bound = resolved.bind(run); function(*bound.args, **bound.kwargs)`."""
        return self._signature.bind(self.arguments, run)


@dataclass(frozen=True)
class ConfigSpec:
    """What a function can be configured with. Making one reads no file; `resolve` does, so that a script can say
    in one sentence what is wrong with it."""

    function: Callable[..., Any]
    given: Any = None

    @classmethod
    def from_function(cls, function: Callable[..., Any], config: Any = None) -> ConfigSpec:
        """The spec of `function`'s parameters with the defaults, or the whole config, that `config` gives."""
        if not isinstance(config, (str, Path)):
            read_source(config)  # what is no config at all is refused where it is written
        return cls(function, config)

    @cached_property
    def signature(self) -> ExperimentSignature:
        # Not at decoration: a hint may name a class that stands further down in the module.
        return ExperimentSignature.of(self.function)

    @property
    def takes_run(self) -> bool:
        return self.signature.takes_run

    def resolve_call(
        self,
        call_args: Sequence[Any],
        call_kwargs: Mapping[str, Any],
        *,
        command_line: bool | None = None,
        kept: Mapping[str, Any] | None = None,
    ) -> Resolved:
        """The config of a call, with the command line where it counts (see `reads_command_line`).

        `kept` is the config of a run that goes on: its values stand in for the defaults.

        Where it counts, a wrong config ends the process with exit code 2 and one sentence on stderr, and `--help` with
        exit code 0; otherwise ConfigError is raised.
        """
        if not self.reads_command_line(call_args, call_kwargs, command_line):
            if command_line is None:
                self._warn_of_unread_words(call_args, call_kwargs)
            return self.resolve(call_args, call_kwargs, kept=kept)
        with explained_exit(program_name()):
            return self.resolve(call_args, call_kwargs, sys.argv[1:], kept=kept)

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
    ) -> Resolved:
        """The config of a call with these arguments and these words of the command line; raises ConfigError.

        A call's argument is the whole value. Files of the command line change the keys that they name, later ones
        over earlier ones, single overrides over files. A key that both the call and the command line give is refused.
        """
        root = Root(self.signature, self.given)
        defaults = root.plain_defaults()
        line = None if argv is None else parse_command_line(argv, root)
        if line is not None and line.wants_help:
            raise HelpWanted(render_usage(program_name(), self.signature.summary, root))
        _apply_kept(root, kept or {}, defaults)
        changed = self._apply_call(root, tuple(call_args), call_kwargs or {})
        if line is not None:
            typed = [*self._apply_files(root, line.files), *_apply_overrides(root, line.overrides)]
            _refuse_clash(changed, typed)
            changed += typed
        arguments = root.build_arguments()
        config = root.build_config(arguments)
        _check_seed(config.get("seed"))
        # Found again by its key: a later override of an outer place has replaced the drafts inside it.
        latest = {key: root.find(key) for key in changed}
        overrides = {key: plain_value(draft.build()) for key, draft in latest.items() if draft is not None}
        run_options = {} if line is None else line.run_options
        return Resolved(arguments, config, defaults, overrides, self.signature, run_options)

    def usage(self) -> str:
        """What `--help` prints."""
        return render_usage(program_name(), self.signature.summary, Root(self.signature, self.given))

    def _apply_call(self, root: Root, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> list[str]:
        named, further = self.signature.bind_call(args, kwargs)
        changed = [draft.key for name, value in named.items() for draft in root.give_parameter(name, value)]
        root.takes_new_keys = True
        for name, value in further.items():
            place = _known_place(root, name, "")
            place.take(value)
            changed.append(place.key)
        root.takes_new_keys = False
        return changed

    def _apply_files(self, root: Root, files: Sequence[Any]) -> list[str]:
        root.takes_new_keys = True
        changed = []
        for path in files:
            for key, value in load_config_file(path).items():
                name = key if isinstance(key, str) else key.text
                place = _known_place(root, name, str(path))
                place.put(value, str(path))
                changed.append(place.key)
        root.takes_new_keys = False
        return changed

    def _warn_of_unread_words(self, call_args: Sequence[Any], call_kwargs: Mapping[str, Any]) -> None:
        """`python train.py lr=0.1` with `train(epochs=5)` in the script: the word would be ignored without a sign."""
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


def _apply_kept(root: Root, kept: Mapping[str, Any], defaults: Mapping[str, Any]) -> None:
    """Put the values of a run that goes on in the place of the defaults, as far as they still fit."""
    for name, value in kept.items():
        place = root.find(name)
        # What only a text in angle brackets was kept of (a function, an array) is no value.
        if place is None or value == defaults.get(name) or (isinstance(value, str) and value.startswith("<")):
            continue
        try:
            place.put(value, "the run that goes on")
        except ConfigError as error:
            _logger.warning("%s The default is taken instead.", error)


def _apply_overrides(root: Root, overrides: Sequence[tuple[str, Any]]) -> list[str]:
    changed = []
    for name, value in overrides:
        place = find_place(name, root)
        if place is None:  # an earlier word has replaced what it was in
            raise UnknownConfigKey(name, list(root.iter_keys()))
        place.put(value, "")
        changed.append(place.key)
    return changed


def _known_place(root: Draft, name: str, source: str) -> Draft:
    place = root.find(name)
    if place is None:
        raise UnknownConfigKey(name, list(root.iter_keys()), source)
    return place


def _refuse_clash(called: Sequence[str], typed: Sequence[str]) -> None:
    clash = {key for key in typed for other in called if _overlap(key, other)}
    if clash:
        raise ConfigClash(clash, "the call in the script", SOURCE)


def _check_seed(seed: Any) -> None:
    """A `seed` is set at the run's start; one that no generator takes is refused before there is a run."""
    if isinstance(seed, int) and not isinstance(seed, bool) and not 0 <= seed < SEED_LIMIT:
        raise BadConfigValue("seed", seed, f"a whole number from 0 to {SEED_LIMIT - 1}")


def _overlap(one: str, other: str) -> bool:
    return one == other or one.startswith(f"{other}.") or other.startswith(f"{one}.")
