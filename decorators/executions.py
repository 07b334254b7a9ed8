"""What runs are going on in this process, as captured functions see them: whom they serve, and with which values."""

from __future__ import annotations

import itertools
import logging
import sys
import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from .active_runs import NoRun, current_run
from .captured import (
    DRAWN,
    SPECIALS,
    Captured,
    Filling,
    MissingArgument,
    NoRunToFillFrom,
    NoSuchPrefix,
    current_fillings,
)
from .config.errors import MissingConfigValue
from .function_log import function_log
from .read_only import ReadOnlyDict, read_only
from .seeds import derive_seed, make_generator
from .values_by_path import ABSENT, known_names, look_up, members_of

if TYPE_CHECKING:
    from .part import Part
    from .run import Run

logger = logging.getLogger("cloister")


class Execution:
    """One call of an experiment's command: the config that it has, and what captured functions get of it.

    Args:
        name: the experiment's name.
        places: the parts that are served, each with the path of its namespace; the experiment's own is "".
        values: the config as the functions get it, by top-level name.
        config: the config as it is recorded.
        run: what is being recorded; None where nothing is.
        seed: what the seeds of the functions follow from.
        missing: entries that nobody has given a value, by their dotted keys.
    """

    def __init__(
        self,
        *,
        name: str,
        places: Mapping[Part, str],
        values: Mapping[str, Any],
        config: Mapping[str, Any],
        run: Run | None,
        seed: int | None,
        missing: Collection[str] = (),
    ) -> None:
        self.name = name
        self.run = run
        self.config: ReadOnlyDict = read_only(dict(config))
        self.places = dict(places)
        self.fillings: dict[Captured, Filling] = {}
        self.outer: Execution | None = None
        self._values = {key: read_only(value) for key, value in values.items()}
        self._seed = seed
        self._missing = frozenset(missing)

    def filling_of(self, captured: Captured) -> Filling:
        """What `captured` is given here; made at its first call."""
        filling = self.fillings.get(captured)
        # setdefault: of two threads that make one at a time, both take the same, whose calls are counted together.
        return filling or self.fillings.setdefault(captured, self._fill(captured))

    def check(self, captured: Captured) -> None:
        """Raises MissingArgument or NoSuchPrefix if `captured` could not be called without arguments, in a run."""
        names = [name for name in self._fill(captured).absent[0] if name not in ("run", "_run")]
        if names:
            raise self._fill(captured).explain(names)

    def specials_of(self, captured: Captured) -> dict[str, Any]:
        """`_config`, `_log`, `_seed`, `_rnd`, as far as a function asks for them that is called in another way."""
        filling = self.filling_of(captured)
        given = {**filling.by_count[0], **dict(zip(captured.positional, filling.tail, strict=False))}
        if filling.draw is not None:
            filling.draw(0, given)
        return {name: given[name] for name in SPECIALS if name in given and name in captured.names}

    def _fill(self, captured: Captured) -> Filling:
        found = self._namespace(captured)
        specials: dict[str, Any] = {"_config": self._config_of(captured)}
        if "_log" in captured.names:
            specials["_log"] = function_log(self.name, self.places[captured.owner], captured.name)
        if self.run is not None:
            specials.update(run=self.run, _run=self.run)
        known = known_names(found)

        def explain(names: Collection[str]) -> Exception:
            if not set(names).isdisjoint(("run", "_run")):
                return NoRunToFillFrom(captured.label, names, captured.owner.described)
            where = self._path(captured)
            if keys := self._missing.intersection(f"{where}.{name}" if where else name for name in names):
                return MissingConfigValue(sorted(keys), f"{captured.label}()")
            return MissingArgument(captured.label, names, self._place(where), known)

        return make_filling(captured, {**found, **specials}, explain, self._draw(captured))

    def _namespace(self, captured: Captured) -> dict[str, Any]:
        """The entries that `captured` is filled from, by name."""
        entries = self._entries(captured.owner, self._values)
        if not captured.prefix:
            return entries
        found = look_up(entries, captured.prefix)
        if found is ABSENT:
            place = self._place(self.places[captured.owner])
            raise NoSuchPrefix(captured.label, captured.prefix, place, known_names(entries))
        return members_of(found)

    def _entries(self, owner: Part, root: Mapping[str, Any]) -> dict[str, Any]:
        path = self.places[owner]
        found = members_of(look_up(root, path)) if path else dict(root)
        for used in owner.ingredients:
            inner = used.path.removeprefix(f"{path}.") if path else used.path
            # One whose path lies elsewhere is seen under its whole path: `paths` inside of `data`, as in Sacred.
            if look_up(found, inner) is ABSENT and (value := look_up(root, used.path)) is not ABSENT:
                found[inner] = value
        return found

    def _config_of(self, captured: Captured) -> Any:
        entries = self._entries(captured.owner, self.config)
        found = look_up(entries, captured.prefix) if captured.prefix else entries
        return read_only(dict(found) if isinstance(found, Mapping) else found)

    def _path(self, captured: Captured) -> str:
        return ".".join(filter(None, (self.places[captured.owner], captured.prefix)))

    def _place(self, path: str) -> str:
        return f"the config's {path!r}" if path else f"the config of {self.name!r}"

    def _draw(self, captured: Captured) -> Callable[[int, dict[str, Any]], None] | None:
        wanted = {name: _place_of(name, captured) for name in DRAWN if name in captured.names}
        if not wanted:
            return None
        calls = itertools.count(1)  # its next() is atomic: threads never draw the same
        # Not its module, which is __main__ for whoever starts the script and something else for whoever imports it.
        identity = (self.places[captured.owner], captured.function.__qualname__, captured.twins)

        def draw(by_place: int, given: dict[str, Any]) -> None:
            missing = [name for name, place in wanted.items() if place >= by_place and name not in given]
            if not missing:
                return
            seed = given["_seed"] if "_seed" in given else derive_seed(self._run_seed(captured), *identity, next(calls))
            given.update({name: seed if name == "_seed" else make_generator(seed) for name in missing})

        return draw

    def _run_seed(self, captured: Captured) -> int:
        if self._seed is None:
            # Defined or imported after the run had started, else there would be a seed in its config.
            self._seed = derive_seed(None)
            logger.warning(
                "%s() draws random numbers, and the config of this run has no seed: it cannot be repeated. Give the "
                "experiment a parameter 'seed', or capture the function before the run starts.",
                captured.label,
            )
        return self._seed


