"""A config as `print_config` shows it: a tree with marks where it differs from its defaults. Imports rich."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TextIO

from rich.console import Console
from rich.text import Text
from rich.tree import Tree

from .changes import ConfigChange, printable, shorten_value
from .draft import Draft
from .resolved import Resolved

# Sacred's colours. Each mark is in words too: a file has no colours.
CHANGED, ADDED, RETYPED, COMPUTED, DOC = "blue", "green", "red", "cyan", "dim"
UNBOUNDED = 10_000  # characters of a line that goes into a file: nothing is wrapped there


def show_config(name: str, resolved: Resolved, file: TextIO) -> None:
    """Prints the tree of the experiment that is called so; with colours on a terminal."""
    console = Console(file=file, highlight=False, markup=False, emoji=False)
    if not console.is_terminal:
        console.width = UNBOUNDED
    title = Text(f"Config of {name} (")
    for word, style in (("changed", CHANGED), ("added", ADDED), ("another type", RETYPED), ("computed", COMPUTED)):
        title.append(word, style).append(", ")
    title.append("what it is", DOC).append(")")
    if resolved.presets:
        title.append(f"\npresets and files: {printable(', '.join(resolved.presets))}")
    tree = Tree(title, guide_style=DOC)
    changes = {change.key: change for change in resolved.changes}
    _add_branch(tree, resolved.config, "", resolved, changes)
    for key in resolved.values.all_missing():
        tree.add(Text(f"{key}  (required, and not given)", RETYPED))
    console.print(tree, soft_wrap=not console.is_terminal)


def _add_branch(
    tree: Tree, config: Mapping[str, Any], above: str, resolved: Resolved, changes: Mapping[str, ConfigChange]
) -> None:
    for name, value in config.items():
        key = f"{above}.{name}" if above else name
        place = resolved.root.find(key)
        if isinstance(value, Mapping) and value:
            label = Text(printable(str(name)), "bold")
            _add_text(label, place)
            _add_branch(tree.add(label), value, key, resolved, changes)
        else:
            tree.add(_leaf(str(name), value, place, changes.get(key), resolved))


def _leaf(name: str, value: Any, place: Draft | None, change: ConfigChange | None, resolved: Resolved) -> Text:
    label = Text.assemble((printable(name), "bold"), " = ", (shorten_value(value), _style(change, place, resolved)))
    if change is not None:
        label.append(f"  ({_in_words(change)})", _style(change, place, resolved))
    elif place is not None and place.computed is not None:
        label.append(f"  ({place.computed!r})", COMPUTED)
    elif place is not None and place.key in resolved.given_by:
        label.append(f"  (computed by {resolved.given_by[place.key]})", COMPUTED)
    _add_text(label, place)
    return label


def _add_text(label: Text, place: Draft | None) -> None:
    if place is not None and place.description:
        label.append(f"  # {printable(place.description)}", DOC)


def _style(change: ConfigChange | None, place: Draft | None, resolved: Resolved) -> str:
    if change is None:
        is_computed = place is not None and (place.computed is not None or place.key in resolved.given_by)
        return COMPUTED if is_computed else ""
    if change.types is not None:
        return RETYPED
    if change.is_computed:
        return COMPUTED
    return ADDED if change.kind == "added" else CHANGED


def _in_words(change: ConfigChange) -> str:
    if change.kind != "changed":
        return f"{change.kind}, {change.source}"
    types = f", {change.types[0]} -> {change.types[1]}" if change.types is not None else ""
    return f"changed, {change.source}; default {shorten_value(change.before)}{types}"
