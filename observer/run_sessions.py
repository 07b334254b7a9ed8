"""The sessions of a run: one process after another that goes on with it (resume), several at once (ranks).

A session is what one process records, from `start_run` to its end; its first record says who it is. The newest session
of rank 0 decides over the run's status. What an older one brings late, from a journal that was on its way, is kept, but
its end is not the run's end any more.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

# Field paths in a run's document, beside those in run_record.py.
SESSION = "cloister.session"  # {time, host, pid, started, machine}: the newest of rank 0
RESUMED = "cloister.resumed"  # [{time, host, pid, stopped, config}]
PAUSED_SECONDS = "cloister.paused_seconds"  # between sessions: no part of the run's duration
RANKS = "cloister.ranks"  # {"1": {host, pid, status, exit, fail_trace, heartbeat, ...}}
WORLD_SIZE = "cloister.world_size"
FORKED_FROM = "cloister.forked_from"  # {run_id, uid, step, state "waiting" | "copied", note}
# What the courier has to know of a run to apply a session's records.
KEPT_FIELDS = (SESSION, RESUMED, PAUSED_SECONDS, RANKS, WORLD_SIZE, FORKED_FROM, "start_time", "stop_time", "heartbeat")

_RANK = re.compile(r"[0-9]{1,7}")
_DESCRIBING = ("config", "command", "host", "start_time")  # of a run's header, at the top level of its document
_DESCRIBING_OURS = ("name", "project", "group", "job_type", "tags", "notes", "owner", "config_defaults", "argv")


def session_fields(header: Mapping[str, Any]) -> dict[str, Any]:
    """What a new run's document holds under `cloister` of the session that registers it."""
    rank = rank_of(header)
    fields: dict[str, Any] = {
        "session": _session(header) if rank == 0 else None,
        "resumed": [],
        "paused_seconds": 0.0,
        "ranks": {},
        "world_size": int(header.get("world_size") or 1),
    }
    if "fork_from" in header:
        origin = header["fork_from"]
        known = {"run_id": origin.get("id"), "uid": origin.get("uid"), "step": origin["step"]}
        fields["forked_from"] = {**known, "state": "waiting", "note": ""}
    return fields


def take_session(run: dict[str, Any], header: Mapping[str, Any]) -> dict[str, Any]:
    """What the first record of a segment changes in the run's document: fields to set, by path.

    A session has as many segments as it needs and its forked children open further ones, all with the same first
    record: only the first of them says anything new.

    Args:
        run: the document as the courier knows it (`KEPT_FIELDS`); brought up to date here.
    """
    changes: dict[str, Any] = {}
    rank = rank_of(header)
    if int(header.get("world_size") or 1) > 1 or rank > 0:
        changes.update(_take_rank(run, header, rank))
    if rank == 0 and "session" in header:
        changes.update(_take_main(run, header))
    _remember(run, changes)
    return changes


def is_newest(run: Mapping[str, Any], header: Mapping[str, Any]) -> bool:
    """Whether the session of `header` is the newest of its rank, whose end and signs of life count."""
    if "session" not in header:
        return True
    rank = rank_of(header)
    ours = run.get("cloister") or {}
    known = ours.get("session") if rank == 0 else (ours.get("ranks") or {}).get(str(rank))
    return not known or _time(header["session"]) >= _time(known)


def end_changes(header: Mapping[str, Any], end: Mapping[str, Any], when: datetime) -> dict[str, Any]:
    """What the end of a rank other than 0 changes: that rank's state, and nothing of the run's."""
    path = f"{RANKS}.{rank_of(header)}"
    changes = {f"{path}.{name}": end[name] for name in ("status", "stop_time", "exit", "fail_trace") if name in end}
    return {**changes, f"{path}.heartbeat": when, f"{path}.lost": end.get("lost") or {}}


def beat_changes(header: Mapping[str, Any], beat: Mapping[str, Any], when: datetime) -> dict[str, Any]:
    """What a sign of life of a rank other than 0 changes."""
    path = f"{RANKS}.{rank_of(header)}"
    return {f"{path}.heartbeat": when, f"{path}.lost": beat.get("lost") or {}}


