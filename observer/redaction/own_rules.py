"""The redaction rules that a site, a project or a user has added to the built-in ones."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from ..errors import CloisterError

NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")
PATTERN_CHARACTERS = 500
PATTERN_COUNT = 100
BOUNDED_REPEATS = 1000  # what repeats more often counts as endless


class BadRedactionRule(CloisterError, ValueError):
    """A rule for redaction cannot be used."""

    def __init__(self, source: str, name: str, reason: str) -> None:
        super().__init__(f"{source} has a redaction rule {name!r} that cannot be used: {reason}.")


@dataclass(frozen=True)
class OwnRules:
    """What is redacted beside the built-in secrets.

    Attributes:
        patterns: regular expressions by the name of their rule: what they match is redacted wherever it stands. One
            with a group redacts the group alone.
        config: globs of dotted config paths whose values are redacted: "*.api", "db.*".
        environment: globs of environment variables whose values are redacted wherever they show up.
        emails, addresses: whether e-mail and IP addresses are redacted as well.
    """

    patterns: Mapping[str, str] = field(default_factory=dict)
    config: tuple[str, ...] = ()
    environment: tuple[str, ...] = ()
    emails: bool = False
    addresses: bool = False

    def and_also(self, other: OwnRules) -> OwnRules:
        """Both sets of rules. Of two patterns with one name both hold."""
        patterns = dict(self.patterns)
        for name, pattern in other.patterns.items():
            while patterns.get(name, pattern) != pattern:
                name += "-also"
            patterns[name] = pattern
        return OwnRules(
            patterns,
            tuple(dict.fromkeys(self.config + other.config)),
            tuple(dict.fromkeys(self.environment + other.environment)),
            self.emails or other.emails,
            self.addresses or other.addresses,
        )


def parse_rules(table: Any, source: str) -> OwnRules:
    """The rules that a TOML table or a stored document holds.

    Raises:
        BadRedactionRule: one of them cannot be used, or is of a kind that does not exist.
    """
    if not isinstance(table, Mapping):
        raise BadRedactionRule(source, "redaction", "it is no table")
    known = [one.name for one in fields(OwnRules)]
    for name, value in table.items():
        if name not in known:
            raise BadRedactionRule(source, str(name), f"there are only {', '.join(known)}")
        if name in ("emails", "addresses") and not isinstance(value, bool):
            raise BadRedactionRule(source, name, f"{value!r} is neither true nor false")
    return OwnRules(
        _parse_patterns(table.get("patterns", {}), source),
        _parse_globs(table.get("config", ()), source, "config"),
        _parse_globs(table.get("environment", ()), source, "environment"),
        bool(table.get("emails", False)),
        bool(table.get("addresses", False)),
    )


def _parse_patterns(table: Any, source: str) -> dict[str, str]:
    if not isinstance(table, Mapping) or len(table) > PATTERN_COUNT:
        raise BadRedactionRule(source, "patterns", f"it is no table of at most {PATTERN_COUNT} names and expressions")
    for name, pattern in table.items():
        if not isinstance(name, str) or NAME.fullmatch(name) is None:
            raise BadRedactionRule(source, str(name), "a name has small letters, digits, - and _, at most 40")
        if not isinstance(pattern, str) or not 0 < len(pattern) <= PATTERN_CHARACTERS:
            raise BadRedactionRule(source, name, f"it is no text of 1 to {PATTERN_CHARACTERS} characters")
        try:
            matches_nothing = re.compile(pattern).match("") is not None
        except (re.error, OverflowError, RecursionError) as error:
            raise BadRedactionRule(source, name, f"{pattern!r} is no regular expression ({error})") from error
        if _repeats_repeats(pattern):
            reason = f"{pattern!r} repeats what repeats without an end, which may take for ever. Bound one: {{1,100}}"
            raise BadRedactionRule(source, name, reason)
        if matches_nothing:
            raise BadRedactionRule(source, name, f"{pattern!r} matches an empty text, so it would match anywhere")
    return dict(table)


def _repeats_repeats(pattern: str) -> bool:
    """Whether an endless repetition stands inside of another one: on some texts that takes exponential time."""
    if sys.version_info >= (3, 11):
        from re import _parser as parser  # type: ignore[attr-defined]
    else:
        import sre_parse as parser
    return _has_repeats(parser.parse(pattern), inside=False)


def _has_repeats(parsed: Any, *, inside: bool) -> bool:
    for operation, argument in parsed:
        endless = str(operation) in ("MAX_REPEAT", "MIN_REPEAT") and argument[1] > BOUNDED_REPEATS
        if endless and inside:
            return True
        if any(_has_repeats(part, inside=inside or endless) for part in _parts_of(argument)):
            return True
    return False


def _parts_of(argument: Any) -> Iterator[Any]:
    """The expressions inside of a parsed one."""
    if hasattr(argument, "data"):  # a parsed expression
        yield argument
    elif isinstance(argument, (list, tuple)):
        for part in argument:
            yield from _parts_of(part)


def _parse_globs(value: Any, source: str, name: str) -> tuple[str, ...]:
    if not isinstance(value, (list, tuple)) or not all(isinstance(one, str) and one for one in value):
        raise BadRedactionRule(source, name, 'it is no list of texts such as ["*.api", "db.*"]')
    return tuple(value)
