"""The fields of the query language: what can be asked for, sorted by, grouped by and shown as a column.

A key is the same text everywhere: in a query, as a column, in an address: `started`, `config.model.depth`,
`metrics.val/acc`, `best(metrics.val/acc)`, `metrics."two words"`.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from ..errors import CloisterError
from ..field_names import decode_field_name, encode_field_name
from ..metric_direction import better_end
from ..run_record import (
    ARCHIVED_AT,
    EXPERIMENT_NAME,
    NAME,
    NOTES,
    OMNIBOARD_NOTES,
    OMNIBOARD_TAGS,
    OWNER,
    PROJECT,
    TAGS,
    UPDATED_AT,
    summary_path,
)

Kind = Literal["id", "text", "list", "status", "time", "duration", "number", "flag", "any"]
Family = Literal["run", "config", "metrics", "git", "env"]

KEY_LIMIT = 1000  # characters; a config key as deep as BSON goes has fewer
_BARE = re.compile(r"""[^\s()<>=!,"']+""")
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"')


class UnknownField(CloisterError, LookupError):
    """A query, a sort or a column names a field that no run has."""

    def __init__(self, key: str, reason: str = "", suggestion: str = "") -> None:
        self.suggestion = suggestion
        self.reason = reason or f"There is no field {key[:80]!r}."
        super().__init__(f"{self.reason} Did you mean {suggestion}?" if suggestion else self.reason)


@dataclass(frozen=True)
class Field:
    """Something that runs can be asked for.

    Attributes:
        key: as it is written, in its one spelling.
        kind: what its values are: "any" ones are whatever a config holds.
        paths: where it lies in a run's document; of several the first that is not empty counts.
        title: for people, without "config." or "metrics.".
        family: of which group of fields it is.
        figure: of a metric: "last", "min", "max", "count".
    """

    key: str
    kind: Kind
    paths: tuple[str, ...]
    title: str
    family: Family = "run"
    figure: str = ""

    @property
    def name(self) -> str:
        """Of a metric its name, of a config entry its dotted key as stored, else the key."""
        return self.title if self.family == "metrics" and not self.figure else self.key


def _run_field(key: str, kind: Kind, *paths: str) -> tuple[str, Field]:
    return key, Field(key, kind, paths, key)


RUN_FIELDS: dict[str, Field] = dict(
    [
        _run_field("id", "id", "_id"),
        _run_field("name", "text", NAME, EXPERIMENT_NAME),
        _run_field("project", "text", PROJECT, EXPERIMENT_NAME),
        _run_field("experiment", "text", EXPERIMENT_NAME),
        _run_field("status", "status", "status"),
        _run_field("started", "time", "start_time"),
        _run_field("ended", "time", "stop_time"),
        _run_field("updated", "time", UPDATED_AT),
        _run_field("heartbeat", "time", "heartbeat"),
        _run_field("duration", "duration", "duration"),
        _run_field("tags", "list", OMNIBOARD_TAGS, TAGS),
        _run_field("notes", "text", OMNIBOARD_NOTES, "meta.comment", NOTES),
        _run_field("owner", "text", OWNER),
        _run_field("host", "text", "host.hostname", "host"),
        _run_field("command", "text", "command"),
        _run_field("archived", "flag", ARCHIVED_AT),
    ]
)
FUNCTIONS = ("best", "min", "max", "last", "count")
GIT_FIELDS = ("git.commit", "git.branch")
_ROOTS = {"config": "config", "git": "cloister.git", "env": "cloister.environment"}


@lru_cache(maxsize=4096)
def find_field(key: str) -> Field:
    """The field of a key.

    Raises:
        UnknownField: there is none; the error says what is near.
    """
    if len(key) > KEY_LIMIT or "\x00" in key:
        raise UnknownField(key[:80], "A field's key has at most 1,000 characters and no NUL.")
    if key in RUN_FIELDS:
        return RUN_FIELDS[key]
    called = re.fullmatch(r"([A-Za-z]+)\((.*)\)", key, re.DOTALL)
    if called and called[1].lower() in FUNCTIONS:
        return _figure(called[1].lower(), called[2].strip())
    family, dot, rest = key.partition(".")
    if family == "metrics" and rest:
        return metric_field(_one_name(rest))
    if family in _ROOTS and rest:
        return _nested(family, rest)
    raise UnknownField(key, *_why_unknown(key, family, bool(dot)))


