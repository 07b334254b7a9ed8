"""Runs that Sacred or another program wrote, in our terms. Fields of any shape are read as far as they make sense."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from .field_names import decode_field_names
from .run_status import FOREIGN_LOST_AFTER_SECONDS, LOST_AFTER_SECONDS
from .sacred_references import Encoder
from .sacred_values import plain_parts, plain_value
from .snapshot.remote_urls import without_credentials

SACREDS_ENCODER = "sacred"  # `cloister.encoder` of our runs that hold objects as Sacred's encoder has them
JSONPICKLE_2 = datetime(2021, 2, 1)
_WITH_OWN_HANDLERS = ("0.7", "0.8.0")  # Sacreds that encoded numpy's values themselves
_BEFORE_JSONPICKLE_2 = ("0.8.1", "0.8.2")  # Sacreds that asked for an older one
ENCODERS = "_encoders"  # beside a run's document: those of its dependencies that say so, where the others are left out
BEAT_OPTIONS = ("--beat-interval", "--beat_interval")  # the second until 0.7.5
_BEATS_MISSED = 3
_DEPENDENCIES_LIMIT = 10_000

# What each field should be; None and a missing field say nothing and are no damage.
_KINDS: dict[str, tuple[tuple[type, ...], str]] = {
    "config": ((Mapping,), "a document"),
    "info": ((Mapping,), "a document"),
    "meta": ((Mapping,), "a document"),
    "experiment": ((Mapping,), "a document"),
    "host": ((Mapping, str), "a document"),
    "start_time": ((datetime,), "a date"),
    "stop_time": ((datetime,), "a date"),
    "heartbeat": ((datetime,), "a date"),
    "status": ((str,), "text"),
    "command": ((str,), "text"),
    "artifacts": ((list,), "a list"),
    "resources": ((list,), "a list"),
    "fail_trace": ((list, str), "a list"),
    "omniboard": ((Mapping,), "a document"),
}
_GROUPS = ("experiment.sources", "experiment.dependencies", "experiment.repositories")


@dataclass(frozen=True)
class ForeignFacts:
    """What only a document of Sacred's says, or says otherwise than ours."""

    environment: dict[str, Any]
    git: dict[str, Any]
    tags: tuple[str, ...]
    notes: str
    unreadable: tuple[str, ...]


def is_foreign(document: Mapping[str, Any]) -> bool:
    """Whether nothing of ours has recorded this run."""
    ours = document.get("cloister")
    return not (isinstance(ours, Mapping) and isinstance(ours.get("uid"), str) and ours["uid"])


def values_reader(document: Mapping[str, Any]) -> Callable[[Any], Any]:
    """How the values in `config`, `info`, `result` and `meta` of this run are read, by who wrote them."""
    if is_foreign(document):
        encoder = _encoder(document)
        return lambda value: plain_value(value, encoder=encoder)
    return plain_parts if document["cloister"].get("encoder") == SACREDS_ENCODER else decode_field_names


def patience_seconds(document: Mapping[str, Any]) -> float:
    """After how much silence this run counts as lost: Sacred's beat is as seldom as its user wanted."""
    if not is_foreign(document):
        return LOST_AFTER_SECONDS
    options = mapping(mapping(document.get("meta")).get("options"))
    try:
        beat = max(float(options.get(name) or 0) for name in BEAT_OPTIONS)
    except (TypeError, ValueError, OverflowError):
        beat = 0.0
    return max(FOREIGN_LOST_AFTER_SECONDS, _BEATS_MISSED * beat) if beat < float("inf") else beat


def read_facts(document: Mapping[str, Any], plain: Callable[[Any], Any]) -> ForeignFacts:
    """What a document says beside the fields that ours has too.

    Args:
        plain: `values_reader` of the document.
    """
    experiment, host = mapping(document.get("experiment")), document.get("host")
    omniboard, config = mapping(document.get("omniboard")), mapping(document.get("config"))
    tags = omniboard.get("tags") if "tags" in omniboard else config.get("tags") if is_foreign(document) else None
    notes = text(omniboard.get("notes")) or text(mapping(document.get("meta")).get("comment"))
    return ForeignFacts(
        _read_environment(experiment, mapping(host), plain),
        _read_git(experiment),
        _read_tags(plain(tags)),
        notes,
        tuple(_find_unreadable(document, experiment)),
    )


def without_metrics(info: Any) -> dict[str, Any]:
    """`info` as a user filled it: where its metrics are stored is Sacred's own note there."""
    fields = mapping(info)
    noted = sequence(fields.get("metrics"))
    if "metrics" in fields and all(isinstance(each, Mapping) and {"name", "id"} == set(each) for each in noted):
        del fields["metrics"]
    return fields


def read_lines(value: Any) -> tuple[str, ...]:
    """A traceback: Sacred's list of lines, or a text."""
    return tuple(value.splitlines(keepends=True)) if isinstance(value, str) else tuple(map(text, sequence(value)))


def read_pair(entry: Any) -> tuple[str, Any] | None:
    """Name and file id (or digest) of a source, an artifact, a resource: `[name, id]`, or a document of the two."""
    if isinstance(entry, (list, tuple)):
        return (text(entry[0]), entry[1]) if len(entry) > 1 and isinstance(entry[0], str) else None
    if isinstance(entry, Mapping):
        name = entry.get("name") if "name" in entry else entry.get("path", entry.get("filename"))
        return text(name), entry.get("file_id", entry.get("md5"))
    return None


