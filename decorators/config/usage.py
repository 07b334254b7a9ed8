"""What `--help` prints."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from .draft import MISSING, Draft
from .hints import spell
from .literals import quote
from .plain import plain_value

WIDTH = 100
_TEXT_COLUMN = 8
_FORMS = """\
Ways to set them:
  name=value            or --name value, or --name=value; a dash may stand for an underscore
  outer.inner=value     one value inside another
  --flag, --no-flag     for true and false
  items=[1,2,3]         or items=1,2,3, or --items 1 2 3
  @config.yaml          a YAML, JSON or TOML file; several may be given, later ones win, single values win over files
  --resume RUN          goes on with a run, by its number, uid or name
  --fork-from RUN@STEP  starts with the history of a run up to that step
  --                    ends what is read here"""


def render_usage(program: str, summary: str, root: Draft) -> str:
    """The help of one experiment, ending with a newline."""
    parts = [f"Usage: {program} [name=value | --name value | @config.yaml] ..."]
    if summary:
        parts.append(textwrap.fill(summary, WIDTH))
    lines = [line for member in root.members.values() for line in _render_member(member)]
    if lines:
        parts.append("\n".join(["Config:", *lines]))
    parts.append(_FORMS)
    return "\n\n".join(parts) + "\n"


def _render_member(draft: Draft) -> Iterator[str]:
    inner = list(draft.members.values())
    kind = spell(draft.hint)
    default = draft.known_defaults()
    line = f"  {draft.key}" + (f": {kind}" if kind else "")
    if default is MISSING:
        line += "  (required)"
    elif not inner:
        line += f" = {_shorten(quote(plain_value(default)))}"
    yield line
    if draft.description:
        yield textwrap.fill(
            draft.description, WIDTH, initial_indent=" " * _TEXT_COLUMN, subsequent_indent=" " * _TEXT_COLUMN
        )
    for member in inner:
        yield from _render_member(member)


def _shorten(text: str) -> str:
    return text if len(text) <= WIDTH // 2 else f"{text[: WIDTH // 2 - 3]}..."
