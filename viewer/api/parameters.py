"""Parameters of a URL as checked values. What is not exactly right is refused with its value, never guessed at."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from datetime import datetime, timezone

from ...observer.errors import CloisterError
from ...observer.run_ids import WORD_LIMIT, BadRunId, parse_run_id
from ..run_keys import RunKey, run_key

INT64_MAX = 2**63 - 1
TEXT_LIMIT = 1000
_WHOLE_NUMBER = re.compile(r"-?[0-9]{1,19}", re.ASCII)  # int() would take "1_000", " 7 " and Arabic digits
_INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d{1,9})?)?(Z|[+-]\d\d:\d\d)", re.ASCII)


class BadParameter(CloisterError, ValueError):
    """A request has a parameter that cannot be used."""

    def __init__(self, name: str, value: object, allowed: str) -> None:
        shown = repr(value) if len(repr(value)) <= 80 else repr(value)[:77] + "..."
        super().__init__(f"The parameter {name}={shown} cannot be used. It takes {allowed}.")


class UnknownParameter(BadParameter):
    """A request has a parameter that its route does not know."""

    def __init__(self, name: str, known: Collection[str]) -> None:
        shown = repr(name[:80])
        CloisterError.__init__(
            self,
            f"There is no parameter {shown} here. "
            + (f"The parameters are {', '.join(known)}." if known else "This address takes none."),
        )


class DoubledParameter(BadParameter):
    """A request says a parameter twice, and two readers could believe two different things."""

    def __init__(self, name: str, count: int) -> None:
        CloisterError.__init__(self, f"The parameter {name} is given {count} times. Give it once.")


class MissingParameter(BadParameter):
    """A request lacks a parameter that its route needs."""

    def __init__(self, name: str, description: str) -> None:
        CloisterError.__init__(self, f"The parameter {name} is missing: {description[:1].lower()}{description[1:]}")


def single_values(arguments: Mapping[str, list[str]], *, known: Collection[str]) -> dict[str, str]:
    """The parameters as one value each.

    Raises:
        UnknownParameter: one is not among `known`.
        DoubledParameter: one is given more than once.
    """
    values = {}
    for name, given in arguments.items():
        if name not in known:
            raise UnknownParameter(name, known)
        if len(given) != 1:
            raise DoubledParameter(name, len(given))
        values[name] = given[0]
    return values


def parse_integer(name: str, text: str, *, low: int, high: int) -> int:
    allowed = f"a whole number from {low} to {high}"
    if not _WHOLE_NUMBER.fullmatch(text):
        raise BadParameter(name, text, allowed)
    number = int(text)
    if not low <= number <= high:
        raise BadParameter(name, text, allowed)
    return number


def parse_run_key(name: str, text: str) -> RunKey:
    """The id of a run: digits, or the word for an id of another type."""
    try:
        return run_key(parse_run_id(parse_text(name, text, limit=WORD_LIMIT)))
    except BadRunId:
        raise BadParameter(name, text, "a run's number, id:<text> or oid:<24 digits>") from None


def parse_text(name: str, text: str, *, limit: int = TEXT_LIMIT) -> str:
    if len(text) > limit:
        raise BadParameter(name, text, f"at most {limit} characters, and this has {len(text)}")
    if "\x00" in text or any("\ud800" <= character <= "\udfff" for character in text):
        raise BadParameter(name, text, "text without NUL characters, in UTF-8")
    return text


def parse_choice(name: str, text: str, choices: Collection[str]) -> str:
    if text not in choices:
        raise BadParameter(name, text, f"one of {', '.join(choices)}")
    return text


def parse_instant(name: str, text: str) -> datetime:
    allowed = "a time with its zone, such as 2026-03-02T14:02:07Z"
    if not _INSTANT.fullmatch(text):
        raise BadParameter(name, text, allowed)
    try:
        # Python 3.10 reads three or six digits behind the second, and no Z.
        whole = re.sub(r"\.(\d+)", lambda digits: f".{digits[1]:0<6}"[:7], text)
        when = datetime.fromisoformat(whole.replace("Z", "+00:00"))
        return when.astimezone(timezone.utc)
    except (ValueError, OverflowError):
        raise BadParameter(name, text, allowed) from None
