"""The options of a run, as scripts and `cloister run` take them on the command line: one row for each."""

from __future__ import annotations

import logging
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

from ..observer.errors import CloisterError

if TYPE_CHECKING:
    from .run_start import RunPlan

_COLUMN = 29


class BadRunOption(CloisterError, ValueError):
    """An option of the run has no value, or one that makes no sense."""

    def __init__(self, flag: str, problem: str) -> None:
        super().__init__(f"The option {flag} {problem}.")


class UnknownRunOption(CloisterError, TypeError):
    """`train.run` was given an option that runs do not have."""

    def __init__(self, name: str) -> None:
        import difflib  # only a wrong name needs it

        nearest = difflib.get_close_matches(name, KNOWN_IN_CODE, n=1)
        hint = f"Did you mean {nearest[0]!r}?" if nearest else f"They have {', '.join(KNOWN_IN_CODE)}."
        hint = "Call .queue(...) in place of .run(...)." if name == "queue" else hint
        super().__init__(f"A run has no option {name!r}. {hint} Values of the config go into config_updates={{...}}.")


@dataclass(frozen=True)
class RunOption:
    """One option.

    Attributes:
        name: the field of `RunOptions` that it sets.
        flags: as they are written, the long one first.
        value: what its value is called in the help; None for one that has no value.
        repeats: whether it may be given more than once, each time with one more value.
        parse: makes the value of its text; raises ValueError with what is wrong with it.
    """

    name: str
    flags: tuple[str, ...]
    help: str
    value: str | None = None
    repeats: bool = False
    parse: Callable[[str], Any] = str


@dataclass(frozen=True)
class RunOptions:
    """What was asked of a run beside its config. None, False and () where nothing was said."""

    resume: str | None = None
    fork_from: str | None = None
    comment: str | None = None
    priority: float | None = None
    queue: bool = False
    unobserved: bool = False
    enforce_clean: bool = False
    beat_interval: float | None = None
    visibility: str | None = None
    shared_with: tuple[str, ...] = ()
    name: str | None = None
    tags: tuple[str, ...] = ()
    project: str | None = None
    capture: str | None = None
    loglevel: str | int | None = None
    debug: bool = False
    pdb: bool = False

    def over(self, plan: RunPlan) -> RunPlan:
        """`plan` with what the options say in the place of what the code says. Tags are added to the code's."""
        said = {name: value for name in _OF_PLANS if (value := getattr(self, name))}
        if self.priority is not None:
            said["priority"] = self.priority
        said["tags"] = tuple(dict.fromkeys((*plan.tags, *self.tags)))
        said["options"] = {**plan.options, **self.as_meta()}
        return replace(plan, **said)

    def settings(self) -> dict[str, Any]:
        """The settings among them, as arguments of `load_settings`; None where nothing was said."""
        said = {name: getattr(self, name) for name in ("project", "capture", "beat_interval", "visibility")}
        return {**said, "shared_with": self.shared_with or None}

    def as_meta(self) -> dict[str, Any]:
        """What was said, by the long flag, as Sacred keeps it in `meta.options`."""
        said = {option.flags[0]: getattr(self, option.name) for option in RUN_OPTIONS}
        return {flag: list(value) if isinstance(value, tuple) else value for flag, value in said.items() if value}

    def set_up_logging(self) -> None:
        """Have Python's logging show what `--loglevel` and `--debug` ask for."""
        if self.loglevel is not None:
            logging.basicConfig()  # does nothing where the program has set up logging itself
            logging.getLogger().setLevel(self.loglevel)
        if self.debug:
            logging.basicConfig()
            logging.getLogger("cloister").setLevel(logging.DEBUG)


_OF_PLANS = ("resume", "fork_from", "comment", "unobserved", "enforce_clean", "queue", "name", "project")


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ValueError(f"{text!r} is not a number")
    return value


def _seconds(text: str) -> float:
    value = _number(text)
    if value <= 0:
        raise ValueError(f"{text!r} is not a number of seconds above 0")
    return value


def _capture(text: str) -> str:
    modes = {"sys": "sys", "fd": "fd", "none": "none", "no": "none"}  # Sacred says "no"
    if text not in modes:
        raise ValueError(f"{text!r} is not one of sys, fd, none")
    return modes[text]


def _visibility(text: str) -> str:
    if text not in ("private", "project", "site"):
        raise ValueError(f"{text!r} is not one of private, project, site")
    return text


def _loglevel(text: str) -> str | int:
    if text.isascii() and text.isdecimal():
        return int(text)
    if not isinstance(logging.getLevelName(text.upper()), int):
        raise ValueError(f"{text!r} is not one of DEBUG, INFO, WARNING, ERROR, CRITICAL")
    return text.upper()


