"""MongoDB's own accounts: who may connect to the database, and with which rights (`cloister db users`)."""

from __future__ import annotations

from .kinds import KINDS, Kind, UnknownKind, find_kind
from .making import DatabaseUser, add_user, list_users, remove_user

__all__ = ["KINDS", "DatabaseUser", "Kind", "UnknownKind", "add_user", "find_kind", "list_users", "remove_user"]
