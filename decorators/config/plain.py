"""Any config as nested plain dicts and lists: what is recorded."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from pathlib import Path, PurePath
from typing import Any

from .errors import BadConfigSource, ConfigError
from .files import load_config_file
from .free_values import MAX_DEPTH, Where, is_array_scalar, key_text, read_freely
from .hints import spell_enum
from .literals import Scalar
from .structures import kind_of_class, kind_of_value

MEMBERS_LIMIT = 1_000_000  # a mapping that has more, or no end, is not read here
_CYCLE = "<contains itself>"
_PLAIN = (bool, int, float, str, bytes)


def plain_config(config: Any) -> dict[str, Any]:
    """A dataclass, model, mapping, argparse.Namespace or config file as a nested dict of plain values.

    Of a dataclass or a model given as class, the defaults. Keys become text, paths text, enum members their text;
    tuples and sets become lists, numpy scalars Python's. Objects that no config file could hold stay as they are:
    `observer/bson_values.py` decides how they are stored. The result shares no dict or list with `config`.
    """
    if config is None:
        return {}
    if isinstance(config, (str, Path)):
        config = read_freely(load_config_file(config), Where(""))
    elif isinstance(config, type) and kind_of_class(config) is not None:
        config = class_defaults(config)
    plain = plain_value(config)
    if not isinstance(plain, dict):
        raise BadConfigSource(config)
    return plain


def class_defaults(cls: type) -> dict[str, Any]:
    """The defaults of a dataclass's or model's fields; those without one are left out."""
    from .draft import MISSING, Draft  # a draft is needed for classes only

    known = Draft("", cls, MISSING).known_defaults()
    return dict(known)


def plain_value(value: Any, _above: tuple[int, ...] = ()) -> Any:
    """`value` as `plain_config` would have it inside a config."""
    try:
        return _plain_value(value, _above)
    except ConfigError:
        raise
    except Exception:
        # Wide on purpose: the value is the user's own object. It costs itself alone, and is recorded by its type.
        return value


def _plain_value(value: Any, _above: tuple[int, ...]) -> Any:
    if isinstance(value, Scalar):
        return read_freely(value, Where(""))
    if isinstance(value, enum.Enum):
        return spell_enum(value)
    if value is None or type(value) in _PLAIN:
        return value
    if isinstance(value, PurePath):
        return str(value)
    if is_array_scalar(value):
        return value.item()
    if id(value) in _above:
        return _CYCLE
    if len(_above) >= MAX_DEPTH:
        return value
    above = (*_above, id(value))
    if isinstance(value, (list, tuple)):
        return [plain_value(item, above) for item in value]
    if isinstance(value, (set, frozenset)):
        return sorted((plain_value(item, above) for item in value), key=_set_order)
    if isinstance(value, Mapping) and len(value) > MEMBERS_LIMIT:
        return value
    kind = kind_of_value(value)
    return value if kind is None else _plain_members(kind.values(value), above)


def _set_order(item: Any) -> tuple[str, str]:
    """Plain values by kind and text; others are not asked for their words, which may take for ever."""
    return str(type(item)), repr(item) if type(item) in _PLAIN else ""


def _plain_members(values: Mapping[Any, Any], above: tuple[int, ...]) -> dict[str, Any]:
    plain: dict[str, Any] = {}
    for key, value in values.items():
        name = _free_name(_plain_key(key), plain)
        plain[name] = plain_value(value, above)
    return plain


def _plain_key(key: Any) -> str:
    return spell_enum(key) if isinstance(key, enum.Enum) else key_text(key)


def _free_name(name: str, taken: Mapping[str, Any]) -> str:
    """`name`, or with a number where the key 1 and the key '1' would be one: both values are kept."""
    if name not in taken:
        return name
    return next(f"{name} ({number})" for number in range(2, len(taken) + 3) if f"{name} ({number})" not in taken)
