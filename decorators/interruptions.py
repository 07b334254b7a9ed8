"""Ends of a run that are neither success nor failure, under names of their own: `raise OutOfBudget()`."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Mapping

from ..observer.errors import CloisterError

logger = logging.getLogger("cloister")

INTERRUPTED = "INTERRUPTED"
_TAKEN = frozenset({"QUEUED", "RUNNING", "COMPLETED", "FAILED"})
_STATUS = re.compile(r"[A-Z][A-Z0-9_]{0,39}")


class BadStatus(CloisterError, ValueError):
    """A status that no interrupted run can have."""

    def __init__(self, status: object) -> None:
        super().__init__(
            f"{status!r} cannot be the status of an interrupted run. Use capital letters, digits and _, up to 40 of "
            "them, such as OUT_OF_BUDGET; QUEUED, RUNNING, COMPLETED and FAILED mean something else."
        )


class Interruption(Exception):
    """Raise it, or a class of your own made from it, to end a run without calling it failed.

    The run is stored with the class's `status`; the exception goes on to the caller, as Ctrl-C does.
    """

    status: str = INTERRUPTED


class OutOfTime(Interruption):
    """The time that the run may take is over."""

    status = "TIMEOUT"


def check_status(status: object) -> str:
    """`status`, if an interrupted run can have it.

    Raises:
        BadStatus: it cannot.
    """
    if not isinstance(status, str) or status in _TAKEN or _STATUS.fullmatch(status) is None:
        raise BadStatus(status)
    return status


def interruption_status(error: BaseException, named: Mapping[type[BaseException], str]) -> str | None:
    """The status of a run that `error` interrupts; None if it is a failure.

    Args:
        named: statuses that the experiment gives to exceptions of other libraries; the first that fits counts.
    """
    for kind, status in named.items():
        if isinstance(error, kind):
            return status
    if isinstance(error, Interruption):
        return _usable(error.status)
    sacred = sys.modules.get("sacred.utils")  # a script that comes from Sacred may still raise its exceptions
    if sacred is not None and isinstance(error, getattr(sacred, "SacredInterrupt", ())):
        return _usable(getattr(error, "STATUS", INTERRUPTED))
    return None


def _usable(status: object) -> str:
    try:
        return check_status(status)
    except BadStatus as error:
        logger.warning("%s The run is stored as INTERRUPTED.", error)
        return INTERRUPTED
