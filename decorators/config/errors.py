"""What can be wrong with a config. The experiment prints these as one sentence; a plain call raises them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import pairwise
from pathlib import Path

from ...observer.errors import CloisterError
from ..run_options import nearest_flag

_SHOWN_CHARACTERS = 80
_LISTED_KEYS = 12
_NEAREST = "Did you mean"


class ConfigError(CloisterError):
    """Something about the config of a run; nothing has been recorded when it is raised."""


class UnknownConfigKey(ConfigError, LookupError):
    """An override names a parameter that the experiment does not have."""

    def __init__(self, key: str, known: Collection[str], source: str = "") -> None:
        hint = suggest(key, known)
        if not source and not hint.startswith(_NEAREST) and (flag := nearest_flag(f"--{key}", 0.8)) is not None:
            hint = f"{_NEAREST} the option {flag}?"
        super().__init__(f"This experiment has no config key {key!r}{_set_in(source)}. {hint}")
        self.key = key


class BadConfigValue(ConfigError, ValueError):
    """A value does not fit the type of its key."""

    def __init__(self, key: str, value: object, expected: str, source: str = "") -> None:
        super().__init__(f"Config key {key!r} takes {expected}, not {shorten(value)}{_set_in(source)}.")
        self.key = key
        self.value = value
        self.expected = expected


class RefusedConfig(ConfigError, ValueError):
    """A dataclass or model of the user did not accept the values that it was built from."""

    def __init__(self, key: str, owner: str, reason: str) -> None:
        place = f" of config key {key!r}" if key else ""
        super().__init__(f"{owner}{place} refused its values: {reason}")
        self.key = key


class MissingConfigValue(ConfigError, TypeError):
    """A parameter without a default was given by nobody."""

    def __init__(self, keys: Sequence[str], needed_by: str = "") -> None:
        names = ", ".join(repr(key) for key in keys)
        one = len(keys) == 1
        needs = f", and {needed_by} needs {'it' if one else 'them'}" if needed_by else ""
        super().__init__(
            f"Config key{'' if one else 's'} {names} {'has' if one else 'have'} no default and no value{needs}. "
            f"Give {'it' if one else 'them'}: {' '.join(f'{key}=...' for key in keys)}"
        )
        self.keys = tuple(keys)


class UnknownPreset(ConfigError, LookupError):
    """A preset was asked for by a name that none has."""

    def __init__(self, name: str, known: Collection[str]) -> None:
        if known:
            super().__init__(f"This experiment has no preset {name!r}. {suggest(name, known)}")
        else:
            advice = "A config file is named with its ending, as in @fast.yaml"
            super().__init__(f"This experiment has no presets, so {name!r} is none. {advice}.")
        self.name = name


class BadPreset(ConfigError, TypeError):
    """A preset is nothing that values can be read from."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"The preset {name!r} {reason}.")


class CyclicConfig(ConfigError, ValueError):
    """Computed entries need each other."""

    def __init__(self, chain: Sequence[str]) -> None:
        needs = ", ".join(f"{one} needs {other}" for one, other in pairwise(chain))
        super().__init__(f"The config cannot be computed, because it goes round in a circle: {needs}. Set one of them.")
        self.chain = tuple(chain)


class UncomputableConfig(ConfigError, ValueError):
    """An entry that follows from others cannot be computed, or not from these."""

    def __init__(self, who: str, reason: str, chain: Sequence[str] = ()) -> None:
        needs = f" ({', '.join(f'{one} needs {other}' for one, other in pairwise(chain))})" if len(chain) > 1 else ""
        subject = who.replace("preset", "Preset", 1) if who.startswith("preset ") else who  # the others are names
        super().__init__(f"{subject} {reason}{needs}.")


class BadConfigFile(ConfigError, ValueError):
    """A config file is missing, unreadable, or not what its name says."""

    def __init__(self, path: Path, reason: str, line: int | None = None) -> None:
        place = f", line {line}" if line is not None else ""
        super().__init__(f"Config file {path}{place}: {reason}")
        self.path = path
        self.line = line


class BadOverride(ConfigError, ValueError):
    """A word on the command line is neither an override nor an option nor a file."""

    def __init__(self, word: str, reason: str = "is no override. Write name=value, --name value or @file.yaml") -> None:
        super().__init__(f"{shorten(word)} {reason}{'' if reason.endswith('?') else '.'}")
        self.word = word


class BadConfigSource(ConfigError, TypeError):
    """`config=` was given something that no config can be read from."""

    def __init__(self, config: object) -> None:
        super().__init__(
            f"A config cannot be read from {shorten(config)} ({type(config).__name__}). Give a dataclass, a pydantic "
            "model, a mapping, an argparse.Namespace, or the path of a YAML, JSON or TOML file."
        )


class CallMismatch(ConfigError, TypeError):
    """The experiment was called with arguments that its function does not take."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"{name}() {reason}.")


class ConfigClash(ConfigError, TypeError):
    """Two sources give one key, and neither can be said to come first."""

    def __init__(self, keys: Collection[str], one: str, other: str) -> None:
        names = ", ".join(repr(key) for key in sorted(keys))
        super().__init__(f"Config key {names} is given by {one} and by {other}. Take it out of one of them.")


def shorten(value: object) -> str:
    """`value` as people would read it in a message, at most about 80 characters of it."""
    try:
        text = repr(value)
    except Exception:  # a foreign __repr__ may raise anything, and the message is about something else
        text = f"an object of {type(value).__qualname__}"
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[: _SHOWN_CHARACTERS - 3]}..."


def _set_in(source: str) -> str:
    return f" (in {source})" if source else ""


def suggest(key: str, known: Collection[str]) -> str:
    """The nearest known key; a key may also be right but in the wrong place: `lr` for `optimizer.lr`."""
    import difflib  # only a wrong name needs it

    nearest = difflib.get_close_matches(key, known, n=1)
    if not nearest:
        last = key.rpartition(".")[2]
        nearest = [name for name in known if last and name.rpartition(".")[2] == last][:1]
    if nearest:
        return f"{_NEAREST} {nearest[0]!r}?"
    if not known:
        return "It has none."
    listed = sorted(known)
    more = f" and {len(listed) - _LISTED_KEYS} more" if len(listed) > _LISTED_KEYS else ""
    return f"It has {', '.join(listed[:_LISTED_KEYS])}{more}."
