"""Where a view gets its store from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from flask import current_app

if TYPE_CHECKING:
    from ..observer.runs import RunStore

_EXTENSION = "cloister.store"


@dataclass(frozen=True)
class StoreAccess:
    """The store to read from now, and what to do when its database did not answer."""

    get: Callable[[], RunStore]
    look_again: Callable[[], None] = lambda: None


def bind_store(extensions: dict[str, Any], access: StoreAccess) -> None:
    """Make this the store that `current_store` gives to the views of the app with these `extensions`."""
    extensions[_EXTENSION] = access


def bound_access(extensions: dict[str, Any]) -> StoreAccess:
    access: StoreAccess = extensions[_EXTENSION]
    return access


def current_store() -> RunStore:
    """The store that the current request reads from. Views never connect by themselves."""
    return bound_access(current_app.extensions).get()


def report_silence() -> None:
    """The database of the current request did not answer."""
    bound_access(current_app.extensions).look_again()
