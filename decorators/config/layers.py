"""Layers of a config: the presets and files that a call or a command line asks for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .assignments import Source
from .errors import UnknownPreset
from .files import has_config_suffix
from .presets import Preset

if TYPE_CHECKING:
    from .spec import ConfigSpec


@dataclass(frozen=True)
class Layer:
    """A preset or a file that was asked for.

    Attributes:
        name: as it was asked for; "" for a mapping in code.
        source: a file's path, a mapping, or a preset.
        path: the ingredient whose preset it is; "" is the experiment's own.
    """

    name: str
    source: Path | Mapping[str, Any] | Preset
    path: str = ""

    @property
    def assigned_by(self) -> Source:
        if isinstance(self.source, Path) or (isinstance(self.source, Preset) and self.source.is_file):
            return Source("file" if isinstance(self.source, Path) else "preset file", self.name)
        return Source("preset", self.name) if self.name else Source("code")


def find_layer(word: str, spec: ConfigSpec) -> Layer:
    """What `@word` means: a preset of that name, else the file; raises UnknownPreset."""
    if word not in spec.all_presets and (has_config_suffix(word) or "/" in word or "\\" in word):
        return Layer(word, Path(word))
    for path in sorted(spec.ingredients, key=len, reverse=True):
        if word.startswith(f"{path}.") and word not in spec.presets:
            presets, name = spec.ingredients[path].presets, word[len(path) + 1 :]
            if name in presets:
                return Layer(word, presets.find(name), path)
    if word in spec.presets:
        return Layer(word, spec.presets.find(word))
    raise UnknownPreset(word, list(spec.all_presets.known))


def as_layer(item: Any, spec: ConfigSpec) -> Layer:
    """What code asks for by a name, a path or a mapping."""
    if isinstance(item, Path):
        return Layer(str(item), item)
    if isinstance(item, Mapping):
        return Layer("", item)
    if isinstance(item, str):
        return find_layer(item, spec)
    raise UnknownPreset(repr(item), list(spec.all_presets.known))