def _encoder(document: Mapping[str, Any]) -> Encoder:
    """Which encoder wrote this run's values, from the versions that it names, else from its time."""
    listed = document.get(ENCODERS)
    if not isinstance(listed, list):
        listed = sequence(mapping(document.get("experiment")).get("dependencies"))[:_DEPENDENCIES_LIMIT]
    versions = dict(text(dependency).split("==", 1) for dependency in listed if "==" in text(dependency))
    jsonpickle, sacred = versions.get("jsonpickle", ""), versions.get("sacred", "")
    if jsonpickle.startswith("0.") or sacred.startswith(_WITH_OWN_HANDLERS):
        return "sacred 0.8.0"
    if jsonpickle:
        return "jsonpickle 1" if jsonpickle.startswith("1.") else "jsonpickle 2"
    if sacred.startswith(_BEFORE_JSONPICKLE_2):
        return "jsonpickle 1"
    started = document.get("start_time")
    is_old = isinstance(started, datetime) and started.replace(tzinfo=None) < JSONPICKLE_2
    return "sacred 0.8.0" if is_old and not sacred else "jsonpickle 2"


def _read_environment(
    experiment: Mapping[str, Any], host: Mapping[str, Any], plain: Callable[[Any], Any]
) -> dict[str, Any]:
    """Sacred's host and dependencies under the names that our own environment has."""
    known = ("hostname", "os", "python_version", "cpu", "gpus", "ENV")
    system = sequence(host.get("os")) or [host.get("os")]
    gpus = mapping(host.get("gpus"))
    facts = {
        "host": text(host.get("hostname")),
        "os_name": text(system[0]),
        "os": text(system[1]) if len(system) > 1 else "",
        "python": text(host.get("python_version")),
        "cpu": text(host.get("cpu")),
        "gpus": [_read_gpu(gpu) for gpu in sequence(gpus.get("gpus"))],
        "gpu_driver": text(gpus.get("driver_version")),
        "variables": {name: text(value) for name, value in mapping(host.get("ENV")).items()},
        "working_folder": text(experiment.get("base_dir")),
        "main_file": text(experiment.get("mainfile")),
        "distributions": [text(entry) for entry in sequence(experiment.get("dependencies")) if entry is not None],
        **{name: plain(value) for name, value in host.items() if name not in known},
    }
    return {name: value for name, value in facts.items() if value not in ("", [], {}, None)}


def _read_gpu(gpu: Any) -> dict[str, Any]:
    fields = mapping(gpu)
    memory = fields.get("total_memory")
    known: dict[str, Any] = {"name": text(fields.get("model")) or "unnamed"}
    if isinstance(memory, (int, float)) and 0 < memory < 2**40:
        known["memory_bytes"] = int(memory * 1024 * 1024)
    return known


def _read_git(experiment: Mapping[str, Any]) -> dict[str, Any]:
    """The repository of the first source that had one; Sacred names it once for each source file, without changes."""
    found = [mapping(entry) for entry in sequence(experiment.get("repositories"))]
    named = [entry for entry in found if text(entry.get("commit"))]
    if not named:
        return {}
    first, url = named[0], text(named[0].get("url"))
    others = sorted({f"{without_credentials(text(entry.get('url')))} {text(entry['commit'])}" for entry in named[1:]})
    shown = without_credentials(url)
    state = {
        "state": "repository",
        "commit": text(first["commit"]),
        "dirty": first.get("dirty") is True,
        "remotes": [{"name": "origin", "url": shown}] if shown else [],
        "further": [entry for entry in others if entry != f"{shown} {text(first['commit'])}"],
    }
    return {name: value for name, value in state.items() if value not in ([], "")}


def _read_tags(tags: Any) -> tuple[str, ...]:
    if isinstance(tags, str):
        return (tags,) if tags else ()
    return tuple(dict.fromkeys(text(tag) for tag in sequence(tags) if tag not in (None, "")))


def _find_unreadable(document: Mapping[str, Any], experiment: Mapping[str, Any]) -> Iterable[str]:
    """Which fields hold what nobody expects there, in words."""
    for name, (kinds, words) in _KINDS.items():
        value = document.get(name)
        if value is not None and not isinstance(value, kinds):
            yield f"{name} holds {_kind_of(value)} instead of {words}"
    for path in _GROUPS:
        value = experiment.get(path.partition(".")[2])
        if value is not None and not isinstance(value, (list, tuple)):
            yield f"{path} holds {_kind_of(value)} instead of a list"


def _kind_of(value: Any) -> str:
    names = {"str": "text", "bool": "true or false", "list": "a list", "datetime": "a date", "ObjectId": "an id"}
    if isinstance(value, Mapping):
        return "a document"
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return "a number"
    return names.get(type(value).__name__, f"a {type(value).__name__}")


# ---- values of unknown shape


def mapping(value: Any) -> dict[str, Any]:
    return dict(value) if isinstance(value, (dict, Mapping)) else {}  # dict first: an abstract class asks for long


def sequence(value: Any) -> list[Any]:
    return list(value) if isinstance(value, (list, tuple)) else []


def text(value: Any) -> str:
    # BSON's code is a str too, and one that is no key.
    return value if type(value) is str else "" if value is None else str(value)