def rank_of(header: Mapping[str, Any]) -> int:
    return int(header.get("rank") or 0)


def resumption(
    header_process: Mapping[str, Any], when: datetime, *, stopped: Any = None, config: Any = ()
) -> dict[str, Any]:
    """A note of a resume: when, by whom, when the run had stopped, and how the new config differs from the kept one."""
    return {
        "time": when,
        "host": header_process.get("host", ""),
        "pid": header_process.get("pid"),
        "stopped": stopped,
        "config": list(config),
    }


def paused_between(stopped: Any, when: Any) -> float:
    """Seconds between the end of one session and the start of the next, 0 where they are not known."""
    if not isinstance(stopped, datetime) or not isinstance(when, datetime):
        return 0.0
    return max(0.0, (_aware(when) - _aware(stopped)).total_seconds())


def _take_main(run: dict[str, Any], header: Mapping[str, Any]) -> dict[str, Any]:
    ours = run["cloister"]
    known = ours.get("session")
    if known is None:  # another rank was faster, and registered the run for us
        origin = session_fields(header).get("forked_from")
        changes: dict[str, Any] = {name: header[name] for name in _DESCRIBING if name in header}
        changes.update({f"cloister.{name}": header[name] for name in _DESCRIBING_OURS if name in header})
        changes["start_time"] = min(header["start_time"], run.get("start_time") or header["start_time"], key=_aware)
        return {**changes, SESSION: _session(header), **({FORKED_FROM: origin} if origin else {})}
    if any(_same(note, header) for note in ours.get("resumed") or []):
        return {}
    if not header.get("resumed") and _time(header["session"]) <= _time(known):
        return _take_original(run, header)
    changes = {}
    # Without a note, it did not mean to resume: while the database was away it could not know that the run existed.
    note = dict(header.get("resumption") or resumption(header["session"], header["session"]["time"]))
    if not note.get("stopped"):
        note["stopped"] = run.get("stop_time") or run.get("heartbeat")
    changes[RESUMED] = sorted([*(ours.get("resumed") or []), note], key=lambda note: _aware(note["time"]))
    paused = paused_between(note["stopped"], note["time"])
    changes[PAUSED_SECONDS] = float(ours.get("paused_seconds") or 0.0) + paused
    if is_newest(run, header):
        changes.update({SESSION: _session(header), "status": "RUNNING", "stop_time": None})
        changes.update({"heartbeat": header["session"]["time"], "fail_trace": [], "cloister.exit": {}})
    return changes


def _take_original(run: Mapping[str, Any], header: Mapping[str, Any]) -> dict[str, Any]:
    """The first session of a run that the database has met by a later one: the run is as it was started."""
    if _aware(header["start_time"]) >= _aware(run.get("start_time") or header["start_time"]):
        return {}
    kept = {"config": header.get("config", {}), "cloister.config_defaults": header.get("config_defaults", {})}
    return {**kept, "start_time": header["start_time"]}


def _take_rank(run: dict[str, Any], header: Mapping[str, Any], rank: int) -> dict[str, Any]:
    ours = run["cloister"]
    world_size = max(int(header.get("world_size") or 1), int(ours.get("world_size") or 1))
    changes: dict[str, Any] = {} if ours.get("world_size") == world_size else {WORLD_SIZE: world_size}
    known = (ours.get("ranks") or {}).get(str(rank))
    if known and _time(known) >= _time(header["session"]):
        return changes
    state = {**header["session"], "local_rank": header.get("local_rank")}
    if rank > 0:  # rank 0's are the run's own
        state.update({"status": "RUNNING", "heartbeat": header["session"]["time"]})
    changes[f"{RANKS}.{rank}"] = state
    return changes


def _session(header: Mapping[str, Any]) -> dict[str, Any] | None:
    return dict(header["session"]) if "session" in header else None


