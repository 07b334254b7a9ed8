"""A run's config as a tree: what was changed from its default, what a search finds, which branches stand folded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from .wording import format_config_value, format_exact

_ABSENT = object()
OPEN_UP_TO_KEYS = 12  # larger branches stand folded at first
DEEPEST = 40


@dataclass(frozen=True)
class Leaf:
    """One value.

    Attributes:
        path: the dotted path, as people write it on the command line.
        value, plain: the value in words; text with and without its quotes.
        before: the default, when the value differs from it.
        added: the value has no default at all, although the run knows defaults.
    """

    key: str
    path: str
    value: str
    plain: str
    exact: str
    before: str | None = None
    added: bool = False

    @property
    def changed(self) -> bool:
        return self.before is not None or self.added


@dataclass(frozen=True)
class Branch:
    """Values under a common key. `is_open` while a search looks into it, when it is small or holds a change."""

    key: str
    path: str
    children: tuple[Leaf | Branch, ...]
    key_count: int
    changed_count: int
    is_open: bool


def build_tree(config: Mapping[str, Any], defaults: Mapping[str, Any], text: str = "") -> Branch:
    """The config as a branch without a key; with `text`, only what has it in its path or its value, in any case."""
    return _build("", "", config, defaults if defaults else _ABSENT, text.strip().lower(), 0)


def iter_leaves(config: Mapping[str, Any], defaults: Mapping[str, Any]) -> Iterator[Leaf]:
    """All values in the order of the config."""
    yield from _iter_leaves(build_tree(config, defaults))


def _iter_leaves(branch: Branch) -> Iterator[Leaf]:
    for child in branch.children:
        if isinstance(child, Branch):
            yield from _iter_leaves(child)
        else:
            yield child


def _build(key: str, path: str, config: Mapping[str, Any], defaults: Any, text: str, depth: int) -> Branch:
    children: list[Leaf | Branch] = []
    for name, value in config.items():
        inner_path = f"{path}.{name}" if path else str(name)
        default = _default_of(defaults, name)
        if isinstance(value, Mapping) and value and depth < DEEPEST:
            inner = _build(str(name), inner_path, value, default, text, depth + 1)
            if inner.children:
                children.append(inner)
        else:
            leaf = _leaf(str(name), inner_path, value, default)
            if text in inner_path.lower() or text in leaf.value.lower():
                children.append(leaf)
    keys = sum(child.key_count if isinstance(child, Branch) else 1 for child in children)
    changed = sum(child.changed_count if isinstance(child, Branch) else int(child.changed) for child in children)
    return Branch(key, path, tuple(children), keys, changed, bool(text or changed or keys <= OPEN_UP_TO_KEYS))


def _default_of(defaults: Any, name: str) -> Any:
    """The default under `name`; `_ABSENT` stays absent: a run without defaults has nothing that could differ."""
    if defaults is _ABSENT:
        return _ABSENT
    return defaults.get(name, _Missing) if isinstance(defaults, Mapping) else _Missing


class _Missing:
    """The run has defaults, but none for this key."""


def _leaf(key: str, path: str, value: Any, default: Any) -> Leaf:
    words, plain, exact = format_config_value(value, quoted=True), format_config_value(value), format_exact(value)
    if default is _Missing:
        return Leaf(key, path, words, plain, exact, added=True)
    if default is _ABSENT or (default == value and type(default) is type(value)) or default is value:
        return Leaf(key, path, words, plain, exact)
    before = format_config_value(default, quoted=True)
    return Leaf(key, path, words, plain, exact, before=before if before != words else None)
