"""Presets: named sets of config values, given by a function, a class, a mapping or a file."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .changes import shorten_value
from .docstrings import first_paragraph
from .errors import BadPreset, UnknownPreset, shorten
from .files import load_config_file
from .free_values import key_text
from .plain import class_defaults
from .structures import kind_of_class, kind_of_value


@dataclass(frozen=True)
class Preset:
    """One preset. `source` is a function that returns its values, a dataclass or model, a mapping, or a file's path."""

    name: str
    source: Any

    @property
    def doc(self) -> str:
        """Its first paragraph, on one line; of a file the path."""
        if isinstance(self.source, (str, Path)):
            return str(self.source)
        # An instance has its class's docstring, and a dict has one too: neither is about this preset.
        own = isinstance(self.source, type) or inspect.isroutine(self.source)
        text = first_paragraph(self.source.__doc__) if own else ""
        return "" if text.startswith(f"{getattr(self.source, '__name__', '')}(") else text  # made by @dataclass

    @property
    def told(self) -> str:
        """What lists show beside its name: its doc, else what it sets, as far as that is known without a call."""
        if self.doc:
            return self.doc
        if self.function is not None:
            names = ", ".join(inspect.signature(self.function).parameters)
            return f"follows from {names}" if names else ""
        return ", ".join(f"{key}={shorten_value(value)}" for key, value in self.known_values().items())

    @property
    def is_file(self) -> bool:
        return isinstance(self.source, (str, Path))

    @property
    def function(self) -> Callable[..., Any] | None:
        """What has to be called with config entries to have the values; None where they are known already."""
        return self.source if callable(self.source) and not isinstance(self.source, type) else None

    def known_values(self) -> dict[str, Any]:
        """Its values, where no function has to be called for them; raises BadPreset, BadConfigFile."""
        if self.is_file:
            return {key_text(key): value for key, value in load_config_file(self.source).items()}
        if isinstance(self.source, type):
            return class_defaults(self.source)
        return self.read(self.source)

    def read(self, values: Any) -> dict[str, Any]:
        """What the preset's function returned, by name."""
        kind = kind_of_value(values)
        if values is None:
            raise BadPreset(self.name, "returned None. Its function has to return the values: return {'lr': 0.1}")
        if kind is None:
            raise BadPreset(self.name, f"gave {shorten(values)}, which is no mapping of names to values")
        return {key_text(key): value for key, value in kind.values(values).items()}


@dataclass
class Presets:
    """The presets of an experiment or an ingredient, in the order in which they were added."""

    known: dict[str, Preset] = field(default_factory=dict)

    def add(self, name: str, source: Any) -> None:
        """Adds one, or replaces the one of that name; raises BadPreset for what no values can be read from."""
        readable = (
            isinstance(source, (str, Path, Mapping))
            or kind_of_class(source) is not None
            or kind_of_value(source) is not None
            or (callable(source) and not isinstance(source, type))
        )
        if not readable:
            advice = "Give a function, a dataclass, a pydantic model, a mapping, or the path of a file"
            raise BadPreset(name, f"cannot be read from {shorten(source)}. {advice}")
        if not name or name.startswith(("@", "-", "+")) or any(mark in name for mark in "= \t\n/\\"):
            raise BadPreset(name, "has a name that a command line cannot say. Take letters, digits, dots and dashes")
        self.known[name] = Preset(name, source)

    def find(self, name: str) -> Preset:
        """The preset of that name; a dash may stand for an underscore. Raises UnknownPreset."""
        preset = self.known.get(name) or self.known.get(name.replace("-", "_"))
        if preset is None:
            raise UnknownPreset(name, list(self.known))
        return preset

    def __contains__(self, name: str) -> bool:
        return name in self.known or name.replace("-", "_") in self.known

    def __iter__(self) -> Iterator[Preset]:
        return iter(self.known.values())
