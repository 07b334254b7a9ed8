"""The difference of two texts as blocks to draw, in a time that does not depend on what somebody put into them.

Lines that both texts have exactly once anchor the comparison (patience diff); only short stretches between anchors are
compared line by line, since that takes quadratic time. What is left counts as replaced.
"""

from __future__ import annotations

import difflib
from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from .diff_view import LINE_LIMIT_CHARS, Block, Change, DiffFile, DiffLine, DiffPiece, Fold, Unchanged, marked_pairs

CONTEXT_LINES = 3
SHORT_ENOUGH = 100  # lines on each side between two anchors that are compared one by one
WORK_LIMIT = 2_000_000  # lines looked at for anchors, and pairs of lines compared: about a second
MARKED_LINES = 400  # of one file whose words are compared, too


@dataclass(frozen=True)
class Match:
    """`count` lines that are the same from `old` and from `new` on, counted from 0."""

    old: int
    new: int
    count: int


def compare_texts(old: str, new: str, *, path: str, room: int = 2_000) -> DiffFile:
    """What changed from `old` to `new`.

    Args:
        room: how many lines are kept at most; the others are counted.
    """
    before, after = _lines_in(old), _lines_in(new)
    matches = match_lines(before, after)
    kept = sum(match.count for match in matches)
    writer = _BlockWriter(before, after, room)
    writer.write(matches)
    added, removed = len(after) - kept, len(before) - kept
    return DiffFile(path, path, "changed", added, removed, tuple(writer.blocks), hidden=writer.hidden)


def match_lines(old: Sequence[str], new: Sequence[str]) -> list[Match]:
    """The stretches that both have, ascending and not touching each other."""
    found: list[Match] = []
    open_parts = [(0, len(old), 0, len(new))]
    work = 0
    while open_parts:
        low_old, high_old, low_new, high_new = open_parts.pop()
        start = _common_start(old, new, low_old, high_old, low_new, high_new)
        end = _common_end(old, new, low_old + start, high_old, low_new + start, high_new)
        found += [Match(low_old, low_new, start)] if start else []
        found += [Match(high_old - end, high_new - end, end)] if end else []
        part = (low_old + start, high_old - end, low_new + start, high_new - end)
        work += _work_of(part)
        if work <= WORK_LIMIT:
            open_parts += _split(old, new, part, found)
    return _joined(sorted(found, key=lambda match: match.old))


def _common_start(old: Sequence[str], new: Sequence[str], a: int, high_a: int, b: int, high_b: int) -> int:
    count = 0
    while a + count < high_a and b + count < high_b and old[a + count] == new[b + count]:
        count += 1
    return count


def _common_end(old: Sequence[str], new: Sequence[str], low_a: int, a: int, low_b: int, b: int) -> int:
    count = 0
    while a - count > low_a and b - count > low_b and old[a - count - 1] == new[b - count - 1]:
        count += 1
    return count


Part = tuple[int, int, int, int]


def _split(old: Sequence[str], new: Sequence[str], part: Part, found: list[Match]) -> list[Part]:
    """The parts between the anchors of a part; without anchors its matches are found directly, or there are none."""
    low_old, high_old, low_new, high_new = part
    if low_old == high_old or low_new == high_new:
        return []
    anchors = _anchors(old, new, part)
    if anchors:
        edges = [(low_old, low_new), *anchors, (high_old, high_new)]
        return [(a, c, b, d) for (a, b), (c, d) in pairwise(edges) if c > a or d > b]
    if high_old - low_old <= SHORT_ENOUGH and high_new - low_new <= SHORT_ENOUGH:
        matcher = difflib.SequenceMatcher(None, old[low_old:high_old], new[low_new:high_new], autojunk=False)
        found += [Match(low_old + a, low_new + b, n) for a, b, n in matcher.get_matching_blocks() if n]
    return []


def _anchors(old: Sequence[str], new: Sequence[str], part: Part) -> list[tuple[int, int]]:
    """Places of lines that each side of the part has once, as many as follow each other in the same order."""
    low_old, high_old, low_new, high_new = part
    once_old, once_new = _once(old, low_old, high_old), _once(new, low_new, high_new)
    pairs = [(place, once_new[line]) for line, place in once_old.items() if line in once_new]
    return _longest_ascending(pairs)


def _once(lines: Sequence[str], low: int, high: int) -> dict[str, int]:
    counts = Counter(lines[low:high])
    return {lines[place]: place for place in range(low, high) if counts[lines[place]] == 1}


