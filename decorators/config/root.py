"""The whole config of one call: the function's parameters and what `config=` adds to them, as one draft."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .computed import Computed
from .draft import MISSING, Draft
from .errors import BadConfigSource, ConfigClash, MissingConfigValue, UnknownConfigKey
from .files import load_config_file
from .free_values import Where, key_text, parse_brackets, read_freely
from .hints import NO_HINT, class_of, is_free
from .namespace import put_nested
from .plain import plain_value
from .settled import WHOLE, Values
from .signature import ExperimentSignature, Parameter
from .structures import NAMESPACE, kind_of_class, kind_of_value, structure_classes


@dataclass(frozen=True)
class _GivenValue:
    """What `config=` gives for one key."""

    value: Any
    hint: Any = NO_HINT
    description: str = ""


class Root(Draft):
    """The entries of an experiment or of an ingredient.

    Members are the function's parameters, the fields of a config passed whole, further keys, and ingredients.
    """

    def __init__(
        self,
        signature: ExperimentSignature,
        given: Any,
        source: str = "config=",
        *,
        key: str = "",
        ingredients: Mapping[str, Root] | None = None,
        command: ExperimentSignature | None = None,
        taken_elsewhere: Collection[str] = (),
    ) -> None:
        super().__init__(key, Any, MISSING, name=key)
        self.takes_new_keys = False  # while a file or a call is read, and the function has **kwargs
        self.ingredients = dict(ingredients or {})
        self.called = command or signature  # who receives the arguments
        self._signature = signature
        self._taken_elsewhere = taken_elsewhere
        self._parameters: dict[str, Draft] = {}
        self._further: dict[str, Draft] = {}
        self._whole: Draft | None = None
        self._whole_name: str | None = None
        self._lay_out(given, source)
        self._add_command(command)
        self._refuse_clash_with_ingredients()

    @property
    def members(self) -> dict[str, Draft]:
        whole = {} if self._whole is None else self._whole.members
        return {**whole, **self._parameters, **self._further, **self.ingredients}

    @property
    def whole(self) -> Draft | None:
        """The config that is passed in one piece, or that nothing takes and that checks itself."""
        return self._whole

    def give(self, value: Any, source: str) -> list[tuple[str, Any]]:
        """Sets the entries that a mapping names: what an ingredient is given."""
        kind = kind_of_value(value)
        if kind is None:
            raise Where(self.key, source).wrong(value, "a mapping of its entries")
        parts = ((self._find_known(key_text(key), source), part) for key, part in kind.values(value).items())
        return [written for place, part in parts for written in place.give(part, source)]

    def put(self, value: Any, source: str) -> list[tuple[str, Any]]:
        where = Where(self.key, source)
        value = parse_brackets(value, "{", dict, where)
        if not isinstance(value, dict):
            raise where.wrong(value, "a mapping of its entries, such as {name: value}")
        parts = ((self._find_known(key_text(key), source), part) for key, part in value.items())
        return [written for place, part in parts for written in place.put(part, source)]

    def give_parameter(self, name: str, value: Any) -> list[Draft]:
        """Sets one parameter to what a call gives, and says which places that were."""
        if name == self.called.var_positional:
            self._further[name] = Draft(self._inside(name), Any, list(value), name=name)
            return [self._further[name]]
        if name == self._whole_name and self._whole is not None:
            self._whole.replace(dict(value) if isinstance(value, Mapping) else value, Where(name))
            return list(self._whole.members.values())
        place = self.members[name]
        if isinstance(place, Root):
            written = [place.find(key[len(place.key) + 1 :]) for key, _ in place.give(value, "")]
            return [inner for inner in written if inner is not None]
        place.take(value)
        return [place]

    def is_further(self, name: str) -> bool:
        """Whether an entry is neither a parameter nor a field, so that it may become another kind of value."""
        return name in self._further or name not in self.members

    def set_entry(self, name: str, value: Any, description: str = "") -> Draft:
        """A further entry with this value, in the place of one that there may be."""
        draft = self._further[name] = Draft(self._inside(name), NO_HINT, value, name=name)
        draft.description = description
        return draft

    def iter_unsettled(self, owners: tuple[Draft, ...] = ()) -> Iterator[tuple[Draft, tuple[Draft, ...]]]:
        for member in self.members.values():
            yield from member.iter_unsettled(() if isinstance(member, Root) else (self,))

    def settled_values(self) -> Values:
        """All entries, built once; what lacks a value is named there instead of raising."""
        values = Values()
        if self._whole is not None:
            values.add_whole(self._whole_name or WHOLE, self._whole)
        for name, draft in {**self._parameters, **self._further}.items():
            values.add_entry(name, draft)
        for name, root in self.ingredients.items():
            values.ingredients[name] = root.settled_values()
        return values

    def arguments_of(self, values: Values) -> dict[str, Any]:
        """What the function is called with, by name; raises MissingConfigValue for all that is missing at once."""
        names = values.namespace()
        arguments: dict[str, Any] = {}
        missing: list[str] = []
        for parameter in self.called.parameters:
            name = parameter.name
            if name == self._whole_name or (name not in names and self.is_whole(parameter)):
                value = values.whole if self._whole is not None else MISSING if self._is_main else names
            else:
                value = names.get(name, MISSING)
            if value is MISSING:
                missing += values.missing.get(name) or values.missing.get(self._whole_name or WHOLE) or (name,)
            arguments[name] = value
        if self._is_main:
            missing += values.all_missing()
        if missing:
            raise MissingConfigValue(list(dict.fromkeys(missing)))
        if self.called.var_keyword is not None or self.called.var_positional in self._further:
            arguments.update({name: values.entries[name] for name in self._further if name in values.entries})
        return arguments

    def build(self) -> Any:
        """The entries that have a value, as a namespace."""
        return self.settled_values().namespace()

    def plain_defaults(self) -> dict[str, Any]:
        known: dict[str, Any] = {}
        for name, member in self.members.items():
            value = member.plain_defaults() if isinstance(member, Root) else member.known_defaults()
            if isinstance(member, Root):
                put_nested(known, name, value)
            elif value is not MISSING:
                known[name] = plain_value(value)
        return known

    def known_defaults(self) -> Any:
        return self.plain_defaults()

    @property
    def takes_any(self) -> bool:
        """Whether there is a function with **kwargs."""
        return self.called.var_keyword is not None or self._signature.var_keyword is not None

    @property
    def _is_main(self) -> bool:
        """Whether the function that the entries belong to is called, and no command."""
        return self.called is self._signature

    def _inside(self, name: object) -> str:
        return Where(self.key).inside(name).key

    def _add_member(self, path: str) -> Draft | None:
        if not self.takes_new_keys or not self.takes_any:
            return None
        return self._further.setdefault(path, Draft(self._inside(path), NO_HINT, MISSING, name=path))

    def _add_command(self, command: ExperimentSignature | None) -> None:
        """The parameters of a command are entries too, where there is none of that name."""
        for parameter in command.parameters if command is not None else ():
            if parameter.name not in self.members and not self.is_whole(parameter):
                self._further[parameter.name] = _draft_parameter(parameter, None, "", self._inside(parameter.name))

    def is_whole(self, parameter: Parameter) -> bool:
        """Whether a parameter takes the config in one piece."""
        if self._whole is not None and parameter.name == self._whole_name:
            return True
        if parameter.name == WHOLE and not self._is_main:
            return True
        return (
            self._whole is not None
            and kind_of_value(self._whole.current) is not None
            and (_takes(parameter.hint, type(self._whole.current)))
        )

    def _refuse_clash_with_ingredients(self) -> None:
        own = {*(self._whole.members if self._whole is not None else ()), *self._parameters, *self._further}
        outer = {name.partition(".")[0] for name in self.ingredients}
        if clash := own & outer:
            raise ConfigClash(clash, "the config", "an ingredient of that name")

    def _lay_out(self, given: Any, source: str) -> None:
        whole = self._find_whole(given)
        if whole is not None:
            self._whole_name = whole.name
            self._whole = _draft_whole(whole, given, source, self.key)
        # A parameter named as an ingredient receives its entries.
        taken = {whole.name if whole is not None else "", *(name.partition(".")[0] for name in self.ingredients)}
        parameters = [parameter for parameter in self._signature.parameters if parameter.name not in taken]
        values = {} if given is None or whole is not None else _given_values(given)
        for name in [name for name in values if name in taken and isinstance(values[name].value, Mapping)]:
            self._default_ingredient(name, values.pop(name).value, source)
        for parameter in parameters:
            key = self._inside(parameter.name)
            self._parameters[parameter.name] = _draft_parameter(
                parameter, values.pop(parameter.name, None), source, key
            )
        if self._whole is not None and (clash := set(self._whole.members) & set(self._parameters)):
            raise ConfigClash(clash, f"the parameters of {self._signature.name}()", "its config")
        self._add_further(values, given, source)

    def _default_ingredient(self, path: str, entries: Mapping[Any, Any], source: str) -> None:
        """What the experiment's own config says of an ingredient, in the place of its defaults."""
        root = self.ingredients.get(path)
        for key, value in entries.items():
            inner = f"{path}.{key_text(key)}"
            if isinstance(value, Mapping) and any(f"{name}.".startswith(f"{inner}.") for name in self.ingredients):
                self._default_ingredient(inner, value, source)
            elif root is None:
                raise UnknownConfigKey(inner, list(self.iter_keys()), source)
            else:
                root._find_known(key_text(key), source).put(value, source)

    def _add_further(self, values: dict[str, _GivenValue], given: Any, source: str) -> None:
        """Keys of `config=` without a parameter: passed to **kwargs, or recorded and read through `run.config`.

        Where the function takes its config by parameters, a key of a file or a mapping that neither they nor captured
        functions have is a typing error. A dataclass or a parser has checked its own names, and may serve more than one
        function.
        """
        typed = kind_of_class(given) is not None or not isinstance(given, Mapping)
        unknown = [name for name in values if name not in self._taken_elsewhere]
        if unknown and self._parameters and not typed and self._signature.var_keyword is None:
            raise UnknownConfigKey(unknown[0], list(self._parameters), source)
        if typed and given is not None and not self._parameters and self._whole is None:
            self._whole = _draft_given(given, self.key)  # nothing takes it, but it stays one object that checks itself
            return
        for name, value in values.items():
            current = read_freely(value.value, Where(self._inside(name), source))
            self._further[name] = Draft(self._inside(name), value.hint, current, name=name)

    def _find_whole(self, given: Any) -> Parameter | None:
        if given is None:
            return None
        parameters = self._signature.parameters
        named = next((parameter for parameter in parameters if parameter.name == WHOLE), None)
        if named is not None:
            return named
        if isinstance(given, Mapping):
            # A file or dict for a function with one dataclass: its keys are the fields, unless one is the parameter.
            takers = [item for item in parameters if structure_classes(item.hint)]
            names = {key_text(key) for key in given}
            return takers[0] if len(takers) == len(parameters) == 1 and takers[0].name not in names else None
        cls = given if isinstance(given, type) else type(given)
        return next((item for item in parameters if _takes(item.hint, cls)), None)


