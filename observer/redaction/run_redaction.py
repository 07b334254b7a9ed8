"""What may be recorded of a run: its secrets taken out, its profile applied, and what was taken out counted."""

from __future__ import annotations

import io
import logging
import os
import re
import threading
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, BinaryIO

from ..kept_policy import database_policy_digest
from ..policy import Policy, recording_policy
from ..settings import Settings
from ..snapshot.secret_files import holds_secrets
from .built_in_rules import Found
from .console_redaction import ConsoleRedaction, Waits
from .file_redaction import FILE_LIMIT_BYTES, kind_of_file, redact_file
from .known_values import KnownValues, add_environment
from .recorded_names import RecordedNames
from .recording_profiles import GIT_FACTS, PATH_FACTS, PROFILES, rules_under
from .text_redaction import TextRules
from .value_redaction import ValueRules

logger = logging.getLogger("cloister")

REDACTIONS = "cloister.redactions"  # by who counted them: [{where, rule, count}]
RECORDING = "cloister.recording"  # {profile}: of a run that is not recorded in full
PLACES_LIMIT = 200  # places that are listed; what is redacted elsewhere is counted together
ELSEWHERE = "elsewhere"

_CODE_LINE = re.compile(r"^ {4,}\S.*$", re.MULTILINE)  # of a traceback
_NOT_IN_STRICT = {
    "cloister.environment": "environment", "experiment.dependencies": "environment", "host": "environment",
    "captured_out": "console", "experiment.repositories": "sources",
}  # fmt: skip


def begin_redaction(settings: Settings, folders: Sequence[Path], who: str = "0") -> tuple[RunRedaction, Policy]:
    """What redacts a run that is recorded to the destination with these folders, and the policy that it follows."""
    policy = recording_policy(folders)
    return RunRedaction(policy, settings, who=who, database_said=database_policy_digest(folders)), policy


