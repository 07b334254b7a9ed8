"""Putting assignments into the places of a root: those that there are, may come to be, or may be added."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Literal

from .assignments import Assignment, Source, Write, is_inside
from .computed import Computed
from .draft import Draft
from .errors import UnknownConfigKey
from .free_values import Where, key_text, parse_brackets
from .root import Root

# These may add entries to a function with **kwargs; a single word, which may be a slip, may not.
GIVES_NEW_KEYS = ("file", "preset", "preset file", "code")


class Placing:
    """What has been set in one root.

    Args:
        root: the entries.
        growing: the parts, by path, whose config functions may give further entries.
        asked_for: by part, the entries that captured functions ask for: they may be added.
        is_forced: whether any may be added.

    Attributes:
        writes: what was set, in its order.
        touched: the places that assignments named, with their sources.
    """

    def __init__(
        self, root: Root, growing: Collection[str], asked_for: Mapping[str, Collection[str]], *, is_forced: bool
    ) -> None:
        self.root = root
        self.writes: list[Write] = []
        self.touched: list[tuple[str, Source]] = []
        self._growing = growing
        self._asked_for = asked_for
        self._is_forced = is_forced
        self._is_finished = False
        self._waiting: list[Assignment] = []  # for entries that a config function may still give

    def apply(self, assignment: Assignment) -> None:
        """Sets what an assignment says, now or once there is such an entry; raises ConfigError."""
        if assignment.how == "call":
            self._apply_argument(assignment)
            return
        place = self._place_of(assignment)
        if place is None and not self._may_come(assignment.path):
            self._add_or_refuse(assignment)
        elif place is None:
            self._waiting.append(assignment)
        else:
            self._set(place, assignment)

    def _set(self, place: Draft, assignment: Assignment) -> None:
        given = assignment.value
        if isinstance(place, Root):  # its entries may be those of another ingredient, or be given later
            given = parse_brackets(given, "{", dict, Where(place.key, assignment.source.label))
        if isinstance(place, Root) and isinstance(given, dict):
            for key, part in given.items():
                inner = Assignment(inside(place, key_text(key)), part, assignment.source, assignment.how)
                self.apply(inner)
            return
        self.touched.append((place.key, assignment.source))
        set_to = place.put if assignment.how == "put" else place.give
        for key, value in set_to(assignment.value, assignment.source.label):
            how: Literal["put", "give"] = "put" if assignment.how == "put" else "give"
            self.writes.append(Write(key, value, assignment.source, how))

    def _apply_argument(self, assignment: Assignment) -> None:
        for place in self.root.give_parameter(assignment.path, assignment.value):
            if place.is_unsettled:
                continue  # a field of the object that was given: it follows from the others
            self.touched.append((place.key, assignment.source))
            self.writes.append(Write(place.key, place.current, assignment.source, "give"))

    def _place_of(self, assignment: Assignment) -> Draft | None:
        """Where an assignment goes; None while a config function may still give it."""
        root, kind = self.root, assignment.source.kind
        root.takes_new_keys = kind in GIVES_NEW_KEYS
        place = root.find(assignment.path)
        root.takes_new_keys = False
        if place is None and kind == "command line" and "-" in assignment.path:
            place = root.find(assignment.path.replace("-", "_"))
        return place

    def may_grow(self, path: str) -> bool:
        """Whether a config function may give the entry that `path` names, or begins with."""
        owner, name = self._owner_of(path)
        is_known = any(is_inside(name, member) for member in owner.members)
        return not is_known and owner.key in self._growing

    def _may_come(self, path: str) -> bool:
        return not self._is_finished and self.may_grow(path)

    def may_be_added(self, path: str) -> bool:
        """Whether an entry that nobody has may be set: a captured function asks for it."""
        owner, name = self._owner_of(path)
        return self._is_forced or name.partition(".")[0] in self._asked_for.get(owner.key, ())

    def known_keys(self) -> list[str]:
        """What can be set: the entries, and those that captured functions ask for."""
        asked = [f"{path}.{name}" if path else name for path, names in self._asked_for.items() for name in names]
        return list(dict.fromkeys([*self.root.iter_keys(), *sorted(asked)]))

    def _may_add(self, assignment: Assignment) -> bool:
        return assignment.may_add or self.may_be_added(assignment.path)

    def _owner_of(self, path: str) -> tuple[Root, str]:
        """The part that an entry belongs to, and its name there."""
        outer = max((key for key in self.root.ingredients if path.startswith(f"{key}.")), key=len, default="")
        return (self.root.ingredients[outer], path[len(outer) + 1 :]) if outer else (self.root, path)

    def _add_or_refuse(self, assignment: Assignment) -> None:
        """An entry that nobody has by now: added where that was asked for."""
        if (place := self.root.find(assignment.path)) is not None:
            self._set(place, assignment)
            return
        known = self.known_keys()
        owner, name = self._owner_of(assignment.path)
        if not self._may_add(assignment) or any(is_inside(name, member) for member in owner.members):
            raise UnknownConfigKey(assignment.path, known, assignment.source.label)
        entry, _, inner = name.partition(".")
        place = owner.set_entry(entry, {} if inner else None)
        target = place.find(inner) if inner else place
        if target is None:
            raise UnknownConfigKey(assignment.path, known, assignment.source.label)
        self._set(target, assignment)

    def apply_waiting(self) -> None:
        """Sets what had no entry before, as far as there is one now."""
        waiting, self._waiting = self._waiting, []
        for assignment in waiting:
            self.apply(assignment)

    def add_waiting(self, key: str) -> None:
        """Adds an entry that somebody needs and only an assignment has, where it may be added."""
        for assignment in list(self._waiting):
            if is_inside(assignment.path, key) and self._may_add(assignment):
                self._waiting.remove(assignment)
                self._add_or_refuse(assignment)

    def finish(self) -> None:
        """Nothing is given any more: what has no entry is added or refused."""
        self._is_finished = True
        self.apply_waiting()

    def repeat_inside(self, key: str) -> None:
        """Does again what was set at a place that has just been given a new value, or in it."""
        for write in self.writes:
            if is_inside(write.key, key):
                place = self.root.find(write.key)
                if place is None:
                    raise UnknownConfigKey(write.key, self.known_keys(), write.source.label)
                if isinstance(write.value, Computed) and place.computed is write.value:
                    continue  # it is what has just been computed
                (place.put if write.how == "put" else place.give)(write.value, write.source.label)


def inside(owner: Draft, name: str) -> str:
    """The key of what is called so in a place."""
    return f"{owner.key}.{name}" if owner.key else name
