"""The ways in from outside, read and prepared when the viewer starts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from ...observer.errors import CloisterError
from ...observer.identity_file import load_identity
from ...observer.identity_settings import IdentitySettings
from ..accounts.users import has_users
from .outside import prepare_groups

if TYPE_CHECKING:
    from ...observer.runs import RunStore


class NoFirstAdmin(CloisterError, PermissionError):
    """People shall sign in through another system, and nobody here looks after the site yet."""

    def __init__(self, path: Path) -> None:
        super().__init__(
            f"{path} lets people of another system sign in, and there is no account yet that could say what they may "
            "do, or help when that system is away. Make the first one here: cloister user add NAME --admin"
        )


def open_identity(path: Path | None, store: Callable[[], RunStore]) -> IdentitySettings | None:
    """What the file at `path` says, with the groups that it names made; None without a file.

    Raises:
        BadIdentityFile: it cannot be used.
        NoFirstAdmin: there is no account yet. The first one is made on the console, by nobody but its owner.
    """
    if path is None:
        return None
    settings = load_identity(path)
    database = store().database
    if not has_users(database):
        raise NoFirstAdmin(path)
    prepare_groups(database, settings)
    return settings
