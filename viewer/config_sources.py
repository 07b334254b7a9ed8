"""Who said so: the preset, file, command line or function that gave an entry another value than its default."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..observer.run_record import RunRecord

WORDS_LIMIT = 200


@dataclass(frozen=True)
class ConfigSource:
    """Who set an entry.

    Attributes:
        words: "command line", "preset large", "base.yaml", "computed", "derived()".
        types: what the type has become, where it is another one than the default's.
    """

    words: str
    types: str = ""


def sources_of(run: RunRecord) -> dict[str, ConfigSource]:
    """By the dotted paths of the entries; empty where nobody kept it, as for runs that Sacred wrote."""
    found = {}
    for change in run.config_changes:
        key, words = change.get("key"), change.get("source")
        if isinstance(key, str) and isinstance(words, str) and words:
            found[key] = ConfigSource(words[:WORDS_LIMIT], _type_words(change.get("types")))
    return found


def source_of(path: str, sources: Mapping[str, ConfigSource]) -> ConfigSource | None:
    """Who set the entry `path`, or the nearest one that it lies in."""
    while path:
        if path in sources:
            return sources[path]
        path = path.rpartition(".")[0]
    return None


def _type_words(types: Any) -> str:
    if not isinstance(types, (list, tuple)) or len(types) != 2 or not all(isinstance(name, str) for name in types):
        return ""
    before, after = (name[:WORDS_LIMIT] for name in types)
    return f"{after} instead of {before}"
