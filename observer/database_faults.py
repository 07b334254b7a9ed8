"""What an error of the database means for shipping: it is away, it refuses us, or it refuses one document."""

from __future__ import annotations

from typing import Any

# What the server says of a document or an update, whoever sends it. All else that it may say (no disk, no primary, no
# rights, no time) is the state of the server, and passes.
_DOCUMENT_CODES = {
    2, 9, 14, 15, 16, 22, 28, 40, 52, 53, 54, 55, 56, 57, 66, 121,
    10003, 10334, 16755, 16837, 17009, 17280, 17419, 17420,
}  # fmt: skip
_NOT_LET_IN = {11, 13, 18, 33, 8000}  # UserNotFound, Unauthorized, AuthenticationFailed, ...; Atlas says 8000


def is_refused_document(error: BaseException) -> bool:
    """Whether what was sent cannot be stored, now or later, while other documents can."""
    from bson.errors import BSONError
    from pymongo.errors import DocumentTooLarge, OperationFailure

    if isinstance(error, (BSONError, DocumentTooLarge)):
        return True
    return isinstance(error, OperationFailure) and bool(codes := _codes(error)) and codes <= _DOCUMENT_CODES


def is_refused_login(error: BaseException) -> bool:
    """Whether the database does not let us in, or not do what we need."""
    from pymongo.errors import OperationFailure

    from .mongo import LoginRefused

    if isinstance(error, LoginRefused):
        return True
    return isinstance(error, OperationFailure) and bool(_codes(error) & _NOT_LET_IN)


def in_words(error: BaseException, uri: str | None) -> str:
    """What to tell people of a failure. The driver's own words hold its options, its topology and what was sent."""
    from pymongo.errors import ConnectionFailure, NotPrimaryError, OperationFailure, WriteConcernError

    from .errors import CloisterError
    from .mongo import DatabaseUnreachable, LoginRefused, WritesRefused, first_sentence

    shown = uri or "the embedded database"
    if isinstance(error, DatabaseUnreachable) and isinstance(error.__cause__, ConnectionFailure):
        error = error.__cause__  # its own words say how long this attempt took, and would be news each time
    if isinstance(error, CloisterError):
        return str(error)
    if is_refused_login(error):
        return str(LoginRefused(shown, _reason(error)))
    if isinstance(error, NotPrimaryError):
        return str(WritesRefused(shown, "it has no primary at the moment"))
    if isinstance(error, ConnectionFailure):
        return str(DatabaseUnreachable(shown, 2.0, error))
    if isinstance(error, WriteConcernError) or _codes(error) & {64, 100}:
        return str(WritesRefused(shown, "too few members of the replica set confirm what is written"))
    if isinstance(error, OperationFailure):
        return str(WritesRefused(shown, _reason(error)))
    return first_sentence(error) or type(error).__name__


def _reason(error: BaseException) -> str:
    from .mongo import first_sentence

    details: Any = getattr(error, "details", None) or {}
    for entry in (details, *(details.get("writeErrors") or ()), *(details.get("writeConcernErrors") or ())):
        if entry.get("errmsg"):
            return first_sentence(str(entry["errmsg"]).partition(" to execute command ")[0])
    return first_sentence(error)


def _codes(error: BaseException) -> set[int]:
    details: Any = getattr(error, "details", None) or {}
    entries = [*(details.get("writeErrors") or ()), *(details.get("writeConcernErrors") or ())]
    codes = {entry.get("code") for entry in entries}
    if not codes:
        codes = {getattr(error, "code", None)}
    return {code for code in codes if isinstance(code, int)}