def _longest_ascending(pairs: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """The longest choice of pairs that ascend on both sides; they ascend on the first already."""
    tops: list[int] = []  # of the best chain of each length, the place where it ends on the second side
    last: list[int] = []  # the same chain's last pair
    before: list[int] = []
    for index, (_, place) in enumerate(pairs):
        length = bisect_left(tops, place)
        before.append(last[length - 1] if length else -1)
        tops[length : length + 1] = [place]
        last[length : length + 1] = [index]
    chain: list[tuple[int, int]] = []
    index = last[-1] if last else -1
    while index >= 0:
        chain.append(pairs[index])
        index = before[index]
    return chain[::-1]


def _work_of(part: Part) -> int:
    old, new = part[1] - part[0], part[3] - part[2]
    return old + new + (old * new if max(old, new) <= SHORT_ENOUGH else 0)


def _lines_in(text: str) -> list[str]:
    """Its lines as an editor counts them: a form feed ends none."""
    lines = text.split("\n")
    return lines[:-1] if lines[-1] == "" else lines


def _joined(matches: Sequence[Match]) -> list[Match]:
    joined: list[Match] = []
    for match in matches:
        previous = joined[-1] if joined else None
        if previous and previous.old + previous.count == match.old and previous.new + previous.count == match.new:
            joined[-1] = Match(previous.old, previous.new, previous.count + match.count)
        else:
            joined.append(match)
    return joined


# ---- blocks


@dataclass
class _BlockWriter:
    """Turns matches into blocks until `room` lines are used up; what does not fit is counted in `hidden`."""

    old: Sequence[str]
    new: Sequence[str]
    room: int
    hidden: int = 0
    marked: int = 0
    blocks: list[Block] = field(default_factory=list)

    def write(self, matches: Sequence[Match]) -> None:
        """Changes with a few unchanged lines around them; what lies further off is folded."""
        place_old = place_new = 0
        for match in (*matches, Match(len(self.old), len(self.new), 0)):
            self._change(range(place_old, match.old), range(place_new, match.new))
            self._keep(match)
            place_old, place_new = match.old + match.count, match.new + match.count

    def _change(self, removed: range, added: range) -> None:
        if not removed and not added:
            return
        olds, news = removed[: self.room], added[: self.room]
        self._take(len(olds) + len(news), len(removed) + len(added))
        if not olds and not news:
            return
        lines = [_line(self.old[at], old=at + 1) for at in olds], [_line(self.new[at], new=at + 1) for at in news]
        pairs = min(MARKED_LINES - self.marked, len(olds), len(news))
        self.marked += pairs
        left, right = marked_pairs(lines[0][:pairs], lines[1][:pairs])
        self.blocks.append(Change((*left, *lines[0][pairs:]), (*right, *lines[1][pairs:])))

    def _keep(self, match: Match) -> None:
        ends = match.old + match.count == len(self.old) and match.new + match.count == len(self.new)
        head = 0 if match.old == 0 and match.new == 0 else CONTEXT_LINES
        tail = 0 if ends else CONTEXT_LINES
        if match.count <= head + tail + 1:
            head, tail = match.count, 0
        self._unchanged(match, 0, head)
        folded = match.count - head - tail
        if folded and self.room > 0:
            self.blocks.append(Fold(folded, "" if ends else _heading(self.old, match.old + match.count - tail)))
        self._unchanged(match, match.count - tail, match.count)

    def _unchanged(self, match: Match, low: int, high: int) -> None:
        kept = range(low, high)[: self.room]
        self._take(len(kept), high - low)
        if kept:
            lines = (_line(self.old[match.old + at], match.old + at + 1, match.new + at + 1) for at in kept)
            self.blocks.append(Unchanged(tuple(lines)))

    def _take(self, shown: int, wanted: int) -> None:
        self.room = max(0, self.room - shown)
        self.hidden += wanted - shown


def _heading(lines: Sequence[str], before: int) -> str:
    """The nearest line above that begins something, as git has it."""
    for text in reversed(lines[max(0, before - 400) : before]):
        if text[:1].isalpha() or text[:1] in ("_", "@"):
            return text[:LINE_LIMIT_CHARS]
    return ""


def _line(text: str, old: int | None = None, new: int | None = None) -> DiffLine:
    shown = text if len(text) <= LINE_LIMIT_CHARS else text[:LINE_LIMIT_CHARS] + "…"
    return DiffLine(old, new, (DiffPiece(shown),))
