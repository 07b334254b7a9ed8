"""A report's text as parts: Markdown, and between it blocks that show runs, written as fenced code of a known kind.

    ```table
    query: status = completed and metrics.val/acc > 0.9
    columns: name, config.lr, best(metrics.val/acc)
    sort: -best(metrics.val/acc)
    ```

A block is lines of `key: value`. What it asks for is looked up when the report is read, as whoever reads it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from ..observer.errors import CloisterError
from ..observer.run_ids import BadRunId, parse_run_id
from .markdown_text import Fence, split_markdown

if TYPE_CHECKING:
    from markupsafe import Markup

    from ..observer.run_record import RunId

Kind = Literal["runs", "table", "chart", "explain"]
MOST_BLOCKS = 60
_RUNS_KEYS = ("query", "runs", "project", "sort", "limit", "title")
KEYS: Mapping[str, tuple[str, ...]] = {
    "runs": (*_RUNS_KEYS, "name"),
    "table": (*_RUNS_KEYS, "columns"),
    "chart": (*_RUNS_KEYS, "metric", "x", "log", "smoothing"),
    "explain": (*_RUNS_KEYS, "view", "target", "parameters", "axis-x", "axis-y", "by"),
}
MOST_RUNS: Mapping[str, int] = {"runs": 500, "table": 200, "chart": 36, "explain": 20_000}
FIRST_RUNS: Mapping[str, int] = {"runs": 500, "table": 20, "chart": 12, "explain": 20_000}
_LINE = re.compile(r"\s*([A-Za-z-]+)\s*:\s*(.*?)\s*$")
_ID = re.compile(r"-?\d+$|id:")


class BadBlock(CloisterError, ValueError):
    """A block of a report says something that it cannot show.

    Attributes:
        line: of the report's text, counted from 1.
    """

    def __init__(self, sentence: str, line: int) -> None:
        super().__init__(f"Line {line}: {sentence}")
        self.line = line


@dataclass(frozen=True)
class RunSet:
    """Which runs a block shows: those that a query matches, or these.

    Attributes:
        project: "*" for those of all projects.
        ids: None where the query decides.
    """

    project: str
    where: str = ""
    ids: tuple[RunId, ...] | None = None
    sort: str = "-started"
    limit: int = 20


@dataclass(frozen=True)
class Block:
    """One block, checked as far as that goes without looking at runs.

    Attributes:
        options: what else it says, by key.
        number: its place among the report's blocks, counted from 0.
    """

    kind: Kind
    runs: RunSet
    options: Mapping[str, str] = field(default_factory=dict)
    line: int = 1
    number: int = 0

    def option(self, key: str, otherwise: str = "") -> str:
        return self.options.get(key, otherwise)


@dataclass(frozen=True)
class Part:
    """A stretch of a report: text as HTML, or a block, or what is wrong with one."""

    html: Markup | None = None
    block: Block | None = None
    problem: str = ""


def parse_report(text: str, project: str) -> list[Part]:
    """The parts of a report of `project`, in order. A block that is wrong is a part that says so."""
    parts: list[Part] = []
    sets: dict[str, RunSet] = {}
    count = 0
    for piece in split_markdown(text, KEYS):
        if not isinstance(piece, Fence):
            parts.append(Part(html=piece))
            continue
        try:
            if count >= MOST_BLOCKS:
                raise BadBlock(f"A report shows {MOST_BLOCKS} blocks at most.", piece.line)
            block = _parse_block(piece, project, sets, count)
        except BadBlock as error:
            parts.append(Part(problem=str(error)))
            continue
        parts.append(Part(block=block))
        count += 1
    return parts


def find_block(text: str, project: str, number: int) -> Block | None:
    blocks = [part.block for part in parse_report(text, project) if part.block is not None]
    return blocks[number] if 0 <= number < len(blocks) else None


def split_keys(text: str) -> tuple[str, ...]:
    """Field keys between commas; a comma in quotes or brackets belongs to its key."""
    found, depth, quoted, start = [], 0, False, 0
    for place, letter in enumerate(text):
        if letter == '"' and (place == 0 or text[place - 1] != "\\"):
            quoted = not quoted
        elif not quoted and letter in "()":
            depth += 1 if letter == "(" else -1
        elif letter == "," and not quoted and depth == 0:
            found.append(text[start:place])
            start = place + 1
    return tuple(key for key in (each.strip() for each in (*found, text[start:])) if key)


def _parse_block(fence: Fence, project: str, sets: dict[str, RunSet], number: int) -> Block:
    options = _parse_lines(fence)
    runs = _parse_runs(fence, options, project, sets)
    if fence.kind == "runs" and options.get("name"):
        sets[options["name"]] = runs
    if fence.kind == "chart" and not options.get("metric"):
        raise BadBlock("A chart needs the line 'metric: ...'.", fence.line)
    kind: Kind = fence.kind  # type: ignore[assignment]  # split_markdown was given the kinds
    return Block(kind, runs, options, fence.line, number)


def _parse_lines(fence: Fence) -> dict[str, str]:
    options: dict[str, str] = {}
    known = KEYS[fence.kind]
    for place, line in enumerate(fence.text.splitlines(), fence.line + 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        found = _LINE.match(line)
        key = found[1].lower() if found else ""
        if found is None or key not in known:
            raise BadBlock(
                f"{line.strip()[:60]!r} is not understood. A {fence.kind} block has {', '.join(known)}.", place
            )
        if key in options:
            raise BadBlock(f"{key!r} is said twice.", place)
        options[key] = found[2]
    return options


def _parse_runs(fence: Fence, options: Mapping[str, str], project: str, sets: Mapping[str, RunSet]) -> RunSet:
    most = MOST_RUNS[fence.kind]
    given = RunSet(options.get("project") or project, limit=FIRST_RUNS[fence.kind])
    words = split_keys(options.get("runs", ""))
    if len(words) == 1 and not _ID.match(words[0]):
        if words[0] not in sets:
            raise BadBlock(f"No run set above is called {words[0]!r}. Name one in a 'runs' block.", fence.line)
        named = sets[words[0]]
        given = RunSet(named.project, named.where, named.ids, named.sort, min(named.limit, most))
    elif words:
        given = RunSet(given.project, ids=_parse_ids(words, fence.line), limit=most)
    where = options.get("query", "")
    if where and given.where:
        where = f"({given.where}) and ({where})"
    limit = _parse_limit(options.get("limit", ""), most, fence.line) or given.limit
    return RunSet(given.project, where or given.where, given.ids, options.get("sort") or given.sort, limit)


def _parse_ids(words: Sequence[str], line: int) -> tuple[RunId, ...]:
    try:
        return tuple(parse_run_id(word) for word in words[:500])
    except BadRunId as error:
        raise BadBlock(str(error), line) from None


def _parse_limit(text: str, most: int, line: int) -> int | None:
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:9]) <= most):
        raise BadBlock(f"limit: {text[:20]} is not a number from 1 to {most:,}.", line)
    return int(text)
