"""The config of one call: presets and files over the defaults, single values over those, then what follows."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..seeds import SEED_LIMIT
from .assignments import CALL, CODE, COMMAND_LINE, RESUMED, Assignment, assignments_of, is_inside, overlap
from .changes import is_same
from .command_line import SOURCE, CommandLine, parse_command_line
from .computed import needs_of
from .computing import Pass, Settling, call_explained
from .draft import Draft
from .errors import BadConfigValue, ConfigClash, ConfigError
from .files import load_config_file
from .free_values import key_text
from .layers import Layer, as_layer
from .placing import inside
from .plain import plain_value
from .presets import Preset
from .resolved import Resolved
from .root import Root, read_source
from .script import HelpWanted
from .signature import INJECTED

if TYPE_CHECKING:
    from .spec import ConfigSpec

_logger = logging.getLogger("cloister")


@dataclass(frozen=True)
class Request:
    """What is asked for; see `ConfigSpec.resolve`."""

    call_args: tuple[Any, ...]
    call_kwargs: Mapping[str, Any]
    argv: Sequence[str] | None
    kept: Mapping[str, Any]
    updates: Mapping[str, Any]
    presets: tuple[Any, ...]


@dataclass(frozen=True)
class Sources:
    """A spec whose files have been read: makes roots of it."""

    spec: ConfigSpec
    given: tuple[Any, str]
    of_ingredients: Mapping[str, tuple[Any, str]]

    @classmethod
    def read(cls, spec: ConfigSpec) -> Sources:
        inner = {path: read_source(ingredient.given) for path, ingredient in spec.ingredients.items()}
        return cls(spec, read_source(spec.given), inner)

    def make_root(self) -> Root:
        """The entries with their defaults."""
        spec = self.spec
        command = None if spec.command is None else spec.called
        ingredients = {
            path: Root(
                ingredient.signature,
                *self.of_ingredients[path],
                key=path,
                command=command if path == spec.command_path else None,
            )
            for path, ingredient in spec.ingredients.items()
        }
        own_command = None if spec.command_path else command
        return Root(
            spec.signature,
            *self.given,
            ingredients=ingredients,
            command=own_command,
            taken_elsewhere=spec.taken_elsewhere,
        )

    def settling(self, assignments: Sequence[Assignment], *, is_forced: bool = False) -> Settling:
        parts = {"": self.spec, **self.spec.ingredients}
        asked_for = {path: part.taken_elsewhere.difference(INJECTED) for path, part in parts.items()}
        return Settling(self.make_root, self.spec.all_functions, assignments, asked_for, is_forced)

    def defaults(self) -> Pass:
        """All entries without anything set, as far as they can be known."""
        return self.settling(()).settle(tolerant=True)


def resolve(spec: ConfigSpec, sources: Sources, request: Request) -> Resolved:
    """See `ConfigSpec.resolve`."""
    before = sources.defaults()
    defaults = before.root.plain_defaults()
    line = CommandLine() if request.argv is None else parse_command_line(request.argv, before, spec)
    if line.wants_help:
        from .usage import render_usage  # only who wants help pays for it

        raise HelpWanted(render_usage(spec, before, {}))
    called = _assign_call(spec, request)
    updates = assignments_of(request.updates, CODE)
    typed = [Assignment(name, value, COMMAND_LINE, "put", may_add) for name, value, may_add in line.overrides]
    single = [*called, *updates, *typed]
    layers = [*(as_layer(item, spec) for item in request.presets), *line.layers]
    kept = _still_fitting(request.kept, sources, before)
    lower = _assign_layers(sources, layers, kept, single)
    settled = sources.settling([*lower, *single], is_forced=line.is_forced).settle()
    if request.kept:
        settled = _keep_computed(sources, settled, request.kept, [*lower, *single])
    _refuse_clash(settled)
    return _resolved(spec, settled, before, defaults, line, layers, [*updates, *typed])


def _resolved(
    spec: ConfigSpec,
    settled: Pass,
    before: Pass,
    defaults: dict[str, Any],
    line: CommandLine,
    layers: Sequence[Layer],
    updates: Sequence[Assignment],
) -> Resolved:
    root = settled.root
    values = root.settled_values()
    owner, own = root, values
    if spec.command_path:
        owner, own = root.ingredients[spec.command_path], values.ingredients[spec.command_path]
    arguments = owner.arguments_of(own)
    config = values.plain()
    _check_seed(config.get("seed"))
    # Found again by its key: a later override of an outer place has replaced the drafts inside it.
    named = [key for key, source in settled.placing.touched if source.kind in ("code", "file", "command line")]
    latest = [root.find_whole(key) for key in named]
    overrides = {draft.key: plain_value(draft.build()) for draft in latest if draft is not None}
    return Resolved(
        arguments,
        config,
        defaults,
        overrides,
        spec.called,
        line.options,
        tuple(layer.name for layer in layers if layer.name),
        tuple(updates),
        root=root,
        values=values,
        writes=settled.placing.writes,
        given_by=settled.given_by,
        layout=before.root,
        prints_config=line.prints_config,
    )


def _assign_layers(
    sources: Sources, layers: Sequence[Layer], kept: Sequence[Assignment], single: Sequence[Assignment]
) -> list[Assignment]:
    """What presets and files set, each seeing what those before it and the single values have set."""
    lower = list(kept)
    for layer in layers:
        values = values_of(layer, sources, [*lower, *single])
        lower += assignments_of(values, layer.assigned_by, prefix=layer.path)
    return lower


def values_of(layer: Layer, sources: Sources, known: Sequence[Assignment]) -> Mapping[str, Any]:
    """What a layer sets, with `known` being set already."""
    if isinstance(layer.source, Path):
        return {key_text(key): value for key, value in load_config_file(layer.source).items()}
    if not isinstance(layer.source, Preset):
        return layer.source
    preset = layer.source
    if preset.function is None:
        return preset.known_values()
    who = f"preset {preset.name!r}"
    needs = needs_of(preset.function, who)
    # Forced, because an entry that nobody has is refused later, with all that is known then.
    arguments = sources.settling(known, is_forced=True).values(layer.path, needs, who) if needs else {}
    return preset.read(call_explained(preset.function, arguments, who))


def _assign_call(spec: ConfigSpec, request: Request) -> list[Assignment]:
    named, further = spec.called.bind_call(request.call_args, request.call_kwargs)
    arguments = [Assignment(name, value, CALL, "call") for name, value in named.items()]
    return [*arguments, *(Assignment(name, value, CALL, "give") for name, value in further.items())]


def _still_fitting(kept: Mapping[str, Any], sources: Sources, before: Pass) -> list[Assignment]:
    """The values of a run that goes on, in the place of the defaults, as far as they still fit.

    What is computed is left to follow from the others: see `_keep_computed`.
    """
    trial = sources.make_root()
    fitting = []
    for key, value in _kept_values(before.root, kept):
        place = trial.find(key)
        if place is None or place.computed is not None or before.is_given(key):
            continue
        try:
            place.put(value, RESUMED.label)
        except ConfigError as error:
            _logger.warning("%s The default is taken instead.", error)
        else:
            fitting.append(Assignment(key, value, RESUMED, "put"))
    return [*fitting, *_kept_additions(before, kept)]


def _kept_additions(before: Pass, kept: Mapping[str, Any]) -> Iterator[Assignment]:
    """What the run that goes on was given beside the entries that there are, for whoever asks for it."""
    for path, part in {"": before.root, **before.root.ingredients}.items():
        for name, value in (_at(kept, path) if path else kept).items():
            key = inside(part, name)
            is_part = any(is_inside(other, key) for other in before.root.ingredients)
            if name in part.members or is_part or before.is_given(key):
                continue
            if part.takes_any or before.placing.may_be_added(key):
                yield Assignment(key, value, RESUMED, "put", may_add=True)


def _kept_values(root: Root, kept: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """The values of `kept` for the places that there are, where they are not the defaults."""
    for path, ingredient in root.ingredients.items():
        yield from _kept_members(ingredient, _at(kept, path))
    yield from _kept_members(root, kept)


def _kept_members(place: Draft, kept: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, member in place.members.items():
        if name not in kept or isinstance(member, Root):
            continue
        value = kept[name]
        if isinstance(value, Mapping) and member.is_merged:
            yield from _kept_members(member, value)
        # What only a text in angle brackets was kept of (a function, an array) is no value.
        elif not is_same(plain_value(member.known_defaults()), value) and not (
            isinstance(value, str) and value.startswith("<")
        ):
            yield member.key, value


def _at(tree: Mapping[str, Any], path: str) -> Mapping[str, Any]:
    """The mapping at a dotted path; an empty one where there is none."""
    found: Any = tree
    for name in path.split("."):
        found = found.get(name) if isinstance(found, Mapping) else None
    return found if isinstance(found, Mapping) else {}


def _keep_computed(sources: Sources, settled: Pass, kept: Mapping[str, Any], assignments: Sequence[Assignment]) -> Pass:
    """A computed entry that somebody had set in the run that goes on keeps that value: what follows from the run's
    own other values is another one."""
    old = _settled_or_none(sources, _still_fitting(kept, sources, sources.defaults()))
    if old is None:
        return settled
    fixed = []
    for key, value in _kept_values(old.root, kept):
        place = settled.root.find(key)
        if place is not None and (place.computed is not None or settled.is_given(key)):
            fixed.append(Assignment(key, value, RESUMED, "put"))
    return sources.settling([*fixed, *assignments]).settle() if fixed else settled


def _settled_or_none(sources: Sources, assignments: Sequence[Assignment]) -> Pass | None:
    try:
        return sources.settling(assignments).settle(tolerant=True)
    except ConfigError:
        return None


def _refuse_clash(settled: Pass) -> None:
    called = [key for key, source in settled.placing.touched if source is CALL]
    typed = [key for key, source in settled.placing.touched if source.kind in ("file", "command line")]
    clash = {key for key in typed for other in called if overlap(key, other)}
    if clash:
        raise ConfigClash(clash, "the call in the script", SOURCE)


def _check_seed(seed: Any) -> None:
    """A `seed` is set at the run's start; one that no generator takes is refused before there is a run."""
    if isinstance(seed, int) and not isinstance(seed, bool) and not 0 <= seed < SEED_LIMIT:
        raise BadConfigValue("seed", seed, f"a whole number from 0 to {SEED_LIMIT - 1}")
