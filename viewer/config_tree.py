"""A run's config as a tree: what was changed from its default, what a search finds, which branches stand folded."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ..observer.encryption.opened import LockedText
from .config_sources import ConfigSource, source_of
from .wording import format_config_value, format_exact

if TYPE_CHECKING:
    from ..observer.run_record import RunRecord

OPEN_UP_TO_KEYS = 12  # larger branches stand folded at first
DEEPEST = 40
HINT_LIMIT = 400


@dataclass(frozen=True)
class Leaf:
    """One value.

    Attributes:
        path: the dotted path, as people write it on the command line.
        value, plain: the value in words; text with and without its quotes.
        before: the default, when the value differs from it.
        added: the value has no default at all, although the run knows defaults.
        given: the value was set for this run, of which no defaults are known.
        source: who changed it, where that is known.
        locked: why it cannot be read, where it is encrypted.
    """

    key: str
    path: str
    value: str
    plain: str
    exact: str
    before: str | None = None
    added: bool = False
    given: bool = False
    source: ConfigSource | None = None
    locked: str = ""

    @property
    def changed(self) -> bool:
        return self.before is not None or self.added or self.given

    @property
    def hint(self) -> str:
        """All digits, and who changed it."""
        exact = self.exact[:HINT_LIMIT]
        return exact if self.source is None else f"{exact}, {self.source.words}"


@dataclass(frozen=True)
class Branch:
    """Values under a common key. `is_open` while a search looks into it, when it is small or holds a change."""

    key: str
    path: str
    children: tuple[Leaf | Branch, ...]
    key_count: int
    changed_count: int
    is_open: bool


def build_tree(
    config: Mapping[str, Any],
    defaults: Mapping[str, Any],
    text: str = "",
    given: Collection[str] = (),
    sources: Mapping[str, ConfigSource] | None = None,
) -> Branch:
    """The config as a branch without a key.

    Args:
        text: only what has it in its path or its value, in any case.
        given: the paths that were set for this run, where that is known and the defaults are not.
        sources: who changed which entry.
    """
    search = _Search(text.strip().lower(), sources or {})
    return _build("", "", config, defaults if defaults else _Given(given), search, 0)


def iter_leaves(
    config: Mapping[str, Any],
    defaults: Mapping[str, Any],
    given: Collection[str] = (),
    sources: Mapping[str, ConfigSource] | None = None,
) -> Iterator[Leaf]:
    """All values in the order of the config."""
    yield from _iter_leaves(build_tree(config, defaults, given=given, sources=sources))


def info_of(run: RunRecord) -> dict[str, Any]:
    """What a run noted about itself, without Sacred's list of its metrics."""
    return {key: value for key, value in run.info.items() if key != "metrics" or not _names_metrics(value)}


def _names_metrics(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and all(
        isinstance(entry, Mapping) and {"name", "id"} <= set(entry) for entry in value
    )


def _iter_leaves(branch: Branch) -> Iterator[Leaf]:
    for child in branch.children:
        if isinstance(child, Branch):
            yield from _iter_leaves(child)
        else:
            yield child


@dataclass(frozen=True)
class _Search:
    """What is looked for, and who changed which entry: the same all over the tree."""

    text: str
    sources: Mapping[str, ConfigSource]

    def finds(self, leaf: Leaf) -> bool:
        said = leaf.source.words if leaf.source else ""
        return any(self.text in words.lower() for words in (leaf.path, leaf.value, said))


def _build(key: str, path: str, config: Mapping[str, Any], defaults: Any, search: _Search, depth: int) -> Branch:
    children: list[Leaf | Branch] = []
    for name, value in config.items():
        inner_path = f"{path}.{name}" if path else str(name)
        default = _default_of(defaults, name)
        if isinstance(value, Mapping) and value and depth < DEEPEST:
            inner = _build(str(name), inner_path, value, default, search, depth + 1)
            if inner.children:
                children.append(inner)
        else:
            leaf = _leaf(str(name), inner_path, value, default)
            if leaf.changed and search.sources:
                leaf = replace(leaf, source=source_of(inner_path, search.sources))
            if search.finds(leaf):
                children.append(leaf)
    keys = sum(child.key_count if isinstance(child, Branch) else 1 for child in children)
    changed = sum(child.changed_count if isinstance(child, Branch) else int(child.changed) for child in children)
    return Branch(key, path, tuple(children), keys, changed, bool(search.text or changed or keys <= OPEN_UP_TO_KEYS))


def _default_of(defaults: Any, name: str) -> Any:
    """The default under `name`; `_Given` stays what it is: a run without defaults has nothing that could differ."""
    if isinstance(defaults, _Given):
        return defaults
    return defaults.get(name, _Missing) if isinstance(defaults, Mapping) else _Missing


@dataclass(frozen=True)
class _Given:
    """The run has no defaults; these paths were set for it."""

    paths: Collection[str]

    def covers(self, path: str) -> bool:
        return path in self.paths or any(path.startswith(f"{given}.") for given in self.paths)


class _Missing:
    """The run has defaults, but none for this key."""


def _leaf(key: str, path: str, value: Any, default: Any) -> Leaf:
    words, plain, exact = format_config_value(value, quoted=True), format_config_value(value), format_exact(value)
    if isinstance(value, LockedText):
        return Leaf(key, path, words, plain, value.reason, locked=value.reason)
    if default is _Missing:
        return Leaf(key, path, words, plain, exact, added=True)
    if isinstance(default, _Given):
        return Leaf(key, path, words, plain, exact, given=default.covers(path))
    if (default == value and type(default) is type(value)) or default is value:
        return Leaf(key, path, words, plain, exact)
    before = format_config_value(default, quoted=True)
    return Leaf(key, path, words, plain, exact, before=before if before != words else None)
