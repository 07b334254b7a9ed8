"""What can be said of an experiment beside its function, each once: for `@experiment(...)` and `Experiment(...)`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypedDict

from ..observer.errors import CloisterError

if TYPE_CHECKING:
    from ..observer.settings import CaptureMode, RanksMode
    from .console_filter import ConsoleFilter
    from .ingredient import Ingredient
    from .run import OnBadValue


class UnknownOption(CloisterError, TypeError):
    """An experiment was given an option that there is not."""

    def __init__(self, name: str) -> None:
        import difflib  # only a wrong name needs it

        nearest = difflib.get_close_matches(name, DEFAULTS, n=1)
        hint = f"Did you mean {nearest[0]!r}?" if nearest else f"There are {', '.join(DEFAULTS)}."
        super().__init__(f"@experiment takes no option {name!r}. {hint} What the function takes is in its signature.")


class Options(TypedDict, total=False):
    """The options by name; `experiment` says what each means."""

    project: str | None
    run_name: str | None
    tags: Sequence[str]
    notes: str
    config: Any
    ingredients: Sequence[Ingredient]
    presets: Mapping[str, Any]
    command_line: bool | None
    uri: str | None
    capture: CaptureMode | None
    hardware: bool
    on_bad_value: OnBadValue
    resume: int | str | None
    fork_from: Any
    ranks: RanksMode | None
    comment: str
    unobserved: bool
    enforce_clean: bool
    beat_interval: float | None
    visibility: str | None
    shared_with: Sequence[str] | None
    interruptions: Mapping[type[BaseException], str]
    console_filter: ConsoleFilter | None


DEFAULTS: Options = {
    "project": None,
    "run_name": None,
    "tags": (),
    "notes": "",
    "config": None,
    "ingredients": (),
    "presets": {},
    "command_line": None,
    "uri": None,
    "capture": None,
    "hardware": True,
    "on_bad_value": "warn",
    "resume": None,
    "fork_from": None,
    "ranks": None,
    "comment": "",
    "unobserved": False,
    "enforce_clean": False,
    "beat_interval": None,
    "visibility": None,
    "shared_with": None,
    "interruptions": {},
    "console_filter": None,
}


def complete(options: Options) -> Options:
    """`options` with the default of each that was left out; raises UnknownOption."""
    for name in options:
        if name not in DEFAULTS:
            raise UnknownOption(name)
    return {**DEFAULTS, **options}