def metric_field(name: str, figure: str = "last") -> Field:
    """The field of a metric by its real name."""
    key = f"metrics.{quoted(name)}"
    if figure == "last":
        return Field(key, "number", (f"{summary_path(name)}.last",), name, "metrics")
    stored = figure
    if figure == "best":
        better = better_end(name)
        if better is None:
            reason = f"Whether more or less of {name!r} is better cannot be told from its name."
            raise UnknownField(key, reason, f"max({key}) or min({key})")
        stored = "max" if better == "higher" else "min"
    path = f"{summary_path(name)}.{stored}"
    return Field(f"{figure}({key})", "number", (path,), f"{figure} of {name}", "metrics", figure)


def quoted(name: str) -> str:
    """A name as it stands in a key: as it is where that is possible, else in quotes."""
    if name and _BARE.fullmatch(name):
        return name
    escaped = name.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def unquoted(text: str) -> str:
    """What stands between quotes, with \\" and \\\\ as the one character that they mean."""
    return re.sub(r"\\(.)", r"\1", text[1:-1], flags=re.DOTALL)


def nearest_fields(key: str, known: Iterable[str] = ()) -> str:
    """The known key that somebody may have meant; "" without one."""
    candidates = [*RUN_FIELDS, *GIT_FIELDS, *known]
    by_end = [each for each in candidates if each.rsplit(".", 1)[-1] == key or each.endswith((f".{key}", f"/{key}"))]
    found = by_end or difflib.get_close_matches(key, candidates, n=1)
    return found[0] if found else ""


def _figure(function: str, inner: str) -> Field:
    family, _, rest = inner.partition(".")
    if family != "metrics" or not rest:
        raise UnknownField(inner, f"{function}() takes a metric, as in {function}(metrics.val/acc).")
    return metric_field(_one_name(rest), function)


def _one_name(rest: str) -> str:
    """A metric's name, which may have dots, as it stands behind "metrics."; addresses have it without quotes."""
    return unquoted(rest) if _QUOTED.fullmatch(rest) else rest


def _nested(family: str, rest: str) -> Field:
    parts = split_key(rest)
    if not all(parts) or any("$" in part or len(part) > 500 for part in parts):
        raise UnknownField(rest, f"{family}.{rest[:80]} is no key of a {family} entry.")
    key = ".".join(part if _BARE.fullmatch(part) else quoted(decode_field_name(part)) for part in parts)
    title = ".".join(decode_field_name(part) for part in parts)
    shown: Family = "config" if family == "config" else "git" if family == "git" else "env"
    return Field(f"{family}.{key}", "any", (f"{_ROOTS[family]}.{'.'.join(parts)}",), title, shown)


def split_key(dotted: str) -> list[str]:
    """The parts of a dotted key, each encoded as stored. A part in quotes is a name as its author wrote it."""
    parts, place = [], 0
    while place <= len(dotted):
        in_quotes = _QUOTED.match(dotted, place)
        if in_quotes and (in_quotes.end() == len(dotted) or dotted[in_quotes.end()] == "."):
            parts.append(encode_field_name(unquoted(in_quotes[0])))
            place = in_quotes.end() + 1
            continue
        end = dotted.find(".", place)
        end = len(dotted) if end < 0 else end
        parts.append(dotted[place:end])
        place = end + 1
    return parts


def _why_unknown(key: str, family: str, has_dot: bool) -> tuple[str, str]:
    if family in (*_ROOTS, "metrics"):
        return f"{family} is a group of fields; say which one.", f"{family}.<name>"
    near = difflib.get_close_matches(family, (*_ROOTS, "metrics"), n=1) if has_dot else []
    if near:
        return "", f"{near[0]}{key[len(family) :]}"
    return "", nearest_fields(key)
