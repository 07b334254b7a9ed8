"""Where a view gets its store from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flask import current_app

if TYPE_CHECKING:
    from ..observer.runs import RunStore

_EXTENSION = "cloister.store"


def bind_store(extensions: dict[str, object], store: RunStore) -> None:
    """Make `store` the one that `current_store` gives to the views of the app with these `extensions`."""
    extensions[_EXTENSION] = store


def bound_store(extensions: dict[str, Any]) -> RunStore:
    store: RunStore = extensions[_EXTENSION]
    return store


def current_store() -> RunStore:
    """The store that the current request reads from. Views never connect by themselves."""
    return bound_store(current_app.extensions)
