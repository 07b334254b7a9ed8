"""Making a config's values: assignments over defaults, then the entries that follow from others, in the order of need.

Nothing is computed twice or too early: an entry is computed when the first one asks for it, or at the end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from .assignments import Assignment, Source, Write, is_inside
from .computed import needs_of
from .docstrings import parameter_texts
from .draft import Draft
from .errors import ConfigError, CyclicConfig, MissingConfigValue, UncomputableConfig, UnknownConfigKey, shorten
from .free_values import Where, key_text, parse_brackets
from .namespace import Namespace, put_nested
from .root import Root
from .structures import kind_of_value

ROUNDS = 50  # each learns at least one entry that a config function gives; who has more of them than that errs
# These may add entries to a function with **kwargs; a single word, which may be a slip, may not.
GIVES_NEW_KEYS = ("file", "preset", "preset file", "code")


class _StartOver(Exception):
    """A config function gave an entry that somebody had read before."""


@dataclass(frozen=True)
class ConfigFunction:
    """A function that gives entries of one part of the config: "" is the experiment, else an ingredient's path."""

    function: Callable[..., Any]
    path: str

    def __str__(self) -> str:
        return f"{getattr(self.function, '__name__', 'a config function')}()"


Asker = str | ConfigFunction  # who is computed: an entry by its key, or what a function gives


@dataclass
class Settling:
    """How to make the values of one config, and what is known of who gives which entry."""

    make_root: Callable[[], Root]
    functions: Sequence[ConfigFunction]
    assignments: Sequence[Assignment]
    is_forced: bool = False

    def settle(self, *, tolerant: bool = False) -> Pass:
        """All entries; raises ConfigError. `tolerant`: what cannot be computed stays without a value."""
        return self._repeated(lambda current: current.settle_all(tolerant=tolerant))[0]

    def values(self, path: str, names: Mapping[str, bool], who: Asker) -> dict[str, Any]:
        """The values of some entries of the part at `path`, and no more computed than they need."""

        def read(current: Pass) -> dict[str, Any]:
            owner = current.root.ingredients[path] if path else current.root
            return current.values_for(names, (owner,), who)

        values: dict[str, Any] = self._repeated(read)[1]
        return values

    def _repeated(self, act: Callable[[Pass], Any]) -> tuple[Pass, Any]:
        givers: dict[str, list[ConfigFunction]] = {}
        for _ in range(ROUNDS):
            current = Pass(self, givers)
            with suppress(_StartOver):
                return current, act(current)
        names = ", ".join(str(function) for function in self.functions)
        raise UncomputableConfig(names, "give other entries each time they are called, so there is no order for them")


