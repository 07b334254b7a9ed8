"""Redacting documents: by the names of their entries, and by what the texts in them hold."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from ..field_names import decode_field_name
from .marks import MARK_START, mark
from .own_rules import OwnRules
from .secret_names import holds_many, secret_in_name
from .secret_values import TextKind, is_secret_value
from .text_redaction import TextRules

Note = Callable[[str, str], None]  # takes where something was redacted, and by which rule
ShortenNames = Callable[[str], str]


class ValueRules:
    """Applies the rules of one recording to texts and documents."""

    def __init__(self, own: OwnRules, texts: TextRules, note: Note, shorten: ShortenNames = lambda text: text) -> None:
        """
        Args:
            note: is told of each finding.
            shorten: makes of a text what may be recorded of the names in it; that is no finding.
        """
        self._globs = own.config
        self._texts = texts
        self._note = note
        self._shorten = shorten

    def text(self, text: str, where: str, kind: TextKind = "text") -> str:
        """A text without its secrets."""
        return self._shorten(self._texts.redact(text, lambda rule: self._note(where, rule), kind))

    def document(self, value: Any, where: str, path: str = "", rule: str | None = None) -> Any:
        """A document, list or value without its secrets.

        Args:
            where: what it is, for people: "config". Names of entries are added to it.
            path: the dotted name of the value.
            rule: by which everything in it is secret.
        """
        if isinstance(value, str):
            return self._value(value, where, path, rule)
        if isinstance(value, Mapping):
            return {key: self._entry(key, child, where, path, rule) for key, child in value.items()}
        if isinstance(value, (list, tuple)):
            if not value or (isinstance(value[0], (int, float)) and all(type(one) in (int, float) for one in value)):
                return value  # a million numbers, mostly
            return [self.document(one, where, path, rule) for one in value]
        is_hidden = rule is not None and (type(value) is bytes or (rule == "password" and type(value) is int))
        if is_hidden or (rule == "config-path" and value is not None):
            assert rule is not None
            return self._hide(value, where, path, rule)
        return value

    def words(self, words: Sequence[Any], where: str) -> list[Any]:
        """The words of a command line: `--password hunter2`, `db.password=hunter2`."""
        redacted, before = [], ""
        for word in words:
            redacted.append(self._word(word, before, where) if isinstance(word, str) else word)
            before = word if isinstance(word, str) else ""
        return redacted

    def changes(self, changes: Sequence[Any], where: str) -> list[Any]:
        """A list of what differs in configs, each entry with the `key` that it is about."""
        redacted = []
        for change in changes:
            if isinstance(change, Mapping):
                path = str(change.get("key") or "")
                rule = self.rule_of(path)
                change = {
                    name: value if name in ("key", "kind") else self.document(value, where, path, rule)
                    for name, value in change.items()
                }
            redacted.append(change)
        return redacted

    def rule_of(self, path: str) -> str | None:
        """The rule that makes the value at a dotted path a secret, by its name alone."""
        if any(fnmatchcase(path, glob) for glob in self._globs):
            return "config-path"
        return secret_in_name(path)

    def _entry(self, key: Any, child: Any, where: str, path: str, rule: str | None) -> Any:
        name = decode_field_name(str(key))
        inner = f"{path}.{name}" if path else name
        own = self.rule_of(inner)
        if own is None and rule is not None and (rule == "config-path" or holds_many(rule, path.rpartition(".")[2])):
            own = rule
        if isinstance(child, (Mapping, list, tuple)) and own not in (None, "config-path") and not holds_many(own, name):
            own = None  # what is called token and is a table, is no token
        return self.document(child, where, inner, own)

    def _value(self, value: str, where: str, path: str, rule: str | None) -> str:
        if rule == "config-path" or (rule is not None and is_secret_value(value, rule)):
            return self._hide(value, where, path, rule)
        return self.text(value, f"{where}: {path}" if path else where)

    def _hide(self, value: Any, where: str, path: str, rule: str) -> str:
        if isinstance(value, str) and value.startswith(MARK_START):
            return value
        self._texts.known.add(value, rule)
        self._note(f"{where}: {path}" if path else where, rule)
        return mark(rule)

    def _word(self, word: str, before: str, where: str) -> str:
        if before.startswith("-") and "=" not in before and not word.startswith("-"):
            rule = self.rule_of(before.lstrip("-"))
            if rule is not None and (rule == "config-path" or is_secret_value(word, rule)):
                return self._hide(word, where, "", rule)
        name, equals, value = word.partition("=")
        if equals and len(name) <= 200:
            rule = self.rule_of(name.lstrip("-"))
            if rule is not None and (rule == "config-path" or is_secret_value(value.strip("\"'"), rule)):
                return f"{name}={self._hide(value, where, '', rule)}"
        return self.text(word, where, "settings")
