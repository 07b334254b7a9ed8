"""A nested value that is being changed: finds places by their dotted path, collects changes, then builds once.

Once, because a dataclass may check its fields together: `low=2 high=3` must not fail for the moment between the two.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from .convert import convert
from .docstrings import parameter_texts
from .errors import BadConfigValue, ConfigError, MissingConfigValue, RefusedConfig, UnknownConfigKey, shorten
from .free_values import Where, key_text, parse_brackets, read_freely
from .hints import NO_HINT, hint_of_default, is_free, mapping_of, union_members, with_none
from .literals import Scalar
from .structures import MAPPING, StructureKind, kind_of_class, kind_of_value, structure_classes

MISSING: Any = NO_HINT  # there is no value yet; one object serves for both, as in `inspect`


class Draft:
    """One place in a config: its value so far, its hint, and the drafts of what is in it."""

    def __init__(self, key: str, hint: Any, current: Any, *, name: Any = None, foreign: bool = False) -> None:
        self.key = key
        self.name = name  # the key in the mapping, or the field's name, as the owner spells it
        self.is_inferred = is_free(hint) and hint is not Any
        self.hint = hint_of_default(current) if self.is_inferred else with_none(hint) if current is None else hint
        self.current = current
        self.description = ""
        self._foreign = foreign  # a member of a class that converts and checks by itself
        self._replaced = False
        self._members: dict[str, Draft] | None = None

    @property
    def changed(self) -> bool:
        return self._replaced or any(member.changed for member in (self._members or {}).values())

    @property
    def members(self) -> dict[str, Draft]:
        """The drafts of what is in this place, by the text of their names; empty for a value without parts."""
        if self._members is None:
            self._members = {key_text(draft.name): draft for draft in self._draft_members()}
        return self._members

    def find(self, path: str) -> Draft | None:
        """The place that `path` names. The longest existing key comes first: a key may itself have dots."""
        for name in sorted(self.members, key=len, reverse=True):
            if path == name:
                return self.members[name]
            if path.startswith(f"{name}.") and (found := self.members[name].find(path[len(name) + 1 :])) is not None:
                return found
        return self._add_member(path)

    def put(self, value: Any, source: str) -> None:
        """Sets this place. Of a structure, a mapping changes only the keys that it names."""
        where = Where(self.key, source)
        if self._is_merged:
            value = parse_brackets(value, "{", self.hint, where)
            if isinstance(value, dict) and (value or self.current is not None):
                for key, part in value.items():
                    self._find_known(key_text(key), source).put(part, source)
                return
        self.replace(value, where)

    def take(self, value: Any) -> None:
        """Sets this place to what code gave. Without a hint code is taken at its word: the default's type only guesses
        what text may mean."""
        if not self.is_inferred:
            self.replace(value, Where(self.key))
            return
        self.current = value
        self._replaced = True
        self._members = None

    def replace(self, value: Any, where: Where) -> None:
        """Sets this place to the whole of `value`, converted and checked."""
        try:
            self.current = convert(value, self.hint, where)
        except BadConfigValue as error:
            if not self._foreign or error.key != where.key:
                raise
            self.current = read_freely(value, where)  # the model knows its own types, and says what it refuses
        self._replaced = True
        self._members = None

    def build(self) -> Any:
        """The value with all changes in it; raises MissingConfigValue, RefusedConfig."""
        changes = {member.name: member.build() for member in (self._members or {}).values() if member.changed}
        kind = kind_of_value(self.current)
        if self.current is not MISSING and not changes:
            return self.current
        if kind is not None:
            return _guarded(self.key, type(self.current), lambda: kind.replace(self.current, changes))
        cls = self._class_to_build()
        if cls is not None:
            return _build(cls, changes, self.key)
        if self.current is MISSING and not changes:
            raise MissingConfigValue([self.key])
        return changes

    def iter_keys(self) -> Iterator[str]:
        """The dotted names of all places that can be set, inner ones included."""
        for name, member in self.members.items():
            yield name
            yield from (f"{name}.{inner}" for inner in member.iter_keys())

    def known_defaults(self) -> Any:
        """The value as far as it is known: of an object that lacks values, the members that have one."""
        if self.current is not MISSING:
            return self.current
        known = {member.name: member.known_defaults() for member in self.members.values()}
        known = {name: value for name, value in known.items() if value is not MISSING}
        return known if known or self._class_to_build() is not None else MISSING

    @property
    def _is_merged(self) -> bool:
        kind = kind_of_value(self.current)
        if kind is MAPPING:
            return bool(self.current) and is_free(self._item_hint())
        return kind is not None or self._class_to_build() is not None

    def _class_to_build(self) -> type | None:
        """The dataclass or model that the hint asks for while there is no such object yet."""
        classes = structure_classes(self.hint) if self.current is MISSING or self.current is None else []
        return classes[0] if len(classes) == 1 else None

    def _draft_members(self) -> Iterator[Draft]:
        kind = kind_of_value(self.current)
        cls = type(self.current) if kind is not None else self._class_to_build()
        if cls is None:
            return
        kind = kind or _kind_of(cls)
        fields = kind.members(cls)
        texts = parameter_texts(cls.__doc__) if fields else {}
        values = kind.values(self.current) if kind_of_value(self.current) is not None else {}
        for name in {**fields, **values}:
            field = fields.get(name)
            value = values.get(name, MISSING)
            if name not in values and field is not None and field.default is not None:
                value = field.default()
            hint = field.hint if field is not None else self._item_hint()
            where = Where(self.key).inside(key_text(name))
            draft = Draft(where.key, hint, value, name=name, foreign=kind.checks_itself)
            draft.description = (field.description if field is not None else "") or texts.get(str(name), "")
            yield draft

    def _item_hint(self) -> Any:
        pairs = [pair for member in union_members(self.hint) if (pair := mapping_of(member)) is not None]
        return pairs[0][1] if pairs else NO_HINT

    def _add_member(self, path: str) -> Draft | None:
        """A new key, where the place takes any: a mapping that is empty, or whose hint names the type of its values."""
        pairs = [pair for member in union_members(self.hint) if (pair := mapping_of(member)) is not None]
        is_mapping = isinstance(self.current, Mapping)
        typed = bool(pairs) and not is_free(pairs[0][1])
        empty = (is_mapping and not self.current) or (bool(pairs) and not is_mapping)
        if not path or not (typed or empty):
            return None
        key_hint, item_hint = pairs[0] if pairs else (NO_HINT, NO_HINT)
        nested = bool(structure_classes(item_hint)) or any(mapping_of(part) for part in union_members(item_hint))
        text, _, rest = path.partition(".") if nested else (path, "", "")
        where = Where(self.key).inside(text)
        name = text if is_free(key_hint) else convert(Scalar(text), key_hint, where)
        draft = self.members.setdefault(text, Draft(where.key, item_hint, MISSING, name=name))
        return draft.find(rest) if rest else draft

    def _find_known(self, path: str, source: str) -> Draft:
        found = self.find(path)
        if found is None:
            prefix = f"{self.key}." if self.key else ""
            raise UnknownConfigKey(prefix + path, [prefix + key for key in self.iter_keys()], source)
        return found


def build_structure(cls: type, values: Mapping[Any, Any], where: Where) -> Any:
    """A dataclass or model from a mapping of its fields, converted and checked."""
    draft = Draft(where.key, cls, MISSING)
    for key, value in values.items():
        draft._find_known(key_text(key), where.source).replace(value, where.inside(key_text(key)))
    return draft.build()


def _build(cls: type, values: dict[Any, Any], key: str) -> Any:
    kind = _kind_of(cls)
    missing = [name for name, field in kind.members(cls).items() if field.default is None and name not in values]
    buildable: dict[Any, Any] = {}
    absent: list[str] = []
    for name in missing:
        # A required field may be a structure whose own fields all have defaults.
        try:
            buildable[name] = Draft(Where(key).inside(name).key, kind.members(cls)[name].hint, MISSING).build()
        except MissingConfigValue as error:
            absent += error.keys
    if absent:
        raise MissingConfigValue(absent)
    return _guarded(key, cls, lambda: kind.build(cls, {**buildable, **values}))


def _kind_of(cls: type) -> StructureKind:
    return kind_of_class(cls) or MAPPING


def _guarded(key: str, cls: type, act: Any) -> Any:
    """What `act` gives; the user's class may refuse in `__post_init__` or a validator, with the error of its choice."""
    try:
        return act()
    except ConfigError:
        raise
    except (ValueError, TypeError, AssertionError, LookupError) as error:
        raise RefusedConfig(key, cls.__qualname__, _reasons(error, key)) from error


def _reasons(error: Exception, key: str) -> str:
    """The message of `error`; pydantic's, which is several lines long, as one sentence per field."""
    details = getattr(error, "errors", None)
    if not callable(details):
        return str(error) or type(error).__name__
    where = Where(key)
    sentences = []
    for detail in details():
        place = where.inside(".".join(str(part) for part in detail["loc"])) if detail["loc"] else where
        sentences.append(f"{place.key or 'it'}: {detail['msg']} (it was {shorten(detail['input'])})")
    return "; ".join(sentences)
