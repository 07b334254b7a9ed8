"""What a run's journal begins with: Sacred's description of a run that starts or is queued."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any

from ...observer.account import login_name
from ...observer.bson_values import NAME_LIMIT, to_text
from ...observer.process_facts import this_process
from ...observer.session_names import session_time
from ..run_identity import new_uid
from .sacred_encoding import stored_name, to_stored, to_stored_fields
from .target import Target


def header_of(
    project: str | None, target: Target, given: Mapping[str, Any], *, status: str, overwrite: Any = None
) -> dict[str, Any]:
    """The first record of the journal, from what Sacred says of a run that starts or is queued.

    Args:
        given: the arguments of Sacred's event.
        overwrite: the id of the run that this one takes the place of.
    """
    info = given["ex_info"]
    experiment = {stored_name(key): to_stored(value) for key, value in dict(info).items() if key != "sources"}
    name = to_text(info.get("name") or "unnamed", NAME_LIMIT)
    uid = new_uid()
    run_id = overwrite if overwrite is not None else _usable_id(given.get("_id"))
    started = moment_of(given.get("start_time") or given.get("queue_time"))
    return {
        "uid": uid,
        "project": to_text(project or target.settings.project or name, NAME_LIMIT),
        "name": f"{name}-{uid[-4:]}",
        "experiment": name,
        "command": to_text(given.get("command") or "", NAME_LIMIT),
        "owner": login_name(),
        "start_time": started,
        "config": to_stored(given.get("config") or {}),
        "host": to_stored_fields(given.get("host_info")),
        "session": {"time": session_time(), **this_process()},
        "rank": 0,
        "world_size": 1,
        "sacred": {"status": status, "experiment": experiment, "meta": to_stored(given.get("meta_info") or {})},
        **({} if run_id is None else {"id": run_id}),
        **({} if overwrite is None else {"overwrite": True}),
        **target.collections.as_header(),
    }


def _usable_id(given: Any) -> Any:
    """An id that Sacred's user, or another observer, gave; None where MongoDB takes no such id."""
    from bson import encode
    from bson.errors import BSONError

    try:
        encode({"_id": given})
    except (BSONError, OverflowError, TypeError):
        return None
    return None if isinstance(given, (list, tuple)) else given


def moment_of(given: Any) -> datetime:
    """One of Sacred's times, which are UTC without saying so."""
    if not isinstance(given, datetime):
        return session_time()
    return given.replace(tzinfo=timezone.utc) if given.tzinfo is None else given
