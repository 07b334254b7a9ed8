"""The values of all entries, each built once: for the call, for captured functions, and for the record."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from .draft import MISSING, Draft
from .errors import MissingConfigValue
from .namespace import Namespace, put_nested
from .plain import plain_value
from .structures import kind_of_value

WHOLE = "config"  # a parameter of this name takes the config that `config=` gives, in one piece


@dataclass
class Values:
    """What the entries of an experiment or an ingredient are.

    Attributes:
        whole: the config that is passed in one piece; its fields are entries too.
        entries: the others, by name.
        missing: the keys that have no value, by the entry that they belong to.
    """

    whole: Any = MISSING
    whole_fields: dict[str, Any] = field(default_factory=dict)
    entries: dict[str, Any] = field(default_factory=dict)
    ingredients: dict[str, Values] = field(default_factory=dict)
    missing: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def add_whole(self, name: str, draft: Draft) -> None:
        self.whole = self._build(name, draft)
        kind = kind_of_value(self.whole)
        if kind is not None:
            self.whole_fields = {str(key): value for key, value in kind.values(self.whole).items()}
            return
        for field_name, member in draft.members.items():  # some field has no value yet; the others do
            value = self._build(field_name, member)
            if value is not MISSING:
                self.whole_fields[field_name] = value

    def add_entry(self, name: str, draft: Draft) -> None:
        value = self._build(name, draft)
        if value is not MISSING:
            self.entries[name] = value

    def namespace(self) -> Namespace:
        """The live values by name, those of ingredients nested."""
        names = Namespace({**self.whole_fields, **self.entries})
        for path, values in self.ingredients.items():
            put_nested(names, path, values.namespace())
        return names

    def plain(self) -> dict[str, Any]:
        """What is recorded: nested and plain, a config passed whole at the top level."""
        config: dict[str, Any] = {}
        if self.whole is not MISSING:
            plain = plain_value(self.whole)
            config.update(plain if isinstance(plain, dict) else {WHOLE: plain})
        else:
            config.update({name: plain_value(value) for name, value in self.whole_fields.items()})
        config.update({name: plain_value(value) for name, value in self.entries.items()})
        for path, values in self.ingredients.items():
            put_nested(config, path, values.plain())
        return config

    def all_missing(self) -> list[str]:
        own = [key for keys in self.missing.values() for key in keys]
        return list(dict.fromkeys([*own, *(key for inner in self.ingredients.values() for key in inner.all_missing())]))

    def _build(self, name: str, draft: Draft) -> Any:
        try:
            return draft.build()
        except MissingConfigValue as error:
            self.missing[name] = error.keys
            return MISSING
