"""Config files: YAML, JSON and TOML as nested dicts whose scalars are not decided yet."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from .errors import BadConfigFile
from .literals import Scalar

MAX_FILE_BYTES = 4 * 1024 * 1024  # a config written by people is a few kB; PyYAML reads about 100 kB in a second


def load_config_file(path: Path | str) -> dict[Any, Any]:
    """The mapping in a YAML, JSON or TOML file, by its suffix; raises BadConfigFile."""
    path = Path(path).expanduser()
    parse = _PARSERS.get(path.suffix.lower())
    if parse is None:
        raise BadConfigFile(path, f"its name has to end in one of {', '.join(_PARSERS)}.")
    tree = parse(path, _read_text(path))
    if not isinstance(tree, dict):
        raise BadConfigFile(path, "its top level has to be a mapping of names to values.")
    return tree


def has_config_suffix(name: str) -> bool:
    """Whether a name ends as those of config files do."""
    return Path(name).suffix.lower() in _PARSERS


def _read_text(path: Path) -> str:
    try:
        if path.exists() and not path.is_file():  # a FIFO would make us wait, /dev/zero never ends
            raise BadConfigFile(path, "it is not a regular file.")
        with path.open("rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
    except FileNotFoundError:
        raise BadConfigFile(path, f"there is no such file in {path.absolute().parent}.") from None
    except OSError as error:
        raise BadConfigFile(path, f"it cannot be read: {error.strerror}.") from error
    if len(content) > MAX_FILE_BYTES:
        raise BadConfigFile(path, f"it is larger than {MAX_FILE_BYTES // 1024 // 1024} MiB, too large for a config.")
    try:
        return content.decode("utf-8-sig")  # Windows editors put a byte order mark in front
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise BadConfigFile(path, f"it is not UTF-8 (byte {error.start}). Save it as UTF-8.", line) from None


def _parse_yaml(path: Path, text: str) -> Any:
    from .yaml_text import YamlProblem, parse_yaml  # spares PyYAML whoever reads no YAML

    try:
        return parse_yaml(text)
    except YamlProblem as problem:
        raise BadConfigFile(path, f"{problem.reason}.", problem.line) from None


def _parse_json(path: Path, text: str) -> Any:
    import json  # spares whoever reads no JSON

    def no_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        built: dict[str, Any] = {}
        for key, value in pairs:
            if key in built:
                raise BadConfigFile(path, f"the key {key!r} stands twice in one object.")
            built[key] = value
        return built

    try:
        # Numbers stay text until the hint is known, as in YAML; so an int of 10,000 digits is refused by its key.
        return json.loads(text, object_pairs_hook=no_doubles, parse_int=Scalar, parse_float=Scalar)
    except json.JSONDecodeError as error:
        raise BadConfigFile(path, f"it is not JSON: {error.msg} (column {error.colno}).", error.lineno) from None
    except RecursionError:
        raise BadConfigFile(path, "it is nested too deeply.") from None


def _parse_toml(path: Path, text: str) -> Any:
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib

    try:
        return tomllib.loads(text, parse_float=_undecided_float)
    except tomllib.TOMLDecodeError as error:
        place = re.search(r" \(at line (\d+), (column \d+)\)", str(error))  # an attribute only since Python 3.14
        reason = str(error) if place is None else str(error).replace(place.group(), f" ({place.group(2)})")
        raise BadConfigFile(path, f"it is not TOML: {reason}.", int(place.group(1)) if place else None) from None
    except RecursionError:
        raise BadConfigFile(path, "it is nested too deeply.") from None


def _undecided_float(text: str) -> Scalar | float:
    return Scalar(text) if text.strip("+-") not in ("inf", "nan") else float(text)


_PARSERS: Mapping[str, Callable[[Path, str], Any]] = {
    ".yaml": _parse_yaml,
    ".yml": _parse_yaml,
    ".json": _parse_json,
    ".toml": _parse_toml,
}
