"""The whole config of one call: the function's parameters and what `config=` adds to them, as one draft."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .draft import MISSING, Draft
from .errors import BadConfigSource, ConfigClash, MissingConfigValue, UnknownConfigKey
from .files import load_config_file
from .free_values import Where, key_text, read_freely
from .hints import NO_HINT, class_of, is_free
from .literals import Scalar
from .plain import plain_value
from .signature import ExperimentSignature, Parameter
from .structures import NAMESPACE, kind_of_class, kind_of_value, structure_classes

WHOLE = "config"  # a parameter of this name takes the config that `config=` gives, in one piece


@dataclass(frozen=True)
class _GivenValue:
    """What `config=` gives for one key."""

    value: Any
    hint: Any = NO_HINT
    description: str = ""


class Root(Draft):
    """Members are the function's parameters, the fields of a config passed whole, and further keys."""

    def __init__(self, signature: ExperimentSignature, given: Any) -> None:
        super().__init__("", Any, MISSING)
        self._signature = signature
        self._parameters: dict[str, Draft] = {}
        self._further: dict[str, Draft] = {}
        self._whole: Draft | None = None
        self._whole_name: str | None = None
        self.takes_new_keys = False  # while a file or a call is read, and the function has **kwargs
        self._lay_out(*read_source(given))

    @property
    def members(self) -> dict[str, Draft]:
        whole = {} if self._whole is None else self._whole.members
        return {**whole, **self._parameters, **self._further}

    def give_parameter(self, name: str, value: Any) -> list[Draft]:
        """Sets one parameter to what a call gives, and says which places that were."""
        if name == self._signature.var_positional:
            self._further[name] = Draft(name, Any, list(value), name=name)
            return [self._further[name]]
        if name == self._whole_name and self._whole is not None:
            self._whole.replace(dict(value) if isinstance(value, Mapping) else value, Where(name))
            return list(self._whole.members.values())
        self._parameters[name].take(value)
        return [self._parameters[name]]

    def build_arguments(self) -> dict[str, Any]:
        """What the function is called with, by name; raises MissingConfigValue for all that is missing at once."""
        arguments: dict[str, Any] = {}
        missing: list[str] = []
        drafts = dict(self._parameters)
        if self._whole is not None and self._whole_name is not None:
            drafts[self._whole_name] = self._whole
        if self._signature.var_keyword is not None or self._signature.var_positional in self._further:
            drafts.update(self._further)
        for name, draft in drafts.items():
            try:
                arguments[name] = draft.build()
            except MissingConfigValue as error:
                missing += error.keys
        if missing:
            raise MissingConfigValue(missing)
        return arguments

    def build_config(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """What is recorded of `arguments`: nested and plain, a config passed whole at the top level."""
        config: dict[str, Any] = {}
        if self._whole is not None:
            whole = arguments[self._whole_name] if self._whole_name is not None else self._whole.build()
            plain = plain_value(whole)
            config.update(plain if isinstance(plain, dict) else {WHOLE: plain})
        for name, draft in {**self._parameters, **self._further}.items():
            config[name] = plain_value(arguments[name] if name in arguments else draft.build())
        return config

    def plain_defaults(self) -> dict[str, Any]:
        known = {name: member.known_defaults() for name, member in self.members.items()}
        return {name: plain_value(value) for name, value in known.items() if value is not MISSING}

    def _add_member(self, path: str) -> Draft | None:
        if not self.takes_new_keys or self._signature.var_keyword is None:
            return None
        return self._further.setdefault(path, Draft(path, NO_HINT, MISSING, name=path))

    def _lay_out(self, given: Any, source: str) -> None:
        whole = self._find_whole(given)
        if whole is not None:
            self._whole_name = whole.name
            self._whole = _draft_whole(whole, given, source)
        parameters = [parameter for parameter in self._signature.parameters if parameter is not whole]
        values = {} if given is None or whole is not None else _given_values(given)
        for parameter in parameters:
            self._parameters[parameter.name] = _draft_parameter(parameter, values.pop(parameter.name, None), source)
        if self._whole is not None and (clash := set(self._whole.members) & set(self._parameters)):
            raise ConfigClash(clash, f"the parameters of {self._signature.name}()", "its config")
        self._add_further(values, given, source)

    def _add_further(self, values: dict[str, _GivenValue], given: Any, source: str) -> None:
        """Keys of `config=` without a parameter: passed to **kwargs, or recorded and read through `run.config`.

        Where the function takes its config by parameters, a key of a file or a mapping that none of them has is a
        typing error. A dataclass or a parser has checked its own names, and may serve more than one function.
        """
        typed = kind_of_class(given) is not None or not isinstance(given, Mapping)
        if values and self._parameters and not typed and self._signature.var_keyword is None:
            raise UnknownConfigKey(next(iter(values)), list(self._parameters), source)
        if typed and given is not None and not self._parameters and self._whole is None:
            self._whole = _draft_given(given)  # nothing takes it, but it stays one object that checks itself
            return
        for name, value in values.items():
            self._further[name] = Draft(name, value.hint, read_freely(value.value, Where(name, source)), name=name)

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


def _draft_given(given: Any) -> Draft:
    return Draft("", given, MISSING) if isinstance(given, type) else Draft("", NO_HINT, given)


def _given_values(given: Any) -> dict[str, _GivenValue]:
    if isinstance(given, Mapping):
        return {key_text(key): _GivenValue(value) for key, value in given.items()}
    members = _draft_given(given).members
    return {name: _GivenValue(draft.current, draft.hint, draft.description) for name, draft in members.items()}


def _draft_whole(parameter: Parameter, given: Any, source: str) -> Draft:
    if isinstance(given, Mapping):
        if structure_classes(parameter.hint):
            draft = Draft("", parameter.hint, parameter.default)
            draft.put(dict(given), source)
            return _settled(draft)
        named = {key.text if isinstance(key, Scalar) else key: value for key, value in given.items()}
        return Draft("", dict, read_freely(named, Where("", source)))
    return _draft_given(given)


def _draft_parameter(parameter: Parameter, given: _GivenValue | None, source: str) -> Draft:
    hint = parameter.hint
    if is_free(hint) and hint is not Any and given is not None and not is_free(given.hint):
        hint = given.hint
    draft = Draft(parameter.name, hint, parameter.default, name=parameter.name)
    if given is not None and given.value is not MISSING:
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
