"""Making a config's values: assignments over defaults, then the entries that follow from others, in the order of need.

Nothing is computed twice or too early: an entry is computed when the first one asks for it, or at the end.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from .assignments import Assignment, is_inside
from .computed import needs_of
from .docstrings import parameter_texts
from .draft import Draft
from .errors import ConfigError, CyclicConfig, MissingConfigValue, UncomputableConfig, UnknownConfigKey, shorten
from .free_values import key_text
from .namespace import Namespace, put_nested
from .placing import Placing, inside
from .root import Root
from .structures import kind_of_value

ROUNDS = 50  # each learns at least one entry that a config function gives; who has more of them than that errs


class _StartOver(Exception):
    """A config function gave an entry that somebody had read before."""


@dataclass(frozen=True)
class ConfigFunction:
    """A function that gives entries of one part of the config: "" is the experiment, else an ingredient's path."""

    function: Callable[..., Any]
    path: str

    def __str__(self) -> str:
        name = getattr(self.function, "__name__", "a config function")
        return name if " " in name else f"{name}()"  # ours are told in words


Asker = str | ConfigFunction  # who is computed: an entry by its key, or what a function gives


@dataclass
class Settling:
    """How to make the values of one config.

    Attributes:
        asked_for: by part, the entries that captured functions ask for: they may be added, whoever has them or not.
        is_forced: whether any entry may be added.
    """

    make_root: Callable[[], Root]
    functions: Sequence[ConfigFunction]
    assignments: Sequence[Assignment]
    asked_for: Mapping[str, Collection[str]] = field(default_factory=dict)
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
        placing: what has been set in the root.
        given_by: the entries that config functions gave, by key, and which.
    """

    def __init__(self, settling: Settling, givers: dict[str, list[ConfigFunction]]) -> None:
        growing = {function.path for function in settling.functions}
        self.root = settling.make_root()
        self.placing = Placing(self.root, growing, settling.asked_for, is_forced=settling.is_forced)
        self.given_by: dict[str, str] = {}
        self._settling = settling
        self._givers = givers
        self._done: set[ConfigFunction] = set()
        self._stuck: set[ConfigFunction] = set()  # not worth another guess before another function is done
        self._chain: list[Asker] = []  # who is being computed, and asks for the next
        self._readers: dict[str, Asker] = {}  # who read an entry first, by its key
        for assignment in settling.assignments:
            self.placing.apply(assignment)

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
        self.placing.finish()

    def is_given(self, key: str) -> bool:
        """Whether a config function gave an entry, or what it stands in."""
        return any(is_inside(key, given) for given in self.given_by)

    def values_for(self, names: Mapping[str, bool], owners: tuple[Draft, ...], who: Asker) -> dict[str, Any]:
        """The entries that a function takes, looked up from the inside out."""
        values = {}
        for name, is_needed in names.items():
            found = self._find(name, owners, who) or self._find_added(name, owners)
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

    def _find_added(self, name: str, owners: tuple[Draft, ...]) -> tuple[Any, tuple[Draft, ...]] | None:
        """An entry that is only set, and that no config function has given so far."""
        root = owners[-1]
        self.placing.add_waiting(inside(root, name))
        return (root.members[name], (root,)) if name in root.members else None

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
        for function in self._givers.get(inside(owner, name), ()):
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
        key = inside(owner, name)
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
        self.placing.repeat_inside(key)
        self.placing.apply_waiting()

    def _compute(self, draft: Draft, owners: tuple[Draft, ...]) -> None:
        if draft.computed is None or not draft.is_unsettled:
            return
        entry = draft.computed
        with self._asking(draft.key):
            value = self._call(entry.function, owners, draft.key)
            draft.settle(value, repr(entry))
            self.placing.repeat_inside(draft.key)

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