def _place_of(name: str, captured: Captured) -> float:
    return captured.positional.index(name) if name in captured.positional else float("inf")


def make_filling(
    captured: Captured,
    values: Mapping[str, Any],
    explain: Callable[[Collection[str]], Exception],
    draw: Callable[[int, dict[str, Any]], None] | None,
) -> Filling:
    """How `captured` is called where these are the values by name."""
    drawn = DRAWN if draw is not None else ()
    by_name = captured.positional[: captured.only_positional]
    filled = {name: values[name] for name in captured.names if name in values}
    lacking = [name for name in captured.names if not (name in filled or name in captured.defaults or name in drawn)]
    counts = range(len(captured.positional) + 1)
    taken = [set(captured.positional[:count]) for count in counts]
    return Filling(
        by_count=tuple(
            {name: value for name, value in filled.items() if name not in taken[count] and name not in by_name}
            for count in counts
        ),
        absent=tuple(tuple(name for name in lacking if name not in taken[count]) for count in counts),
        places=len(captured.positional),
        tail=tuple({**captured.defaults, **filled}.get(name) for name in by_name),
        draw=draw,
        explain=explain,
    )


_current: ContextVar[Execution | None] = ContextVar("cloister_current_execution", default=None)
_travelling = threading.Lock()
_active: list[Execution] = []  # innermost last; for threads, which do not inherit their starter's context


@contextmanager
def executing(execution: Execution) -> Iterator[Execution]:
    """Captured functions are filled from `execution` while the block runs: here, in threads, in forked children."""
    execution.outer = _current.get()
    token, fillings = _current.set(execution), current_fillings.set(execution.fillings)
    _active.append(execution)
    try:
        yield execution
    finally:
        _active.remove(execution)
        current_fillings.reset(fillings)
        _current.reset(token)


def find_execution(owner: Part) -> Execution | None:
    """The innermost execution that serves `owner`: of this context, else of this process."""
    execution = _current.get()
    while execution is not None:
        if owner in execution.places:
            return execution
        execution = execution.outer
    return next((active for active in reversed(_active) if owner in active.places), None)


def find_filling(captured: Captured) -> Filling:
    """What `captured` is given where it is called now. Outside of a run it is the function as it is written."""
    execution = find_execution(captured.owner) or _of_travelled_run(captured.owner)
    if execution is not None:
        return execution.filling_of(captured)
    return _outside.get(captured) or _outside.setdefault(captured, _fill_outside(captured))


_outside: WeakKeyDictionary[Captured, Filling] = WeakKeyDictionary()


def _fill_outside(captured: Captured) -> Filling:
    told: list[str] = []

    def explain(names: Collection[str]) -> Exception:
        return NoRunToFillFrom(captured.label, names, captured.owner.described)

    def tell(by_place: int, given: Mapping[str, Any]) -> None:
        """Says so where a spawned process would go on with other values than its run has."""
        left = [name for name in captured.names if name not in given and _place_of(name, captured) >= by_place]
        if not told and not set(left) <= set(SPECIALS) and _is_spawned():
            told.extend(left)
            logger.warning(
                "%s() has its own default of %s: this process was started anew, and knows no run. Give it the run, "
                "whose config it then has: Process(target=..., args=(run, ...)), or initargs=(run,) of a pool.",
                captured.label,
                ", ".join(map(repr, left)),
            )

    return replace(make_filling(captured, {}, explain, None), draw=tell)


def _is_spawned() -> bool:
    multiprocessing = sys.modules.get("multiprocessing.process")
    return multiprocessing is not None and multiprocessing.parent_process() is not None


def _of_travelled_run(owner: Part) -> Execution | None:
    """That of a run which was handed to this process at its start: its config is what the run has recorded.

    A spawned process has imported the script anew, so nothing else is left of the execution there.
    """
    try:
        run = current_run()
    except NoRun:
        return None
    config = dict(run.config)
    seed = config.get("seed")
    import multiprocessing  # a process that was started with a run has it already

    inside = look_up(config, owner.path) is not ABSENT if owner.path else run.experiment == owner.name
    if not run.belongs_to_parent or not inside:
        return None
    execution = Execution(
        name=run.experiment,
        places={part: part.path for part in owner.iter_parts()},
        values=config,
        config=config,
        run=run,
        # Each process its own numbers: their names tell them apart, and are the same each time.
        seed=None if seed is None else derive_seed(seed, multiprocessing.current_process().name),
    )
    with _travelling:  # two threads of a process that has just started
        known = find_execution(owner)
        if known is None:
            _active.append(execution)
    return known or execution