def read_source(config: Any) -> tuple[Any, str]:
    """What `config=` was given, files read, with the name of where it is from; raises BadConfigSource."""
    if isinstance(config, (str, Path)):
        return load_config_file(config), str(config)
    if config is None or kind_of_value(config) is not None or kind_of_class(config) is not None:
        return config, "config="
    raise BadConfigSource(config)


def is_parsed(config: Any) -> bool:
    """Whether `config` comes from a parser that has read the command line already."""
    return kind_of_value(config) is NAMESPACE


def _takes(hint: Any, cls: type) -> bool:
    classes = [*structure_classes(hint), class_of(hint)]
    return any(isinstance(item, type) and issubclass(cls, item) and item is not object for item in classes)


def _draft_given(given: Any, key: str = "") -> Draft:
    return Draft(key, given, MISSING) if isinstance(given, type) else Draft(key, NO_HINT, given)


def _given_values(given: Any) -> dict[str, _GivenValue]:
    if isinstance(given, Mapping):
        return {key_text(key): _GivenValue(value) for key, value in given.items()}
    members = _draft_given(given).members
    return {
        name: _GivenValue(draft.computed or draft.current, draft.hint, draft.description)
        for name, draft in members.items()
    }


def _draft_whole(parameter: Parameter, given: Any, source: str, key: str) -> Draft:
    if isinstance(given, Mapping):
        if structure_classes(parameter.hint):
            draft = Draft(key, parameter.hint, parameter.default)
            draft.put(dict(given), source)
            return _settled(draft)
        named = {key_text(name): value for name, value in given.items()}
        return Draft(key, dict, read_freely(named, Where(key, source)))
    return _draft_given(given, key)


def _draft_parameter(parameter: Parameter, given: _GivenValue | None, source: str, key: str) -> Draft:
    hint = parameter.hint
    if is_free(hint) and hint is not Any and given is not None and not is_free(given.hint):
        hint = given.hint
    draft = Draft(key, hint, parameter.default, name=parameter.name)
    if given is not None and isinstance(given.value, Computed):
        draft = Draft(key, hint, given.value, name=parameter.name)
    elif given is not None and given.value is not MISSING:
        draft.put(given.value, source)
        draft = _settled(draft)
    draft.description = parameter.description or (given.description if given is not None else "")
    return draft


def _settled(draft: Draft) -> Draft:
    """`draft` with what was put into it as its value; as it is while that still lacks something."""
    try:
        return Draft(draft.key, draft.hint, draft.build(), name=draft.name)
    except MissingConfigValue:
        return draft
