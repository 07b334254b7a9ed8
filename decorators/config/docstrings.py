"""What a docstring says: its first paragraph, and the text of each parameter in Google, NumPy or Sphinx style."""

from __future__ import annotations

import inspect
import re

_GOOGLE_SECTION = re.compile(r"(?:Args|Arguments|Parameters|Params|Attributes|Keyword Args|Keyword Arguments):\s*$")
_GOOGLE_ENTRY = re.compile(r"\*{0,2}(?P<name>\w+)\s*(?:\([^)]*\))?\s*:\s*(?P<text>.*)$")
_NUMPY_SECTION = re.compile(r"(?:Parameters|Other Parameters|Attributes)\s*$")
_NUMPY_ENTRY = re.compile(r"(?P<names>\*{0,2}\w+(?:\s*,\s*\*{0,2}\w+)*)\s*(?::.*)?$")
_SPHINX_ENTRY = re.compile(
    r":(?:param|parameter|arg|argument|ivar|var)\s+(?:[^:]*\s)?\*{0,2}(?P<name>\w+):\s*(?P<text>.*)$"
)


def first_paragraph(docstring: str | None) -> str:
    """The text before the first empty line, on one line."""
    lines = inspect.cleandoc(docstring or "").split("\n\n", 1)[0].splitlines()
    return " ".join(line.strip() for line in lines)


def parameter_texts(docstring: str | None) -> dict[str, str]:
    """What the docstring says of each parameter, on one line each."""
    lines = inspect.cleandoc(docstring or "").splitlines()
    texts: dict[str, list[str]] = {}
    for index, line in enumerate(lines):
        underlined = index + 1 < len(lines) and re.fullmatch(r"\s*-{3,}\s*", lines[index + 1]) is not None
        if underlined and _NUMPY_SECTION.match(line.strip()):
            _read_numpy(lines[index + 2 :], texts)
        elif _GOOGLE_SECTION.match(line.strip()):
            _read_google(lines[index + 1 :], _indent(line), texts)
        elif (entry := _SPHINX_ENTRY.match(line.strip())) is not None:
            texts[entry["name"]] = [entry["text"], *_deeper(lines[index + 1 :], _indent(line))]
    return {name: " ".join(part.strip() for part in parts if part.strip()) for name, parts in texts.items()}


def _read_google(lines: list[str], outer: int, texts: dict[str, list[str]]) -> None:
    section = _block(lines, outer)
    if not section:
        return
    inner = _indent(section[0])
    for index, line in enumerate(section):
        entry = _GOOGLE_ENTRY.match(line.strip())
        if _indent(line) == inner and entry is not None:
            texts[entry["name"]] = [entry["text"], *_deeper(section[index + 1 :], inner)]


def _read_numpy(lines: list[str], texts: dict[str, list[str]]) -> None:
    for index, line in enumerate(lines):
        if re.fullmatch(r"\s*-{3,}\s*", lines[index + 1]) if index + 1 < len(lines) else False:
            return  # the next section's title
        entry = _NUMPY_ENTRY.match(line)
        if entry is not None and not line.startswith(" "):
            for name in re.findall(r"\w+", entry["names"]):
                texts[name] = _deeper(lines[index + 1 :], _indent(line))


def _block(lines: list[str], outer: int) -> list[str]:
    """The lines that are indented more than `outer`, up to the first that is not; empty ones do not end it."""
    block = []
    for line in lines:
        if line.strip():
            if _indent(line) <= outer:
                break
            block.append(line)
    return block


def _deeper(lines: list[str], outer: int) -> list[str]:
    """The continuation of an entry: as `_block`, and an empty line ends it."""
    block = []
    for line in lines:
        if not line.strip() or _indent(line) <= outer:
            break
        block.append(line)
    return block


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())
