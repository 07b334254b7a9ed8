"""The commands that every experiment has about its config: `print_config`, `save_config`, `print_presets`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from .errors import ConfigError
from .layers import find_layer
from .resolved import Resolved
from .script import program_name

if TYPE_CHECKING:
    from .spec import ConfigSpec

FILE_NAME = "config_filename"  # Sacred's name for it
_COLUMN = 20


@dataclass(frozen=True)
class ConfigCommand:
    """One command. `function` has the entries that it adds as parameters; `act` does the work with the settled config.

    A spec for it: `spec.for_command(command.function)`.
    """

    function: Callable[..., None]
    act: Callable[[ConfigSpec, Resolved, TextIO | None], None]

    @property
    def help(self) -> str:
        return (self.function.__doc__ or "").partition("\n")[0].rstrip(".")


def print_config() -> None:
    """Shows the config that a run would have, and what differs from the defaults."""


def save_config(config_filename: str = "config.json") -> None:
    """Writes that config into a file: config_filename=config.json, .yaml or .toml.

    Args:
        config_filename: where to; the ending says how
    """


def print_presets() -> None:
    """Shows the presets and what they set."""


def _print_config(spec: ConfigSpec, resolved: Resolved, file: TextIO | None = None) -> None:
    from .config_view import show_config  # rich takes 50 ms, which no training pays

    show_config(spec.signature.name, resolved, file or sys.stdout)


def _save_config(spec: ConfigSpec, resolved: Resolved, file: TextIO | None = None) -> None:
    from .config_writer import write_config_file

    path = Path(resolved.arguments[FILE_NAME])
    config = {name: value for name, value in resolved.config.items() if name != FILE_NAME}
    left_out = write_config_file(path, config, resolved.defaults)
    out = file or sys.stdout
    out.write(f"The config is in {path}. '{program_name()} @{path}' takes it.\n")
    for key in left_out:
        out.write(f"Not in it: {key}, an object that no file can hold.\n")


def _print_presets(spec: ConfigSpec, resolved: Resolved, file: TextIO | None = None) -> None:
    out = file or sys.stdout
    presets = spec.all_presets.known
    if not presets:
        out.write("This experiment has no presets. Add some: @train.preset over a function that returns values.\n")
        return
    out.write(f"Presets, for '{program_name()} @name' or '{program_name()} with name':\n")
    for name, preset in presets.items():
        out.write(f"  {name.ljust(_COLUMN)}  {preset.doc}".rstrip() + "\n")
        if told := _told_values(name, spec, resolved):
            out.write(f"  {' ' * _COLUMN}  {told}\n")


def _told_values(name: str, spec: ConfigSpec, resolved: Resolved) -> str:
    from .changes import shorten_value
    from .resolving import Sources, values_of

    try:
        values = values_of(find_layer(name, spec), Sources.read(spec), ())
    except ConfigError as error:
        return f"({error})"
    return ", ".join(f"{key}={shorten_value(value)}" for key, value in values.items())


CONFIG_COMMANDS: Mapping[str, ConfigCommand] = {
    "print_config": ConfigCommand(print_config, _print_config),
    "save_config": ConfigCommand(save_config, _save_config),
    "print_presets": ConfigCommand(print_presets, _print_presets),
    "print_named_configs": ConfigCommand(print_presets, _print_presets),  # as Sacred calls it
}
