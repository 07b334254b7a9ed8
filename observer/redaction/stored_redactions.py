"""What a run's document says of its redactions: where, by which rule, how often. Never what."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pymongo.database import Database


@dataclass(frozen=True)
class Redaction:
    """One place of a run where something was taken out."""

    where: str
    rule: str
    count: int


def read_redactions(stored: Any) -> tuple[Redaction, ...]:
    """What all processes that recorded a run have counted, each place once, in the order in which they told."""
    counts: dict[tuple[str, str], int] = {}
    lists = [stored[who] for who in sorted(stored, key=str)] if isinstance(stored, Mapping) else [stored]
    for entries in lists:
        for entry in entries if isinstance(entries, (list, tuple)) else ():
            if isinstance(entry, Mapping) and isinstance(entry.get("count"), int):
                place = (str(entry.get("where") or ""), str(entry.get("rule") or ""))
                counts[place] = counts.get(place, 0) + entry["count"]
    return tuple(Redaction(where, rule, count) for (where, rule), count in counts.items())


def read_profile(stored: Any) -> str:
    """The profile under which a run is recorded: "full" where its document does not say."""
    name = stored.get("profile") if isinstance(stored, Mapping) else None
    return name if name in ("standard", "strict") else "full"


@dataclass(frozen=True)
class RedactionCounts:
    """What was redacted in the newest runs: by rule, in how many runs, of how many that were looked at."""

    by_rule: dict[str, int]
    runs: int
    looked_at: int


def count_redactions(database: Database[dict[str, Any]], limit: int = 1000) -> RedactionCounts:
    """Count over the newest `limit` runs of a database."""
    by_rule: dict[str, int] = {}
    runs = looked_at = 0
    wanted = {"cloister.redactions": 1}
    for document in database["runs"].find({}, wanted).sort("_id", -1).limit(limit):
        looked_at += 1
        ours = document.get("cloister")
        found = read_redactions(ours.get("redactions") if isinstance(ours, Mapping) else None)
        runs += bool(found)
        for one in found:
            by_rule[one.rule] = by_rule.get(one.rule, 0) + one.count
    return RedactionCounts(by_rule, runs, looked_at)
