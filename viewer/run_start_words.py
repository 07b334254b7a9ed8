"""How a run was started, in words: its command, presets, what was set, its place in the queue; Sacred's options too."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from .environment_facts import Fact, FactGroup
from .run_ending import Ending
from .wording import format_ago, format_clock_time, format_config_value, format_number

if TYPE_CHECKING:
    from ..observer.run_record import RunRecord

WORDS_LIMIT = 500
MOST_FACTS = 60
DEEPEST = 20
# What of `meta` has a row of its own, or stands elsewhere on the page.
_KNOWN = frozenset({"command", "options", "named_configs", "config_updates", "comment", "priority", "queue_time"})
_OPTIONS_SHOWN_ELSEWHERE = frozenset({"--comment", "--priority", "--queue", "--help", "help", "with", "COMMAND"})


def describe_start(run: RunRecord) -> FactGroup | None:
    """The card on the environment tab; None where nothing is known but the run's own name."""
    meta = run.meta
    rows = [
        ("Command", run.command if run.command != run.experiment else None),
        ("Comment", meta.get("comment")),
        ("Presets", ", ".join(presets_of(run))),
        ("Set for this run", _pairs(meta.get("config_updates"))),
        ("Queued", format_clock_time(queue_time_of(run)) if queue_time_of(run) else None),
        ("Priority", _number_words(meta.get("priority"))),
        ("Options", _options(meta.get("options"))),
        *((str(key), value) for key, value in meta.items() if key not in _KNOWN),
        ("Written by", f"{recorder_of(run)}, {run.format}".rstrip(", ") if run.uid is None else ""),
    ]
    facts = tuple(Fact(label, _words(value)) for label, value in rows[:MOST_FACTS] if not _is_unset(value))
    return FactGroup("Start", facts) if facts else None


def recorder_of(run: RunRecord) -> str:
    """Which program wrote the run, where it was not ours."""
    if run.uid is not None:
        return ""
    if run.format or "options" in run.meta:  # queued runs have no format
        return "Sacred"
    return "another program"


def presets_of(run: RunRecord) -> tuple[str, ...]:
    """The named configs that the run was started with; of a dict that stood for one, that it was one."""
    given = run.meta.get("named_configs")
    if isinstance(given, str):
        return (given,)
    if not isinstance(given, (list, tuple)):
        return ()
    return tuple(preset if isinstance(preset, str) else "a mapping" for preset in given[:MOST_FACTS])


def given_paths(run: RunRecord) -> frozenset[str]:
    """The config keys that were set for this run, as dotted paths. None where the defaults are known: they say more."""
    updates = run.meta.get("config_updates")
    if run.config_defaults or not isinstance(updates, Mapping):
        return frozenset()
    return frozenset(path for path, _ in _iter_leaves(updates))


def describe_queue(run: RunRecord) -> Ending | None:
    """The notice above a run that waits; None for all others."""
    if run.status != "queued":
        return None
    since = queue_time_of(run)
    words = [f"Queued {format_ago(since)}, at {format_clock_time(since)}" if since else "Nobody wrote down since when"]
    if isinstance(run.meta.get("priority"), (int, float)):
        words.append(f"with priority {format_number(run.meta['priority'])}")
    then = "A 'cloister worker' takes the run with the highest priority first."
    if run.uid is None:
        then = "Sacred starts no queued run itself; 'cloister worker --sacred' does."
    title = "Waits in the queue"
    return Ending(f"{title}: {run.custom_status}" if run.custom_status else title, f"{', '.join(words)}. {then}")


def queue_time_of(run: RunRecord) -> datetime | None:
    when = run.meta.get("queue_time")
    if not isinstance(when, datetime):
        return None
    return when if when.tzinfo else when.replace(tzinfo=timezone.utc)


def _options(options: Any) -> str:
    if not isinstance(options, Mapping):
        return ""
    shown = []
    for name, value in list(options.items())[:MOST_FACTS]:
        if name in _OPTIONS_SHOWN_ELSEWHERE or _is_unset(value):
            continue
        shown.append(str(name) if value is True else f"{name} {format_config_value(value)}")
    return ", ".join(shown)


def _pairs(updates: Any) -> str:
    if not isinstance(updates, Mapping):
        return ""
    return ", ".join(f"{path} = {format_config_value(value, quoted=True)}" for path, value in _iter_leaves(updates))


def _iter_leaves(updates: Mapping[Any, Any], prefix: str = "", depth: int = 0) -> Iterator[tuple[str, Any]]:
    for key, value in updates.items():
        path = f"{prefix}{key}"
        if isinstance(value, Mapping) and value and depth < DEEPEST:
            yield from _iter_leaves(value, f"{path}.", depth + 1)
        else:
            yield path, value


def _is_unset(value: Any) -> bool:
    """Nothing, or an option that was not given. A zero is something."""
    return value is None or value is False or (isinstance(value, (str, list, tuple, Mapping)) and not value)


def _number_words(value: Any) -> Any:
    """5 for 5.0, which queues keep."""
    return format_number(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else value


def _words(value: Any) -> str:
    text = format_config_value(value)
    return text if len(text) <= WORDS_LIMIT else f"{text[:WORDS_LIMIT]}…"
