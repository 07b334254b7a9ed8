"""What a script notes of its run beside metrics: `run.info`, a dict that is stored with each sign of life."""

from __future__ import annotations

import base64
import logging
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from ..observer.bson_values import to_bson
from ..observer.field_names import encode_field_name

logger = logging.getLogger("cloister")

RESERVED = "metrics"  # Sacred's readers look there for the names of the run's metrics


class RunInfo:
    """Holds the dict, and records what has changed in it since it was recorded last.

    The script may change it at any time, nested values included; so whether something has changed is seen by its bytes.
    """

    def __init__(self, record_fields: Callable[[Mapping[str, Any]], None]) -> None:
        self.values: dict[str, Any] = {}
        self._record_fields = record_fields
        self._recorded: dict[str, bytes] = {}
        self._told = False

    def record_changes(self) -> None:
        """Record the entries that are new or different; one that is gone becomes None."""
        if not self.values and not self._recorded:
            return
        from bson import encode  # spares `import cloister` the driver

        changed: dict[str, Any] = {}
        plain = self._plain()
        for key, value in plain.items():
            data = encode({"v": value})
            if self._recorded.get(key) != data:
                self._recorded[key] = data
                changed[f"info.{key}"] = value
        for key in self._recorded.keys() - plain.keys():
            del self._recorded[key]
            changed[f"info.{key}"] = None
        if changed:
            self._record_fields(changed)

    def _plain(self) -> dict[str, Any]:
        # A copy, made in one step of the interpreter: the script's threads may change it meanwhile.
        plain = _as_json(to_bson(self.values.copy()))
        found = dict(plain) if isinstance(plain, dict) else {"value": plain}
        if encode_field_name(RESERVED) in found:
            del found[encode_field_name(RESERVED)]
            if not self._told:
                self._told = True
                logger.warning("run.info['metrics'] is not stored: the run's metrics are listed there. Rename it.")
        return found


def _as_json(value: Any) -> Any:
    """Times and bytes as text. Incense reads info as JSON, and finds no run at all where one of them holds another."""
    if isinstance(value, dict):
        return {key: _as_json(child) for key, child in value.items()}
    if isinstance(value, list):
        return [_as_json(child) for child in value]
    if isinstance(value, datetime):
        return value.isoformat()
    return base64.b64encode(value).decode("ascii") if isinstance(value, bytes) else value
