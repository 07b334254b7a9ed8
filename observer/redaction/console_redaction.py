"""Redacting what is printed, piece by piece: secrets that begin in one piece and end in another are found too."""

from __future__ import annotations

import re
import time
from typing import Literal

from .built_in_rules import Found
from .key_blocks import KEY_BEGIN, KEY_CHARACTERS, RULE, end_of_key
from .marks import mark
from .text_redaction import TextRules

HOLD_CHARACTERS = 4096  # of an unfinished line, at most
HOLD_SECONDS = 1.0  # what may be the beginning of a secret waits for its end so long

_BEGUN = re.compile(
    r"(?i:[\w.\-]*(?:passw|pwd|secret|token|key|cred|phrase)[\w\-]*\\?[\"']?\]?\s*(?:[=:]\s*[\"']?[^\s\"']*)?"
    r"|(?:bearer|authorization)\W.*|[a-z][a-z0-9+.\-]*:/{0,2}\S*)\Z"
    r"|(?<!\w)(?:A[KSI]|ey|gh|gl|xo|sk|hf|np|py|hv|SG|GO|cl|-{3})[\w\-. ]*\Z"
)
_BETWEEN_WORDS = " \t,;|\"'()[]{}<>"


# What of an unfinished line waits for its end: all of it; what looks like the beginning of a secret, where somebody
# wants to see the line at once; nothing, where nobody would ask for it later.
Waits = Literal["line", "suspicion", "nothing"]


class _Unfinished:
    """What one stream has not ended yet.

    Attributes:
        held: the end of an unfinished line, which waits for more.
        since: since when.
        before: what of that line was let go already, as it was printed, and `shown` as it was recorded: what comes may
            be the rest of a secret that begins there.
        key_left: how much of a private key may still come; 0 where none is being printed.
    """

    def __init__(self) -> None:
        self.held = ""
        self.since = 0.0
        self.before = ""
        self.shown = ""
        self.key_left = 0

    def is_nothing(self) -> bool:
        return not (self.held or self.before or self.key_left)


class ConsoleRedaction:
    """Gives back what may be recorded of each piece. Not thread-safe.

    A line that has no end yet waits for it a moment. Private keys, which are printed line by line, are dropped as long
    as what comes looks like one.
    """

    def __init__(self, rules: TextRules) -> None:
        self._rules = rules
        self._streams: dict[str, _Unfinished] = {}

    def add(self, stream: str, text: str, found: Found, waits: Waits = "line") -> str:
        """What is to be recorded now of what was held and of `text`.

        Args:
            waits: what of an unfinished line waits until `take_waiting` is called.
        """
        state = self._streams.get(stream)
        if state is None:
            state = self._streams[stream] = _Unfinished()
        if text.endswith(("\n", "\r")) and state.is_nothing() and KEY_BEGIN.search(text) is None:
            return self._rules.redact(text, found)
        since = state.since if state.held else time.monotonic()
        text, state.held, state.since = state.held + text, "", since
        ended = max(text.rfind("\n"), text.rfind("\r")) + 1
        recorded = self._let_go(state, text[:ended], found) if ended else ""
        rest = text[ended:]
        held = _held_from(rest, waits)
        if held:
            recorded += self._let_go(state, rest[:held], found)
        state.held = rest[held:]
        return recorded

    def take_waiting(self, found: Found, *, all_of_it: bool = False) -> list[tuple[str, str]]:
        """What has waited for its end for long enough, by stream; at the end of a run all of it."""
        taken = []
        for stream, state in list(self._streams.items()):
            if state.held and (all_of_it or time.monotonic() - state.since >= HOLD_SECONDS):
                held, state.held = state.held, ""
                taken.append((stream, self._let_go(state, held, found)))
        return [(stream, text) for stream, text in taken if text]

    def _let_go(self, state: _Unfinished, text: str, found: Found) -> str:
        """`text`, redacted with what its line begins with in mind."""
        counted: list[str] = []
        text = _without_keys(state, text, found)
        if not text:
            return ""
        whole = self._rules.redact(state.before + text, counted.append)
        earlier: list[str] = []
        if state.before:
            self._rules.redact(state.before, earlier.append)
        for rule in counted[len(earlier) :]:
            found(rule)
        recorded = _what_is_new(whole, state.shown, text)
        if text.endswith(("\n", "\r")):
            state.before = state.shown = ""
        else:
            line = (state.before + text)[-HOLD_CHARACTERS:]
            state.before = line[max(line.rfind("\n"), line.rfind("\r")) + 1 :]
            state.shown = self._rules.redact(state.before, lambda _rule: None)
        return recorded


def _held_from(rest: str, waits: Waits) -> int:
    """From where on an unfinished line waits: all of it does, but of a very long one the end."""
    if waits == "nothing":
        return len(rest)
    if waits == "suspicion":
        begun = _BEGUN.search(rest, max(0, len(rest) - HOLD_CHARACTERS))
        return len(rest) if begun is None else begun.start()
    if len(rest) <= HOLD_CHARACTERS:
        return 0
    least = len(rest) - HOLD_CHARACTERS
    return max(rest.rfind(character, least - HOLD_CHARACTERS, least) + 1 for character in _BETWEEN_WORDS) or least


def _what_is_new(whole: str, shown: str, text: str) -> str:
    """Of a line's redaction what is not recorded yet, where `shown` is."""
    if whole.startswith(shown):
        return whole[len(shown) :]
    # A secret begins in what was recorded before and was none until now: the rest of it is not recorded.
    same = 0
    while same < min(len(whole), len(text)) and whole[-1 - same] == text[-1 - same]:
        same += 1
    return whole[len(whole) - same :]


def _without_keys(state: _Unfinished, text: str, found: Found) -> str:
    """`text` without what is inside of private keys."""
    if state.key_left:
        end, state.key_left = end_of_key(text, 0, state.key_left)
        text = text[end:]
    begin = None if state.key_left else KEY_BEGIN.search(text)
    while begin is not None:
        found(RULE)
        end, state.key_left = end_of_key(text, begin.end(), KEY_CHARACTERS)
        after = "\n" if state.key_left else ""
        text = f"{text[: begin.start()]}{mark(RULE)}{after}{text[end:]}"
        begin = None if state.key_left else KEY_BEGIN.search(text, begin.start())
    return text
