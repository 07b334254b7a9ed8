"""A nested value that is being changed: finds places by their dotted path, collects changes, then builds once.

Once, because a dataclass may check its fields together: `low=2 high=3` must not fail for the moment between the two.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

from .computed import Computed, holds_computed
from .convert import convert
from .docstrings import parameter_texts
from .errors import BadConfigValue, ConfigError, MissingConfigValue, RefusedConfig, UnknownConfigKey, shorten
from .free_values import Where, key_text, parse_brackets, read_freely
from .hints import NO_HINT, hint_of_default, is_free, mapping_of, sequence_of, union_members, with_none
from .literals import Scalar
from .namespace import Namespace
from .structures import MAPPING, StructureKind, kind_of_class, kind_of_value, structure_classes

MISSING: Any = NO_HINT  # there is no value yet; one object serves for both, as in `inspect`


class Draft:
    """One place in a config: its value so far, its hint, and the drafts of what is in it."""

    def __init__(self, key: str, hint: Any, current: Any, *, name: Any = None, foreign: bool = False) -> None:
        self.key = key
        self.name = name  # the key in the mapping, or the field's name, as the owner spells it
        self.computed = current if isinstance(current, Computed) else None
        if self.computed is not None:
            current = MISSING
            hint = self.computed.hint if hint is NO_HINT else hint
        self.is_inferred = is_free(hint) and hint is not Any
        self.hint = hint_of_default(current) if self.is_inferred else with_none(hint) if current is None else hint
        self.current = current
        self.description = ""
        self.is_item = False  # of a list
        self._foreign = foreign  # a member of a class that converts and checks by itself
        self._replaced = False
        self._settled = False
        self._members: dict[str, Draft] | None = None
        self._items: dict[int, Draft] = {}

    @property
    def changed(self) -> bool:
        """Whether whoever holds this place has to be built anew."""
        if self._replaced or self._settled or self.is_unsettled:
            return True
        return any(part.changed for part in (*(self._members or {}).values(), *self._items.values()))

    @property
    def is_unsettled(self) -> bool:
        """Whether the value is still to be computed."""
        return self.computed is not None and not self._replaced and not self._settled

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
        return self._find_item(path) or self._add_member(path)

    def find_whole(self, path: str) -> Draft | None:
        """As `find`, but for an item of a list the list: what is told of a change."""
        place = self.find(path)
        while place is not None and place.is_item:
            place = self.find(place.key.rpartition(".")[0])
        return place

    def put(self, value: Any, source: str) -> list[tuple[str, Any]]:
        """Sets this place. Of a structure, a mapping changes only the keys that it names. Says what was set to what."""
        where = Where(self.key, source)
        if self.is_merged:
            value = parse_brackets(value, "{", self.hint, where)
            if isinstance(value, dict) and (value or self.current is not None):
                parts = ((self._find_known(key_text(key), source), part) for key, part in value.items())
                return [written for place, part in parts for written in place.put(part, source)]
        self.replace(value, where)
        return [(self.key, value)]

    def give(self, value: Any, source: str) -> list[tuple[str, Any]]:
        """As `put`, for what code gave: see `take`."""
        if self.is_merged and type(value) in (dict, Namespace) and (value or self.current is not None):
            parts = ((self._find_known(key_text(key), source), part) for key, part in value.items())
            return [written for place, part in parts for written in place.give(part, source)]
        self.take(value, source)
        return [(self.key, value)]

    def take(self, value: Any, source: str = "") -> None:
        """Sets this place to what code gave. Without a hint code is taken at its word: the default's type only guesses
        what text may mean."""
        if isinstance(value, Computed):
            self.computed = value
            self._replaced = self._settled = False
            self.current = MISSING
            self._forget_parts()
            return
        if not self.is_inferred:
            self.replace(value, Where(self.key, source))
            return
        self.current = value
        self._replaced = True
        self._forget_parts()

    def settle(self, value: Any, source: str) -> None:
        """Sets this place to what was computed for it; changes inside it have to be made again."""
        self.current = MISSING
        self._forget_parts()
        self.give(value, source)
        self._settled = True

    def replace(self, value: Any, where: Where) -> None:
        """Sets this place to the whole of `value`, converted and checked."""
        try:
            self.current = convert(value, self.hint, where)
        except BadConfigValue as error:
            if not self._foreign or error.key != where.key:
                raise
            self.current = read_freely(value, where)  # the model knows its own types, and says what it refuses
        self._replaced = True
        self._forget_parts()

    def build(self) -> Any:
        """The value with all changes in it; raises MissingConfigValue, RefusedConfig, UnknownConfigKey (an item)."""
        if self.is_unsettled:
            raise MissingConfigValue([self.key])
        if self._items:
            return self._build_items()
        changes = {member.name: member.build() for member in self._changing_members.values() if member.changed}
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

    @property
    def holds_computed(self) -> bool:
        """Whether there are computed entries inside this place."""
        return holds_computed(self.current, self._class_to_build())

    def iter_unsettled(self, owners: tuple[Draft, ...] = ()) -> Iterator[tuple[Draft, tuple[Draft, ...]]]:
        """The places that are still to be computed, this one or those inside it, each with those that it stands in."""
        if self.is_unsettled:
            yield self, owners
            return
        for member in self._changing_members.values():
            yield from member.iter_unsettled((self, *owners))

    def iter_keys(self) -> Iterator[str]:
        """The dotted names of all places that can be set, inner ones included."""
        for name, member in self.members.items():
            yield name
            yield from (f"{name}.{inner}" for inner in member.iter_keys())

    def known_defaults(self) -> Any:
        """The value as far as it is known: of an object that lacks values, the members that have one."""
        if self.changed:
            with suppress(ConfigError):
                return self.build()
        elif self.current is not MISSING and not self.holds_computed:
            return self.current
        known = {member.name: member.known_defaults() for member in self.members.values()}
        known = {name: value for name, value in known.items() if value is not MISSING}
        return known if known or self._class_to_build() is not None else MISSING

    @property
    def is_merged(self) -> bool:
        kind = kind_of_value(self.current)
        if kind is MAPPING:
            return bool(self.current) and is_free(self._item_hint())
        return kind is not None or self._class_to_build() is not None

    @property
    def _changing_members(self) -> dict[str, Draft]:
        """The members that may be another thing than they are in `current`."""
        return self.members if self.holds_computed else self._members or {}

    def _forget_parts(self) -> None:
        self._members = None
        self._items = {}

    def _find_item(self, path: str) -> Draft | None:
        """The place of an item of a list: `layers.0`. Whether there is such an item shows once the list is known."""
        text, _, rest = path.partition(".")
        known = self.current if isinstance(self.current, (list, tuple)) else ()
        hints = [found[1] for part in union_members(self.hint) if (found := sequence_of(part)) is not None]
        if not (text.isascii() and text.isdecimal() and len(text) < 7) or not (known or hints):
            return None
        index = int(text)
        if index not in self._items:
            hint = _item_hint_of(hints[0] if hints else (), index)
            value = known[index] if index < len(known) else MISSING
            self._items[index] = Draft(Where(self.key).inside(index).key, hint, value, name=index)
            self._items[index].is_item = True
        return self._items[index].find(rest) if rest else self._items[index]

    def _build_items(self) -> Any:
        changes = {index: item for index, item in self._items.items() if item.changed}
        items = list(self.current) if isinstance(self.current, (list, tuple)) else []
        for index, item in changes.items():
            if index >= len(items):
                raise UnknownConfigKey(item.key, [Where(self.key).inside(known).key for known in range(len(items))])
            items[index] = item.build()
        if not changes:
            return self.current
        kind = type(self.current)
        return kind(*items) if hasattr(kind, "_fields") else kind(items)

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


def _item_hint_of(items: tuple[Any, ...], index: int) -> Any:
    """The hint of one item, where those of the sequence are `items`: (int, ...) as well as (int, str)."""
    if not items or items == ((),):
        return NO_HINT
    if len(items) == 1 or items[-1] is ...:
        return items[0]
    return items[index] if index < len(items) else NO_HINT


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