def _same(note: Mapping[str, Any], header: Mapping[str, Any]) -> bool:
    return _time(note) == _time(header["session"]) and note.get("pid") == header["session"].get("pid")


def _remember(run: dict[str, Any], changes: Mapping[str, Any]) -> None:
    for path, value in changes.items():
        place = run
        *parents, last = path.split(".")
        for parent in parents:
            place = place.setdefault(parent, {})
        place[last] = value


def _time(state: Mapping[str, Any]) -> datetime:
    moment = state.get("time")
    return _aware(moment) if isinstance(moment, datetime) else datetime.fromtimestamp(0, timezone.utc)


def _aware(moment: datetime) -> datetime:
    return moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)


# ---- reading


@dataclass(frozen=True)
class Resumption:
    """One resume of a run.

    Attributes:
        stopped: when the run had stopped before, as far as is known.
        config_changes: values that the resuming script had otherwise: (dotted key, kept value, its value).
    """

    time: datetime | None
    host: str
    pid: int | None
    stopped: datetime | None
    config_changes: tuple[tuple[str, Any, Any], ...]


@dataclass(frozen=True)
class ForkOrigin:
    """Where a forked run comes from.

    Attributes:
        run_id: the parent's number, None while the database has not met it.
        step: the last step that is shared.
        note: what is not as it was asked for, in words; empty when all is.
    """

    run_id: Any
    uid: str | None
    step: int
    note: str


@dataclass(frozen=True)
class RankState:
    """One rank of a run of several processes. The status of rank 0 is the run's own."""

    rank: int
    host: str
    pid: int | None
    local_rank: int | None
    status: str
    heartbeat: datetime | None
    exit: dict[str, Any]
    fail_trace: tuple[str, ...]


def read_resumed(notes: Iterable[Any]) -> tuple[Resumption, ...]:
    """`cloister.resumed` as it is stored; entries of a foreign shape are left out."""
    found = [note for note in notes if isinstance(note, Mapping)]
    return tuple(
        Resumption(
            _moment(note.get("time")),
            str(note.get("host") or ""),
            _number(note.get("pid")),
            _moment(note.get("stopped")),
            tuple(
                (str(change.get("key")), change.get("kept"), change.get("given"))
                for change in (note["config"] if isinstance(note.get("config"), list) else ())
                if isinstance(change, Mapping)
            ),
        )
        for note in found
    )


def read_origin(stored: Any) -> ForkOrigin | None:
    if not isinstance(stored, Mapping) or not isinstance(stored.get("step"), int):
        return None
    uid = stored.get("uid")
    return ForkOrigin(
        stored.get("run_id"), uid if isinstance(uid, str) else None, stored["step"], str(stored.get("note") or "")
    )


def read_ranks(stored: Any, derive_status: Any, own_status: str) -> tuple[RankState, ...]:
    """`cloister.ranks` in the order of the ranks.

    Args:
        derive_status: as in run_record.py: a stored status and a heartbeat as a status to show.
        own_status: of the run, which is that of rank 0.
    """
    if not isinstance(stored, Mapping):
        return ()
    states = {int(key): value for key, value in stored.items() if _RANK.fullmatch(key) and isinstance(value, Mapping)}
    ranks = []
    for rank, state in sorted(states.items()):
        beat = _moment(state.get("heartbeat"))
        status = own_status if rank == 0 else derive_status(state.get("status"), beat, _moment(state.get("time")))
        trace = state.get("fail_trace")
        ranks.append(
            RankState(
                rank,
                str(state.get("host") or ""),
                _number(state.get("pid")),
                _number(state.get("local_rank")),
                status,
                beat,
                dict(state.get("exit") or {}) if isinstance(state.get("exit"), Mapping) else {},
                tuple(str(line) for line in trace) if isinstance(trace, (list, tuple)) else (),
            )
        )
    return tuple(ranks)


def _moment(value: Any) -> datetime | None:
    return _aware(value) if isinstance(value, datetime) else None


def _number(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None