RUN_OPTIONS: tuple[RunOption, ...] = (
    RunOption("resume", ("--resume",), "goes on with a run, by its number, uid or name", "RUN"),
    RunOption("fork_from", ("--fork-from",), "starts with the history of a run up to that step", "RUN@STEP"),
    RunOption("name", ("--name", "-n"), "how lists show the run", "NAME"),
    RunOption("tags", ("--tag",), "a tag, to find the run again; may be given more than once", "TAG", repeats=True),
    RunOption("project", ("--project",), "where the run belongs; else the setting 'project'", "NAME"),
    RunOption("comment", ("--comment", "-c"), "why this run is made: its notes begin with it", "TEXT"),
    RunOption("queue", ("--queue", "-q"), "stores the run for a 'cloister worker' instead of running it"),
    RunOption("priority", ("--priority", "-P"), "of a queued run: higher ones go first, 0 is usual", "NUMBER",
              parse=_number),
    RunOption("unobserved", ("--unobserved", "-u"), "runs without recording anything"),
    RunOption("enforce_clean", ("--enforce-clean", "-e"), "refuses to run code that no commit holds"),
    RunOption("beat_interval", ("--beat-interval", "-b"), "between two signs of life, 1 to 20", "SECONDS",
              parse=_seconds),
    RunOption("visibility", ("--visibility",), "who sees the run: private, project or site", "WORD",
              parse=_visibility),
    RunOption("shared_with", ("--share-with",), "who sees it besides, as group:vision; may be given more than once",
              "NAME", repeats=True),
    RunOption("capture", ("--capture", "-C"), "how output is recorded: sys, fd or none", "MODE", parse=_capture),
    RunOption("loglevel", ("--loglevel", "-l"), "what Python's logging shows: DEBUG, INFO, WARNING or ERROR", "LEVEL",
              parse=_loglevel),
    RunOption("debug", ("--debug", "-d"), "shows what Cloister does, in the log"),
    RunOption("pdb", ("--pdb", "-D"), "opens the debugger where the run fails"),
)  # fmt: skip
KNOWN_IN_CODE = tuple(option.name for option in RUN_OPTIONS if option.name != "queue")  # that is another method
_BY_FLAG = {flag: option for option in RUN_OPTIONS for flag in option.flags}

assert {option.name for option in RUN_OPTIONS} == {field.name for field in fields(RunOptions)}


def split_run_options(
    words: Sequence[str], is_entry: Callable[[str], bool] = lambda name: False
) -> tuple[RunOptions, list[str]]:
    """Take the options of the run out of the words of a command line, up to `--`.

    Args:
        is_entry: whether the config has an entry of this name ("beat_interval" for `--beat-interval`): then the word
            sets the entry and is left in its place.

    Returns:
        The options, and the other words in their order.

    Raises:
        BadRunOption: an option has no value, or one that makes no sense.
    """
    values: dict[str, Any] = {}
    rest: list[str] = []
    left = list(words)
    while left:
        word = left.pop(0)
        if word == "--":
            rest += [word, *left]
            break
        flag, equals, text = word.partition("=")
        option = _option_of(flag, is_entry)
        if option is None:
            rest.append(word)
        elif option.value is None:
            values[option.name] = _no_value(flag, equals)
        else:
            value = _parsed(option, flag, text if equals else _next_value(flag, option, left))
            values[option.name] = (*values.get(option.name, ()), value) if option.repeats else value
    return RunOptions(**values), rest


def read_run_options(given: Mapping[str, Any]) -> RunOptions:
    """The options from their texts, as another parser of command lines has found them.

    Raises:
        BadRunOption: a value makes no sense.
    """
    values: dict[str, Any] = {}
    for option in RUN_OPTIONS:
        text = given.get(option.name)
        if option.value is None:
            values[option.name] = bool(text)
        elif option.repeats:
            values[option.name] = tuple(_parsed(option, option.flags[0], each) for each in text or ())
        else:
            values[option.name] = None if text is None else _parsed(option, option.flags[0], text)
    return RunOptions(**values)


def options_of(said: Mapping[str, Any]) -> RunOptions:
    """The options that code gives.

    Raises:
        UnknownRunOption: there is none of that name.
    """
    for name in said:
        if name not in KNOWN_IN_CODE:
            raise UnknownRunOption(name)
    return RunOptions(**{**said, "tags": tuple(said.get("tags", ()))})


def _option_of(flag: str, is_entry: Callable[[str], bool]) -> RunOption | None:
    if not flag.startswith("-"):
        return None
    option = _BY_FLAG.get(flag) or (_BY_FLAG.get(flag.replace("_", "-")) if flag.startswith("--") else None)
    if option is None or (flag.startswith("--") and (is_entry(flag[2:]) or is_entry(flag[2:].replace("-", "_")))):
        return None
    return option


def _no_value(flag: str, equals: str) -> bool:
    if equals:
        raise BadRunOption(flag, f"takes no value. Write {flag} alone")
    return True


def _next_value(flag: str, option: RunOption, left: list[str]) -> str:
    if not left or left[0].startswith("--") or left[0] in _BY_FLAG:
        raise BadRunOption(flag, f"needs a value. Write {flag} {option.value}, or {flag}={option.value}")
    return left.pop(0)


def _parsed(option: RunOption, flag: str, text: str) -> Any:
    try:
        return option.parse(text)
    except ValueError as error:
        raise BadRunOption(flag, f"cannot be used: {error}") from None


def usage_lines() -> list[str]:
    """The options as a help shows them, one line each."""
    lines = []
    for option in RUN_OPTIONS:
        words = ", ".join(reversed(option.flags)) + (f" {option.value}" if option.value else "")
        lines.append(f"  {words.ljust(_COLUMN)} {option.help}")
    return lines


def nearest_flag(word: str, likeness: float = 0.6) -> str | None:
    """The option that a mistyped word may have meant."""
    import difflib

    return next(iter(difflib.get_close_matches(word.partition("=")[0], _BY_FLAG, n=1, cutoff=likeness)), None)


def post_mortem(error: BaseException) -> None:
    """`--pdb`: the debugger at the line that raised `error`, where somebody sits at a terminal."""
    import pdb
    import traceback

    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        logging.getLogger("cloister").warning("--pdb opens no debugger: there is no terminal.")
        return
    traceback.print_exception(type(error), error, error.__traceback__)
    pdb.post_mortem(error.__traceback__)
