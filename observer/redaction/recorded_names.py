"""The names of host and person as a strict profile records them."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..account import login_name
from ..policy import Policy
from ..settings import Settings
from .pseudonyms import Pseudonyms, UnusablePseudonymKey, load_pseudonyms, momentary_pseudonyms

logger = logging.getLogger("cloister")


class RecordedNames:
    """Puts pseudonyms in the place of who records, and on which host."""

    def __init__(self, policy: Policy, settings: Settings) -> None:
        self._pseudonyms = _pseudonyms(policy, settings)
        login = login_name()
        self._home = os.path.expanduser("~").rstrip("/")  # noqa: PTH111 - Path.home raises where there is none
        self._login = (
            None if len(login) < 2 or " " in login else re.compile(rf"(?<=/){re.escape(login)}(?=/|$|[\s\"':])")
        )
        self._person = self._pseudonyms.of("person", login)

    def shorten(self, text: str) -> str:
        """A text whose paths do not say whose they are."""
        if len(self._home) > 1 and self._home in text:
            text = text.replace(self._home, "~")
        if self._login is not None and "/" in text:
            text = self._login.sub(self._person, text)
        return text

    def header_value(self, name: str, value: Any) -> Any:
        """A part of a run's header."""
        if name == "owner":
            return self._pseudonyms.of("person", str(value)) if value else value
        if name == "host":
            host = value.get("hostname") if isinstance(value, Mapping) else None
            return {"hostname": self._pseudonyms.of("host", str(host))} if host else {}
        if name in ("session", "resumption") and isinstance(value, Mapping) and value.get("host"):
            return {**value, "host": self._pseudonyms.of("host", str(value["host"]))}
        return value


def _pseudonyms(policy: Policy, settings: Settings) -> Pseudonyms:
    try:
        return load_pseudonyms(policy.pseudonym_key, Path(settings.data_folder))
    except (UnusablePseudonymKey, OSError) as error:
        logger.warning("%s Until then a name has another pseudonym in each run.", error)
        return momentary_pseudonyms()
