"""`Resolved`: the config of one call, and all that is known of how it came about."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from .assignments import Assignment, Write
from .changes import RECORDED_CHANGES, ConfigChange, find_changes, log_changes
from .namespace import Namespace, put_nested
from .plain import plain_value
from .root import Root
from .settled import Values
from .signature import ExperimentSignature

if TYPE_CHECKING:
    from ..run_options import RunOptions


@dataclass(frozen=True)
class Resolved:
    """The config of one call.

    Attributes:
        arguments: what the function is called with, by parameter, without what Cloister gives.
        config: what is recorded, nested and plain.
        defaults: the same before anybody set anything.
        overrides: what the call, files and the command line set, by dotted key; not what presets did.
        presets: the presets and files that were taken, in their order.
        options: what the command line says of the run itself.
        root: the entries with their hints and texts.
        writes: what was set where, in its order.
        given_by: which config function gave an entry.
        layout: the entries by default.
        prints_config: whether `--print-config` was said.
    """

    arguments: dict[str, Any]
    config: dict[str, Any]
    defaults: dict[str, Any]
    overrides: dict[str, Any]
    _signature: ExperimentSignature
    options: RunOptions
    presets: tuple[str, ...] = ()
    updates: tuple[Assignment, ...] = ()
    root: Root = field(kw_only=True)
    values: Values = field(kw_only=True)
    writes: Sequence[Write] = ()
    given_by: Mapping[str, str] = field(default_factory=dict)
    layout: Root = field(kw_only=True)
    prints_config: bool = False

    @cached_property
    def namespace(self) -> Namespace:
        """The values of all entries by name, as objects: what captured functions are filled from."""
        return self.values.namespace()

    @cached_property
    def changes(self) -> tuple[ConfigChange, ...]:
        """The entries that differ from their defaults."""
        return find_changes(self.config, self.defaults, self.writes, self.given_by, self._is_known)

    def _is_known(self, key: str) -> bool:
        *outer, name = key.split(".")
        place = self.layout.find(".".join(outer)) if outer else self.layout
        return place is not None and name in place.members

    @property
    def change_records(self) -> list[dict[str, Any]]:
        """The changes as a run keeps them."""
        return [change.as_record() for change in self.changes[:RECORDED_CHANGES]]

    @property
    def meta(self) -> dict[str, Any]:
        """What Sacred's readers look for in a run's `meta`: which presets were taken, and the single values, nested."""
        updates: dict[str, Any] = {}
        for assignment in self.updates:
            place = self.root.find_whole(assignment.path) or self.root.find_whole(assignment.path.replace("-", "_"))
            if place is not None:
                put_nested(updates, place.key, plain_value(place.build()))
        return {"named_configs": list(self.presets), "config_updates": updates}

    def announce(self, title: str) -> None:
        """Tells the log what differs from the defaults, and shows all of the config where that was asked for."""
        if self.prints_config:
            from .config_view import show_config  # rich takes 50 ms, which other trainings do not pay

            show_config(title, self, sys.stdout)
        log_changes(self.changes)

    def bind(self, run: Any = None, special: Mapping[str, Any] | None = None) -> inspect.BoundArguments:
        """The call: `bound = resolved.bind(run); function(*bound.args, **bound.kwargs)`.

        `special`: values of the parameters `_config`, `_log`, `_seed`, `_rnd`, for a function that takes them.
        """
        return self._signature.bind(self.arguments, run, special or {})
