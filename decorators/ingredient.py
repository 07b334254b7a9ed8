"""Ingredients: a part of a config with the functions that work with it, to be used in several experiments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..observer.errors import CloisterError
from .config import ConfigSpec
from .part import Part


class BadIngredientName(CloisterError, ValueError):
    """An ingredient's name cannot be part of a config key."""

    def __init__(self, name: object) -> None:
        super().__init__(
            f"{name!r} cannot be an ingredient's name: it is where its entries are in the config. Give letters, digits "
            "and _, with dots between levels: 'data', or 'data.paths'."
        )


class Ingredient(Part):
    """A part of a config under a name of its own, with functions, commands, hooks and presets.

        data = cloister.Ingredient("data", config={"path": "digits.csv", "batch": 32})

        @data.capture
        def load(path, batch): ...

        @experiment(ingredients=[data])
        def train(run, lr: float = 0.1):
            load()  # python train.py data.batch=64

    Args:
        name: where its entries are in the config of the experiments that use it: "data", or "data.paths".
        config: its entries: a mapping, a dataclass or pydantic model (class or object), a function whose parameters
            they are, or the path of a YAML, JSON or TOML file.
        ingredients: others that it uses; every one is settled before whoever uses it.
    """

    def __init__(
        self,
        name: str,
        *,
        config: Any = None,
        ingredients: Sequence[Ingredient] = (),
        presets: Mapping[str, Mapping[str, Any] | str | Path] | None = None,
    ) -> None:
        if not isinstance(name, str) or not all(part.isidentifier() for part in name.split(".")):
            raise BadIngredientName(name)
        super().__init__(name, name, ingredients)
        self.given = config
        self.spec()  # what is no config at all is refused where it is written
        for preset, values in (presets or {}).items():
            self.add_preset(preset, values)

    def spec(self) -> ConfigSpec:
        """What it can be configured with."""
        spec = ConfigSpec.of_ingredient(self.path, self.given)
        return replace(
            spec,
            presets=self.presets,
            config_functions=self.config_functions,
            taken_elsewhere=self.names_taken(),
        )

    @property
    def described(self) -> str:
        return f"an experiment with ingredient {self.name!r}"

    def __repr__(self) -> str:
        return f"<Ingredient {self.name!r}>"
