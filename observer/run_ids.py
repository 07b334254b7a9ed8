"""A run's id as a word for addresses and commands, and back: numbers, and whatever else Sacred's databases have."""

from __future__ import annotations

import base64
import binascii
import datetime
import re
import uuid
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote

from .errors import CloisterError

if TYPE_CHECKING:
    from bson.codec_options import CodecOptions

    from .run_record import RunId

TEXT, OBJECT_ID, OTHER = "id:", "oid:", "bson:"
WORD_LIMIT = 12_000  # an id of 1,024 bytes, which an index once held at most, escaped twice
_NUMBER = re.compile("-?[0-9]{1,19}", re.ASCII)
_ITEMS_LIMIT = 100  # of an id that is a document


class BadRunId(CloisterError, ValueError):
    """A word that names no run."""

    def __init__(self, word: object) -> None:
        shown = repr(word)
        super().__init__(
            f"{shown if len(shown) < 100 else shown[:100] + '...'} is not the id of a run. Write a number as it is, "
            "a text as id:<text>, an ObjectId as oid:<its 24 digits>."
        )


def format_run_id(run_id: RunId) -> str:
    """The word for an id, of ASCII letters, digits and `:%._~-` only; two ids have the same word only if equal.

    A number is its digits; a text `id:<text>` with %-escapes; an ObjectId `oid:<24 hex digits>`; anything else that
    MongoDB takes, as the null of Sacred's failed starts, `bson:` and base64.
    """
    from bson import ObjectId, encode  # 60 ms, that a training whose runs have numbers does not pay

    if isinstance(run_id, float) and run_id.is_integer() and abs(run_id) < 2**53:
        run_id = int(run_id)  # MongoDB takes 3.0 and 3 for the same id
    if isinstance(run_id, int) and not isinstance(run_id, bool):
        return str(int(run_id))
    if type(run_id) is str:
        return TEXT + quote(run_id, safe="", errors="backslashreplace")
    if isinstance(run_id, ObjectId):
        return f"{OBJECT_ID}{run_id}"
    packed = encode({"": run_id}, codec_options=_options())
    return OTHER + base64.urlsafe_b64encode(packed).decode().rstrip("=")


def parse_run_id(word: str) -> RunId:
    """The id that `format_run_id` gave this word for. It is always a value and never an operator of a query.

    Raises:
        BadRunId: it gave no such word.
    """
    if len(word) > WORD_LIMIT:
        raise BadRunId(word)
    if _NUMBER.fullmatch(word) and -(2**63) <= int(word) < 2**63:
        return int(word)
    kind, colon, rest = word.partition(":")
    if kind + colon == TEXT:
        return unquote(rest)
    try:
        if kind + colon == OBJECT_ID:
            return _object_id(rest)
        if kind + colon == OTHER:
            return _other_id(rest)
    except (ValueError, LookupError, TypeError, OverflowError, binascii.Error) as error:
        raise BadRunId(word) from error
    raise BadRunId(word)


def _object_id(digits: str) -> Any:
    from bson import ObjectId

    if not re.fullmatch("[0-9a-fA-F]{24}", digits, re.ASCII):
        raise BadRunId(OBJECT_ID + digits)
    return ObjectId(digits)


def _other_id(text: str) -> Any:
    from bson import decode
    from bson.errors import BSONError

    try:
        value = decode(base64.b64decode(text + "=" * (-len(text) % 4), b"-_", validate=True), _options())[""]
    except BSONError as error:
        raise ValueError(str(error)) from error
    if not _is_value(value, 0):
        raise BadRunId(OTHER + text)
    return value


def _options() -> CodecOptions[dict[str, Any]]:
    from bson.binary import UuidRepresentation
    from bson.codec_options import CodecOptions

    return CodecOptions(tz_aware=True, uuid_representation=UuidRepresentation.STANDARD)


def _is_value(value: Any, depth: int) -> bool:
    """Whether MongoDB compares with this as it is: patterns and documents with `$` would ask for something."""
    from bson import Binary, Decimal128, Int64, ObjectId

    if isinstance(value, dict) and depth < 4 and len(value) < _ITEMS_LIMIT:
        return all(not key.startswith("$") and _is_value(child, depth + 1) for key, child in value.items())
    plain = (bool, int, Int64, float, str, bytes, Binary, datetime.datetime, uuid.UUID, ObjectId, Decimal128)
    return value is None or type(value) in plain  # not what is derived from them: Code is a text too
