"""What `--help` prints."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from ..run_options import usage_lines
from .draft import MISSING, Draft
from .hints import spell
from .literals import quote
from .plain import plain_value
from .root import Root
from .script import program_name

if TYPE_CHECKING:
    from .computing import Pass
    from .spec import ConfigSpec

WIDTH = 100
_TEXT_COLUMN = 8
_NAME_COLUMN = 20
_FORMS = """\
Ways to set them:
  name=value            or --name value, or --name=value; a dash may stand for an underscore
  outer.inner=value     one value inside another; layers.0=64 is one item of a list
  --flag, --no-flag     for true and false
  items=[1,2,3]         or items=1,2,3, or --items 1 2 3
  @config.yaml          a YAML, JSON or TOML file; several may be given, later ones win, single values win over files
  @preset               the values of a preset, as of a file; 'with a b x=1' is '@a @b x=1'
  +name=value           a new entry, only recorded; --force (-f) lets all be new ones
  -p, --print-config    shows the config before it is used
  --                    ends what is read here"""


def render_usage(spec: ConfigSpec, known: Pass, commands: Mapping[str, str]) -> str:
    """The help of one experiment, ending with a newline. `commands`: what each does, in a line."""
    path = f"{spec.command_path}." if spec.command_path else ""
    command = f"{path}{spec.command.__name__} " if spec.command is not None else "[command] " if commands else ""
    parts = [f"Usage: {program_name()} {command}[name=value | --name value | @preset | @config.yaml] ..."]
    if spec.called.summary:
        parts.append(textwrap.fill(spec.called.summary, WIDTH))
    lines = [line for member in known.root.members.values() for line in _render_member(member, known)]
    if lines:
        parts.append("\n".join(["Config:", *lines]))
    if presets := {f"@{name}": preset.told for name, preset in spec.all_presets.known.items()}:
        parts.append(_render_table("Presets:", presets))
    if commands and spec.command is None:
        parts.append(_render_table("Commands:", commands))
    parts.append(_FORMS)
    parts.append("\n".join(["The run (an entry of the same name comes first):", *usage_lines()]))
    return "\n\n".join(parts) + "\n"


def _render_table(title: str, rows: Mapping[str, str]) -> str:
    column = min(_NAME_COLUMN, max(len(name) for name in rows))
    lines = [f"  {name.ljust(column)}  {_shorten(text, WIDTH - column)}".rstrip() for name, text in rows.items()]
    return "\n".join([title, *lines])


def _render_member(draft: Draft, known: Pass) -> Iterator[str]:
    inner = list(draft.members.values())
    kind = "" if isinstance(draft, Root) else spell(draft.hint)
    line = f"  {draft.key}" + (f": {kind}" if kind else "") + ("" if inner else _default(draft))
    if draft.computed is not None:
        line += f"  ({draft.computed!r})"
    elif (giver := known.given_by.get(draft.key)) is not None:
        line += f"  (computed by {giver})"
    yield line + ("  (required)" if _is_required(draft) else "")
    if draft.description:
        yield textwrap.fill(
            draft.description, WIDTH, initial_indent=" " * _TEXT_COLUMN, subsequent_indent=" " * _TEXT_COLUMN
        )
    for member in inner:
        yield from _render_member(member, known)


def _is_required(draft: Draft) -> bool:
    return draft.known_defaults() is MISSING and draft.computed is None


def _default(draft: Draft) -> str:
    default = draft.known_defaults()
    return "" if default is MISSING else f" = {_shorten(quote(plain_value(default)), WIDTH // 2)}"


def _shorten(text: str, width: int) -> str:
    return text if len(text) <= width else f"{text[: width - 3]}..."
