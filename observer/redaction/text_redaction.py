"""Redacting text by all rules that hold: one pass for anchors, then the rules, on the lines that have one."""

from __future__ import annotations

import re
from functools import cache, lru_cache, partial

from .built_in_rules import ADDRESS, BUILT_IN, EMAIL, Found, LineRule
from .key_blocks import RULE, without_key_blocks
from .known_values import KnownValues
from .marks import MARK_START, mark
from .own_rules import OwnRules
from .secret_values import TextKind

_KEY_ANCHOR = "PRIVATE KEY"


class TextRules:
    """The rules of one recording. Immutable but for the known values, which grow; thread-safe."""

    def __init__(self, own: OwnRules, known: KnownValues | None = None) -> None:
        self.known = KnownValues() if known is None else known
        self._rules = _rules_of(own.emails, own.addresses)
        self._scanner, self._places = _scanner_of(self._rules, False)
        self._rare = tuple(piece for rule in self._rules for piece, _ in rule.rare)
        self._own = tuple((name, _compiled(pattern)) for name, pattern in own.patterns.items())

    def redact(self, text: str, found: Found, kind: TextKind = "text") -> str:
        """`text` with marks in the place of what the rules find; the same object where they find nothing.

        Args:
            found: is told the rule of each finding.
            kind: what the text is: in a program only values in quotes are secrets.
        """
        if _KEY_ANCHOR in text:
            text, keys = without_key_blocks(text)
            for _ in range(keys):
                found(RULE)
        text = self._redact_lines(text, found, kind)
        text = self.known.redact(text, found)
        for name, pattern in self._own:
            text = pattern.sub(partial(_replaced, name=name, found=found), text)
        return text

    def _redact_lines(self, text: str, found: Found, kind: TextKind) -> str:
        lower = text.lower()
        if len(lower) != len(text):  # a letter whose small form has another length: places would be wrong
            lower = "".join(one if len(one.lower()) != 1 else one.lower() for one in text)
        scanner, places = self._scanner, self._places
        if any(piece in text for piece in self._rare):
            scanner, places = _scanner_of(self._rules, True)
        hit = scanner.search(lower)
        if hit is None:
            return text
        parts, done = [], 0
        while hit is not None:
            begin = max(text.rfind("\n", 0, hit.start()) + 1, done)
            end = text.find("\n", hit.end())
            end = len(text) if end < 0 else end
            hits = {places[hit.lastindex or 0]}
            hits.update(places[other.lastindex or 0] for other in scanner.finditer(lower, hit.end(), end))
            parts += [text[done:begin], self._redact_line(text[begin:end], hits, found, kind)]
            done = end
            hit = scanner.search(lower, end)
        return "".join(parts) + text[done:]

    def _redact_line(self, line: str, hits: set[int], found: Found, kind: TextKind) -> str:
        for place in sorted(hits):
            rule = self._rules[place]
            line = _pattern_of(rule).sub(partial(_replace, rule=rule, kind=kind, found=found), line)
        return line


def _replace(match: re.Match[str], rule: LineRule, kind: TextKind, found: Found) -> str:
    if rule.replace is not None:
        return rule.replace(match, kind, found)
    return _replaced(match, rule.name, found)


def _replaced(match: re.Match[str], name: str, found: Found) -> str:
    """The match with a mark in the place of its first group, or of all of it where it has none."""
    group = match.lastindex or 0
    value = match[group] or ""
    if not value or MARK_START in value:
        return match[0]
    begin, end = match.start(group) - match.start(), match.end(group) - match.start()
    return match[0][:begin] + _told(found, name) + match[0][end:]


def _told(found: Found, name: str) -> str:
    found(name)
    return mark(name)


@lru_cache(maxsize=256)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern)


@cache
def _pattern_of(rule: LineRule) -> re.Pattern[str]:
    return re.compile(rule.pattern)


@cache
def _rules_of(emails: bool, addresses: bool) -> tuple[LineRule, ...]:
    return BUILT_IN + ((EMAIL,) if emails else ()) + ((ADDRESS,) if addresses else ())


@cache
def _scanner_of(rules: tuple[LineRule, ...], with_rare: bool) -> tuple[re.Pattern[str], tuple[int, ...]]:
    """One expression for all anchors, and the place of the rule for what its `lastindex` says.

    The alternatives begin with different characters, so that the matcher skips whatever is none of them. The rest of an
    anchor is looked ahead to, so that what begins inside it is seen too.
    """
    by_first: dict[str, list[tuple[str, int]]] = {}
    for place, rule in enumerate(rules):
        for anchor in (*rule.anchors, *(anchor for _, anchor in rule.rare if with_rare)):
            width = 2 if anchor.startswith("\\") else 1
            by_first.setdefault(anchor[:width], []).append((f"{anchor[width:]}()", place))
    pattern = "|".join(f"{first}(?={'|'.join(rest for rest, _ in anchors)})" for first, anchors in by_first.items())
    return re.compile(pattern), (0, *(place for anchors in by_first.values() for _, place in anchors))