class RunRedaction:
    """Takes what is recorded of one run and gives what the journal may have of it. Thread-safe and fork-safe."""

    def __init__(
        self,
        policy: Policy,
        settings: Settings,
        *,
        who: str = "0",
        environment: Mapping[str, str] = os.environ,
        database_said: str = "",
    ) -> None:
        """
        Args:
            database_said: names what the database's policy said that is part of this one; see `policy_digest`.
            who: names this process among those that record the run, as a field name.
        """
        self.profile = PROFILES[policy.profile]
        self._database_said = database_said
        own = rules_under(policy)
        known = KnownValues()
        add_environment(known, environment, own.environment)
        self.texts = TextRules(own, known)
        self._names = None if self.profile.names else RecordedNames(policy, settings)
        shorten = (lambda text: text) if self._names is None else self._names.shorten
        self._values = ValueRules(own, self.texts, self._note, shorten)
        self._field = f"{REDACTIONS}.{who}"
        self._is_forked = False
        self._counts: dict[tuple[str, str], int] = {}
        self._told = 0
        self._begin_anew()

    def _begin_anew(self) -> None:
        self._pid = os.getpid()
        self._lock = threading.RLock()  # of this process: a fork may have come while the parent's was held
        self._console = ConsoleRedaction(self.texts)

    def _held(self) -> AbstractContextManager[Any]:
        """The lock of this process."""
        if os.getpid() != self._pid:
            self._begin_anew()  # in a forked child, which has no thread that asks for what waits
            self._is_forked = True
        return self._lock

    # ---- what is recorded

    def header(self, header: Mapping[str, Any]) -> dict[str, Any]:
        """The first record of the run's journal."""
        # Secrets of the config first: they may stand in names and words too.
        names = sorted(header, key=lambda name: name not in ("config", "argv"))
        done = {name: self._header_value(name, header[name]) for name in names}
        redacted = {name: done[name] for name in header}
        redacted["recording"] = {"profile": self.profile.name, "database": self._database_said}
        return redacted

    def fields(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        """Values that are to be set, by field path, as far as the profile lets them be."""
        return {path: self._field_value(path, value) for path, value in fields.items() if self._may_have(path)}

    def console(self, stream: str, text: str, waits: Waits = "line") -> str:
        """What is to be recorded now of what was printed; the rest waits for the end of its line."""
        if not self.profile.console:
            return ""
        with self._held():
            noted = self.noting(f"console: {stream}")
            return self._console.add(stream, text, noted, "nothing" if self._is_forked else waits)

    def waiting(self, *, all_of_it: bool = False) -> list[tuple[str, str]]:
        """What was printed, by stream, and has waited long enough."""
        with self._held():
            return self._console.take_waiting(self.noting("console"), all_of_it=all_of_it)

    def source(self, path: str, content: bytes) -> bytes | None:
        """A file of the run's code; None where none may be recorded."""
        if not self.profile.sources:
            return None
        return redact_file(self.texts, path, content, self.noting(f"source: {path}"), is_text=True)

    def attached(self, field: str, name: str, content: bytes) -> bytes | None:
        """A file that belongs to a field, such as the uncommitted changes."""
        if not self.profile.sources:
            return None
        where = "uncommitted changes" if field.endswith("diff_file") else field
        return redact_file(self.texts, name, content, self.noting(where), is_text=True)

    def artifact(self, name: str, stream: BinaryIO, file_name: str = "") -> BinaryIO:
        """The bytes of an artifact: a short text without its secrets, anything else as it is.

        Args:
            file_name: of the file, where the artifact's own name does not say that it is text.
        """
        if kind_of_file(name) is None:
            name = file_name
        if kind_of_file(name) is None:
            return stream
        size = stream.seek(0, io.SEEK_END)
        stream.seek(0)
        if size > FILE_LIMIT_BYTES:
            return stream
        content = stream.read()
        stream.seek(0)
        redacted = redact_file(self.texts, name, content, self.noting(f"artifact: {name}"))
        return stream if redacted is content else io.BytesIO(redacted)

    def may_keep_resource(self, path: str, stream: BinaryIO) -> bool:
        """Whether the bytes of a file that the run reads may be kept: else only which file it was."""
        if holds_secrets(path):
            self._note(f"resource: {path}", "secret-file")
            return False
        found = self.artifact(path, stream) is not stream
        return not found

    def session(self, session: Mapping[str, Any]) -> dict[str, Any]:
        """Which process records the run, as it may be stored."""
        return dict(session if self._names is None else self._names.header_value("session", session))

    def differences(self, changes: Sequence[Mapping[str, Any]]) -> list[Any]:
        """How a config differs from the one that a run keeps, as it may be told."""
        return self._values.changes(changes, "config")

    def name(self, name: str, where: str) -> str:
        """The name of a file."""
        return self._values.text(name, where)

    def metadata(self, name: str, metadata: Mapping[str, Any]) -> dict[str, Any]:
        """What is said beside an artifact."""
        return dict(self._values.document(dict(metadata), f"metadata of {name}"))

    # ---- what is stored already

    def stored_value(self, path: str, value: Any) -> Any:
        """A field of a stored run's document. Which parts there are at all is not changed."""
        name = path.rpartition(".")[2]
        if name in ("argv", "config_changes", "queue"):
            return self._header_value(name, value)
        if name == "config_defaults":
            return self._quietly(value)
        if name == "fail_trace":
            return self._trace(value)
        return self._document(_WORDS.get(path, path.removeprefix("cloister.")), value)

    def stored_file(self, name: str, content: bytes, where: str) -> bytes:
        """The bytes of a stored file."""
        return redact_file(self.texts, name, content, self.noting(where))

    def counted(self) -> list[dict[str, Any]]:
        """What was redacted so far: where, by which rule, how often."""
        return [{"where": where, "rule": rule, "count": count} for (where, rule), count in self._counts.items()]

    def total(self) -> int:
        return sum(self._counts.values())

    # ---- what was taken out

    def news(self) -> dict[str, Any]:
        """Fields of the run's document that say what was redacted, where that has changed since the last call."""
        with self._held():
            if self.total() == self._told:
                return {}
            self._told = self.total()
            return {self._field: self.counted()}

    def facts(self) -> dict[str, Any]:
        """Fields of the run's document that say how it is recorded, where that is not in full."""
        return {} if self.profile.name == "full" else {RECORDING: {"profile": self.profile.name}}

    def noting(self, where: str) -> Found:
        """Counts findings in one place."""
        return lambda rule: self._note(where, rule)

    def _note(self, where: str, rule: str) -> None:
        with self._held():
            place = (where, rule)
            if place not in self._counts and len(self._counts) >= PLACES_LIMIT:
                place = (ELSEWHERE, rule)
            self._counts[place] = self._counts.get(place, 0) + 1

    # ---- values of the run's document

    def _header_value(self, name: str, value: Any) -> Any:
        if name in ("uid", "start_time", "visibility", "shared_with", "rank", "world_size", "overwrite", "id"):
            return value
        if name == "config_defaults":
            return self._quietly(value)
        if name == "argv":
            return self._values.words(value, "command line")
        if name == "config_changes":
            return self._values.changes(value, "config")
        if name == "queue":
            entry = dict(value.get("entry") or {})
            entry["words"] = self._values.words(entry.get("words") or (), "command line")
            return {**value, "entry": entry}
        if name == "resumption" and isinstance(value, Mapping):
            value = {**value, "config": self._values.changes(value.get("config") or (), "config")}
        if self._names is not None:
            value = self._names.header_value(name, value)
        return value if name in ("session", "resumption") else self._document(_WORDS.get(name, name), value)

    def _quietly(self, defaults: Any) -> Any:
        """The defaults of a config, whose secrets are counted with the config already, where they are the same."""
        counts = dict(self._counts)
        redacted = self._document("config", defaults)
        self._counts = {**self._counts, **counts}
        return redacted

    def _may_have(self, path: str) -> bool:
        part = _NOT_IN_STRICT.get(path)
        return part is None or getattr(self.profile, part)

    def _field_value(self, path: str, value: Any) -> Any:
        if path in ("cloister.git", "cloister.resumed_git") and not self.profile.sources and isinstance(value, Mapping):
            value = {name: one for name, one in value.items() if name in GIT_FACTS}
        if path == "cloister.environment" and not self.profile.paths and isinstance(value, Mapping):
            value = {name: one for name, one in value.items() if name not in PATH_FACTS}
        if path == "fail_trace":
            return self._trace(value)
        top, _, rest = path.partition(".")
        if top in ("config", "info") and rest:
            return self._values.document({rest: value}, top)[rest]
        return self._document(_WORDS.get(path, path), value)

    def _document(self, where: str, value: Any) -> Any:
        return self._values.document(value, where)

    def _trace(self, lines: Any) -> Any:
        """A traceback: between what it says stand lines of a program."""
        if isinstance(lines, str):
            return self._trace_line(lines)
        return [self._trace_line(line) if isinstance(line, str) else line for line in lines or ()]

    def _trace_line(self, line: str) -> str:
        if not line.lstrip().startswith('File "'):
            return self._values.text(line, "exception")
        line = _CODE_LINE.sub(lambda code: self._values.text(code[0], "exception", "code"), line)
        return self._values.text(line, "exception", "code")


_WORDS = {
    "cloister.git": "git", "cloister.resumed_git": "git", "cloister.environment": "environment", "host": "environment",
    "cloister.notes": "notes", "cloister.tags": "tags", "cloister.source_notes": "notes on sources",
    "sacred": "experiment",
    "experiment.repositories": "git", "captured_out": "console", "base_dir": "environment", "meta": "options",
    "cloister.observer.notes": "notes", "exit": "exit", "experiment.dependencies": "environment",
}  # fmt: skip