class Pass:
    """One attempt: a root of its own, and what has been computed in it so far.

    Attributes:
        writes: what was set, in its order.
        touched: the places that assignments named, with their sources.
        waiting: assignments to entries that a config function may still give.
    """

    def __init__(self, settling: Settling, givers: dict[str, list[ConfigFunction]]) -> None:
        self.root = settling.make_root()
        self.writes: list[Write] = []
        self.touched: list[tuple[str, Source]] = []
        self.waiting: list[Assignment] = []
        self.given_by: dict[str, str] = {}  # the entries that config functions gave, by key
        self._settling = settling
        self._givers = givers
        self._done: set[ConfigFunction] = set()
        self._stuck: set[ConfigFunction] = set()  # not worth another guess before another function is done
        self._chain: list[Asker] = []  # who is being computed, and asks for the next
        self._readers: dict[str, Asker] = {}  # who read an entry first, by its key
        for assignment in settling.assignments:
            self._apply(assignment)

    def settle_all(self, *, tolerant: bool = False) -> None:
        accepted = (ConfigError,) if tolerant else ()
        for function in self._settling.functions:
            with suppress(*accepted):
                self._run(function)
        while unsettled := list(self.root.iter_unsettled()):
            for draft, owners in unsettled:
                with suppress(*accepted):
                    if draft.is_unsettled:
                        self._compute(draft, owners)
            if tolerant:
                break
        for assignment in self.waiting:
            self._add_or_refuse(assignment)

    def values_for(self, names: Mapping[str, bool], owners: tuple[Draft, ...], who: Asker) -> dict[str, Any]:
        """The entries that a function takes, looked up from the inside out."""
        values = {}
        for name, is_needed in names.items():
            found = self._find(name, owners, who)
            if found is not None:
                values[name] = self._value_of(*found, who)
            elif is_needed:
                known = [key for owner in owners for key in owner.members]
                known += [path for path in self.root.ingredients if path not in known]
                raise UnknownConfigKey(name, known, f"the arguments of {self._chain_to(who)}")
        return values

    # ---- looking up

    def _find(self, name: str, owners: tuple[Draft, ...], who: Asker) -> tuple[Any, tuple[Draft, ...]] | None:
        for index, owner in enumerate(owners):
            if isinstance(owner, Root):
                self._have_given(owner, name, who)
            if name in owner.members:
                return owner.members[name], owners[index:]
        return self._find_ingredient(name, owners[-1])

    def _find_ingredient(self, name: str, owner: Draft) -> tuple[Any, tuple[Draft, ...]] | None:
        """The ingredients under a name, as seen from a part: `data` is also what holds `data.paths`."""
        for path in [f"{owner.key}.{name}", name] if owner.key else [name]:
            found = {key: root for key, root in self.root.ingredients.items() if is_inside(key, path)}
            if found and owner not in found.values():
                return {key[len(path) + 1 :]: root for key, root in found.items()}, ()
        return None

    def _value_of(self, found: Any, owners: tuple[Draft, ...], who: Asker) -> Any:
        if isinstance(found, dict):
            return self._namespace_of(found, who)
        if isinstance(found, Root):
            return self._namespace_of({"": found}, who)
        for draft, inner_owners in list(found.iter_unsettled(owners)):
            self._compute(draft, inner_owners)
        self._readers.setdefault(found.key, who)
        try:
            return found.build()
        except MissingConfigValue as error:
            raise MissingConfigValue(error.keys, self._chain_to(who)) from None

    def _namespace_of(self, roots: dict[str, Root], who: Asker) -> Namespace:
        whole = Namespace()
        for path, root in roots.items():
            for function in self._settling.functions:
                if function.path == root.key:
                    self._run(function)
            for draft, owners in list(root.iter_unsettled()):
                self._compute(draft, owners)
            self._readers.setdefault(root.key, who)
            if path:
                put_nested(whole, path, root.build())
            else:
                whole.update(root.build())
        return whole

    def _have_given(self, owner: Root, name: str, who: Asker) -> None:
        """Has the config functions called that give an entry, or that may give it if nobody else has it."""
        for function in self._givers.get(_inside(owner, name), ()):
            if function != who:  # whoever takes what it gives itself is given the value below its own
                self._run(function)
        for function in self._settling.functions:
            if name in owner.members:
                return
            if function.path == owner.key and function not in self._chain and function not in self._stuck:
                try:
                    self._run(function)
                except ConfigError:  # it was only a guess: this one may need what those that are being called give
                    self._stuck.add(function)

    # ---- computing

    def _run(self, function: ConfigFunction) -> None:
        if function in self._done:
            return
        owner = self.root.ingredients[function.path] if function.path else self.root
        with self._asking(function):
            given = self._call(function.function, (owner,), function)
        kind = kind_of_value(given)
        if kind is None:
            returned = "None" if given is None else shorten(given)
            advice = "It has to return a mapping of entries: return {'width': 2 * hidden}"
            raise UncomputableConfig(str(function), f"returned {returned}. {advice}")
        self._done.add(function)
        self._stuck.clear()
        texts = parameter_texts(function.function.__doc__)
        for key, value in kind.values(given).items():
            self._set_given(owner, key_text(key), value, function, texts.get(key_text(key), ""))

    def _set_given(self, owner: Root, name: str, value: Any, function: ConfigFunction, text: str) -> None:
        key = _inside(owner, name)
        if any(is_inside(path, key) for path in self.root.ingredients):
            raise UncomputableConfig(
                str(function), f"gives {key!r}, which is an ingredient: its own config function has to"
            )
        known = self._givers.setdefault(key, [])
        if function not in known:
            known.append(function)
            if any(is_inside(read, key) and who != function for read, who in self._readers.items()):
                raise _StartOver
        place = owner.find(name) if not owner.is_further(name) or "." in name else None
        if place is None:
            owner.set_entry(name, value, text)
        else:
            place.give(value, f"what {function} returns")
        self.given_by[key] = str(function)
        self._repeat_inside(key)
        waiting, self.waiting = self.waiting, []
        for assignment in waiting:
            self._apply(assignment)

    def _compute(self, draft: Draft, owners: tuple[Draft, ...]) -> None:
        if draft.computed is None or not draft.is_unsettled:
            return
        entry = draft.computed
        with self._asking(draft.key):
            value = self._call(entry.function, owners, draft.key)
            draft.settle(value, repr(entry))
            self._repeat_inside(draft.key)

    def _call(self, function: Callable[..., Any], owners: tuple[Draft, ...], who: Asker) -> Any:
        return call_explained(
            function,
            self.values_for(needs_of(function, str(who)), owners, who),
            str(who),
            [str(asker) for asker in self._chain],
        )

    def _chain_to(self, who: Asker) -> str:
        """Who asks for whom, down to the one that asks for what there is not."""
        return " -> ".join(str(asker) for asker in (*self._chain[:-1], who))

    @contextmanager
    def _asking(self, who: Asker) -> Iterator[None]:
        if who in self._chain:
            raise CyclicConfig([str(asker) for asker in (*self._chain[self._chain.index(who) :], who)])
        self._chain.append(who)
        try:
            yield
        finally:
            self._chain.pop()

    # ---- what is set

    def _apply(self, assignment: Assignment) -> None:
        if assignment.how == "call":
            self._apply_argument(assignment)
            return
        place = self._place_of(assignment)
        if place is None:
            self.waiting.append(assignment)
            return
        given = assignment.value
        if isinstance(place, Root):  # its entries may be those of another ingredient, or be given later
            given = parse_brackets(given, "{", dict, Where(place.key, assignment.source.label))
        if isinstance(place, Root) and isinstance(given, dict):
            for key, part in given.items():
                inner = Assignment(_inside(place, key_text(key)), part, assignment.source, assignment.how)
                self._apply(inner)
            return
        self.touched.append((place.key, assignment.source))
        set_to = place.put if assignment.how == "put" else place.give
        for key, value in set_to(assignment.value, assignment.source.label):
            self.writes.append(Write(key, value, assignment.source, assignment.how))

    def _apply_argument(self, assignment: Assignment) -> None:
        for place in self.root.give_parameter(assignment.path, assignment.value):
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
        if place is None and not self.may_grow(assignment.path) and not self._may_add(assignment):
            raise UnknownConfigKey(assignment.path, list(root.iter_keys()), assignment.source.label)
        return place

    def may_grow(self, path: str) -> bool:
        """Whether a config function may give the entry that `path` names, or begins with."""
        owners = [key for key in self.root.ingredients if path.startswith(f"{key}.")]
        owner = max(owners, key=len, default="")
        name = path[len(owner) + 1 :] if owner else path
        members = self.root.ingredients[owner].members if owner else self.root.members
        is_known = any(is_inside(name, member) for member in members)
        return not is_known and any(function.path == owner for function in self._settling.functions)

    def _may_add(self, assignment: Assignment) -> bool:
        return assignment.may_add or self._settling.is_forced

    def _add_or_refuse(self, assignment: Assignment) -> None:
        """An entry that nobody has: added where that was asked for."""
        known = list(self.root.iter_keys())
        owner, name = self.root, assignment.path
        for path, ingredient in self.root.ingredients.items():
            if name.startswith(f"{path}."):
                owner, name = ingredient, name[len(path) + 1 :]
        if not self._may_add(assignment) or any(is_inside(name, member) for member in owner.members):
            raise UnknownConfigKey(assignment.path, known, assignment.source.label)
        entry, _, inner = name.partition(".")
        place = owner.set_entry(entry, {}) if inner else owner.set_entry(entry, None)
        target = place.find(inner) if inner else place
        if target is None:
            raise UnknownConfigKey(assignment.path, known, assignment.source.label)
        target.put(assignment.value, assignment.source.label)
        self.touched.append((target.key, assignment.source))
        self.writes.append(Write(target.key, assignment.value, assignment.source, "put"))

    def _repeat_inside(self, key: str) -> None:
        """Does again what was set at a place that has just been given a new value, or in it."""
        for write in self.writes:
            if is_inside(write.key, key):
                place = self.root.find(write.key)
                if place is None:
                    raise UnknownConfigKey(write.key, list(self.root.iter_keys()), write.source.label)
                (place.put if write.how == "put" else place.give)(write.value, write.source.label)


def call_explained(
    function: Callable[..., Any], arguments: Mapping[str, Any], who: str, chain: Sequence[str] = ()
) -> Any:
    """What a function of the user's gives; raises UncomputableConfig for whatever it raises."""
    try:
        return function(**arguments)
    except ConfigError:
        raise
    except Exception as error:
        # Wide on purpose: it is the user's function. It becomes one sentence; the traceback hangs on it.
        given = ", ".join(f"{name}={shorten(value)}" for name, value in arguments.items())
        reason = f"cannot be computed from {given or 'nothing'}: {type(error).__name__}: {error}"
        raise UncomputableConfig(who, reason, chain) from error


def _inside(owner: Draft, name: str) -> str:
    return f"{owner.key}.{name}" if owner.key else name
