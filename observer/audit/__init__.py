"""The audit log: who did what and when, append-only, each entry chained to the one before."""

from __future__ import annotations

from .actions import ACTIONS, Action, UnknownAction
from .entry import AuditEntry
from .log import AuditNotWritten, record_entry

__all__ = ["ACTIONS", "Action", "AuditEntry", "AuditNotWritten", "UnknownAction", "record_entry"]
