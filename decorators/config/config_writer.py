"""A config as a JSON, YAML or TOML file that `@file` reads back."""

from __future__ import annotations

import datetime
import decimal
import json
import re
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from .changes import is_same
from .errors import BadConfigFile
from .literals import parse_literal

_LEFT_OUT: Any = object()
_AS_TEXT = (datetime.date, datetime.time, decimal.Decimal, uuid.UUID, complex)
_PLAIN_WORD = re.compile(r"[A-Za-z_][\w./-]*(?: [\w./-]+)*", re.ASCII)
# What YAML 1.1, which other programs may read the file with, takes for a bool.
_YAML_WORDS = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null"})
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)


def write_config_file(path: Path, config: Mapping[str, Any], defaults: Mapping[str, Any]) -> list[str]:
    """Writes a plain config, and says which keys hold what no file can; raises BadConfigFile.

    `defaults` decide what TOML may leave out: it has no None, so an entry that is None by default is not written.
    """
    write = _WRITERS.get(path.suffix.lower())
    if write is None:
        raise BadConfigFile(path, f"its name has to end in one of {', '.join(_WRITERS)}.")
    left_out: list[str] = []
    tree = dict(_savable_items(config, "", left_out))
    text = write(path, tree, defaults)
    try:
        path.expanduser().write_text(text, encoding="utf-8")
    except OSError as error:
        raise BadConfigFile(path, f"it cannot be written: {error.strerror}.") from error
    except UnicodeEncodeError as error:
        raise BadConfigFile(path, f"a value is no valid text: {error.object[error.start : error.end]!r}.") from None
    return left_out


def _savable_items(values: Mapping[str, Any], above: str, left_out: list[str]) -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        key = f"{above}.{name}" if above else name
        saved = _savable(value, key, left_out)
        if saved is _LEFT_OUT:
            left_out.append(key)
        else:
            yield name, saved


def _savable(value: Any, key: str, left_out: list[str]) -> Any:
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, Mapping):
        return dict(_savable_items(value, key, left_out))
    if isinstance(value, (list, tuple)):
        items = [_savable(item, key, left_out) for item in value]
        return _LEFT_OUT if any(item is _LEFT_OUT for item in items) else items
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            return _LEFT_OUT
    if isinstance(value, _AS_TEXT):
        return value.isoformat() if hasattr(value, "isoformat") else str(value)
    return _LEFT_OUT


def _write_json(path: Path, config: dict[str, Any], defaults: Mapping[str, Any]) -> str:
    return json.dumps(config, indent=2, ensure_ascii=False) + "\n"


def _write_yaml(path: Path, config: dict[str, Any], defaults: Mapping[str, Any]) -> str:
    import yaml  # spares whoever writes another kind of file

    class Dumper(yaml.SafeDumper):
        def ignore_aliases(self, data: Any) -> bool:
            return True

    def represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
        return dumper.represent_scalar("tag:yaml.org,2002:str", text, None if _is_plain_word(text) else '"')

    Dumper.add_representer(str, represent_text)
    return str(yaml.dump(config, Dumper=Dumper, sort_keys=False, allow_unicode=True, width=2**20))


def _is_plain_word(text: str) -> bool:
    return _PLAIN_WORD.fullmatch(text) is not None and text.lower() not in _YAML_WORDS and parse_literal(text) == text


def _write_toml(path: Path, config: dict[str, Any], defaults: Mapping[str, Any]) -> str:
    return "\n".join(_toml_table(path, config, defaults, ())).strip() + "\n"


def _toml_table(path: Path, table: dict[str, Any], defaults: Any, above: tuple[str, ...]) -> Iterator[str]:
    known = defaults if isinstance(defaults, Mapping) else {}
    inner = {name: value for name, value in table.items() if isinstance(value, dict)}
    if above and (len(inner) < len(table) or not table):
        yield f"\n[{'.'.join(_toml_key(name) for name in above)}]"
    for name, value in table.items():
        if name in inner or (value is None and is_same(known.get(name, _LEFT_OUT), None)):
            continue
        yield f"{_toml_key(name)} = {_toml_value(path, value, '.'.join((*above, name)))}"
    for name, value in inner.items():
        yield from _toml_table(path, value, known.get(name), (*above, name))


def _toml_value(path: Path, value: Any, key: str) -> str:
    if value is None:
        raise BadConfigFile(path, f"TOML has no None, which {key!r} is. Take a .yaml or .json file.")
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return _toml_text(value)
    if isinstance(value, list):
        return f"[{', '.join(_toml_value(path, item, key) for item in value)}]"
    if isinstance(value, dict):
        pairs = (f"{_toml_key(name)} = {_toml_value(path, item, key)}" for name, item in value.items())
        return f"{{{', '.join(pairs)}}}"
    return repr(value)  # ints and floats, nan and inf as TOML spells them


def _toml_key(name: str) -> str:
    return name if _BARE_KEY.fullmatch(name) else _toml_text(name)


def _toml_text(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


_WRITERS: Mapping[str, Callable[[Path, dict[str, Any], Mapping[str, Any]], str]] = {
    ".json": _write_json,
    ".yaml": _write_yaml,
    ".yml": _write_yaml,
    ".toml": _write_toml,
}
