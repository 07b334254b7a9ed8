"""Cloister's own settings: arguments win over the environment, that over cloister.toml, that over defaults."""

from __future__ import annotations

import logging
import os
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal, get_args, get_type_hints

from .errors import CloisterError
from .run_status import HEARTBEAT_SECONDS, LONGEST_BEAT_SECONDS, SHORTEST_BEAT_SECONDS

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

logger = logging.getLogger("cloister")

SETTINGS_FILE = "cloister.toml"
ENVIRONMENT_PREFIX = "CLOISTER_"
SMALLEST_LIMIT_BYTES = 100_000
MISSPELLED = 0.9  # how much of a variable's name must be as in a setting's, of which 9 letters are the prefix

_told: set[str] = set()  # each is told once for a process

CourierMode = Literal["process", "thread"]
CaptureMode = Literal["sys", "fd", "none"]
AsyncDriver = Literal["pymongo", "motor"]
Durability = Literal["second", "fsync"]
RanksMode = Literal["tag", "merge"]


class BadSetting(CloisterError, ValueError):
    """A setting holds a value that Cloister cannot use."""

    def __init__(self, source: str, name: str, value: object, expected: str) -> None:
        super().__init__(f"{source} sets {name} to {value!r}, which is not {expected}.")


class UnknownSetting(CloisterError, LookupError):
    """A cloister.toml names a setting that does not exist."""

    def __init__(self, path: Path, name: str, known: list[str]) -> None:
        import difflib  # only a wrong name needs it

        nearest = difflib.get_close_matches(name, known, n=1)
        hint = f"Did you mean {nearest[0]!r}? " if nearest else ""
        super().__init__(f"{path} has an unknown setting {name!r}. {hint}The settings are {', '.join(known)}.")


class UnreadableSettings(CloisterError, ValueError):
    """A cloister.toml is not TOML or cannot be read."""

    def __init__(self, path: Path, reason: object) -> None:
        super().__init__(f"{path} cannot be read as TOML: {reason}. Mend the file or remove it.")


class UnreadableUriFile(CloisterError, OSError):
    """The file that should hold the MongoDB URI holds none or cannot be read."""

    def __init__(self, source: str, path: Path, reason: str) -> None:
        super().__init__(
            f"{source} names {str(path)!r} as the file that holds the MongoDB URI, but {reason}. Put the URI there, on "
            "a line of its own, and let this user read it."
        )


@dataclass(frozen=True)
class Settings:
    """Everything about Cloister that a site or a user may choose. Each field is also CLOISTER_<NAME> and a TOML key."""

    uri_file: Path | None = None  # a file that holds the URI, as containers get secrets; `uri` beside it wins
    uri: str | None = None  # a MongoDB URI; None means the embedded database
    database: str = "cloister"  # used when the URI names no database
    project: str | None = None
    run: str | None = None  # names the run that several processes share: its uid, or any text that they agree on
    resume: str | None = None  # the run to go on with: its number, uid or name, or "auto"
    ranks: RanksMode = "tag"  # how metrics of ranks other than 0 are named: "rank/1/loss", or "loss" as well
    home: Path | None = None  # journals and the embedded database; None means the user's data folder
    courier: CourierMode = "process"
    capture: CaptureMode = "sys"
    async_driver: AsyncDriver = "pymongo"
    identity: Path | None = None  # the file that says how people of other systems sign in: see docs/identity.md
    databases: tuple[str, ...] = ()  # further ones that 'cloister serve' shows, as its --also takes them
    courier_idle: float = 60.0  # seconds without work after which the courier process goes
    exit_wait: float = 15.0  # seconds that a finished training waits for its journal to be shipped
    durability: Durability = "second"  # what a power cut may cost: the last second, or with "fsync" nothing
    journal_limit: int | None = None  # bytes that may wait to be shipped; None: a tenth of the disk, 1 to 10 GB
    beat_interval: float = HEARTBEAT_SECONDS  # seconds between two signs of life
    visibility: str | None = None  # who sees the runs: "private", "project", "site"; None: as their project has it
    shared_with: str = ""  # who sees them besides: "ana,group:vision"; a list in TOML and in code
    cache_mb: int = 256  # WiredTiger cache of the embedded database
    encrypt: tuple[str, ...] = ()  # what of a run is encrypted beside what the policy says; see encryption/chosen.py
    keys: str | None = None  # a key file, "vault:https://...", "kmip:host"; None: keys.json in the config folder
    mongod: Path | None = None  # the embedded database's server; None means the newest at hand

    @property
    def data_folder(self) -> Path:
        """Where journals and the embedded database live. Not created by asking."""
        if self.home is not None:
            return self.home
        from platformdirs import user_data_path  # spares `import cloister` the lookup

        return user_data_path("cloister", appauthor=False)


# In the order of the class: `uri` comes after `uri_file` and so wins where one source gives both.
SETTING_NAMES = tuple(field.name for field in fields(Settings))


def load_settings(start: Path | None = None, **arguments: Any) -> Settings:
    """Settle every setting from `arguments`, the environment and the nearest cloister.toml at or above `start`.

    Args:
        start: folder to search upward from; the working directory when left out.
        arguments: settings given in code; None counts as not given.

    Raises:
        BadSetting: a value does not fit its setting.
        UnknownSetting: cloister.toml names a setting that does not exist.
        UnreadableSettings: cloister.toml is not TOML.
        UnreadableUriFile: `uri_file` names a file without a URI.
    """
    values: dict[str, Any] = {}
    for name, value, source in (*_from_file(start), *_from_environment(), *_from_call(arguments)):
        values[name] = _convert(name, value, source=source)
        if name == "uri_file":
            values["uri"] = _read_uri(values[name], source=source)
    return Settings(**values)


def _from_file(start: Path | None) -> Iterator[tuple[str, Any, str]]:
    path = find_settings_file(start)
    if path is None:
        return
    found = _read_toml(path)
    for name in found:
        if name not in SETTING_NAMES:
            raise UnknownSetting(path, name, list(SETTING_NAMES))
    yield from ((name, found[name], str(path)) for name in SETTING_NAMES if name in found)


def _from_environment() -> Iterator[tuple[str, Any, str]]:
    _tell_misspelled()
    for name in SETTING_NAMES:
        variable = ENVIRONMENT_PREFIX + name.upper()
        if os.environ.get(variable):
            yield name, os.environ[variable], f"The environment variable {variable}"


def _tell_misspelled() -> None:
    """Warn of variables that look like a setting's: other programs may have any others, so nothing is refused."""
    known = [ENVIRONMENT_PREFIX + name.upper() for name in SETTING_NAMES]
    for variable in os.environ:
        if variable.startswith(ENVIRONMENT_PREFIX) and variable not in known and variable not in _told:
            _told.add(variable)
            import difflib

            nearest = difflib.get_close_matches(variable, known, n=1, cutoff=MISSPELLED)
            if nearest:
                logger.warning("The environment variable %s sets nothing. Did you mean %s?", variable, nearest[0])


def _from_call(arguments: dict[str, Any]) -> Iterator[tuple[str, Any, str]]:
    for name, value in arguments.items():
        if value is not None:
            yield name, value, "The call"


def find_settings_file(start: Path | None = None) -> Path | None:
    """The cloister.toml of this folder or of the nearest one above it."""
    try:
        folder = (start or Path.cwd()).resolve()
    except OSError:  # the working directory was removed under us
        return None
    for candidate in (folder, *folder.parents):
        path = candidate / SETTINGS_FILE
        if path.is_file():
            return path
    return None


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UnreadableSettings(path, error) from error


def read_uri_file(path: Path) -> str:
    """The URI that the file holds now.

    Raises:
        UnreadableUriFile: it holds none.
    """
    return _read_uri(path, source="The setting uri_file")


def _read_uri(path: Path, *, source: str) -> str:
    try:
        uri = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not text"
        raise UnreadableUriFile(source, path, f"it cannot be read ({reason})") from error
    if not uri:
        raise UnreadableUriFile(source, path, "it is empty")
    return uri


def _convert(name: str, value: Any, *, source: str) -> Any:
    hint = get_type_hints(Settings)[name]
    choices = get_args(hint)
    if name in ("home", "mongod", "uri_file", "identity"):
        return Path(value).expanduser().absolute()  # a script may go to another folder, and the courier is in its own
    if name == "journal_limit":
        return _parse_size(value, source=source, name=name)
    if name == "databases":
        return _parse_databases(value, source=source)
    if name == "encrypt":
        return _parse_encrypt(value, source=source)
    if name in ("visibility", "shared_with"):
        return _parse_sharing(name, value, source=source)
    if hint in (int, float):
        try:
            number = hint(value)
        except (TypeError, ValueError):
            raise BadSetting(source, name, value, "a number") from None
        if not 0 <= number < float("inf"):
            raise BadSetting(source, name, value, "a number of zero or more")
        if name == "beat_interval":  # Sacred takes any; a rarer sign of life would make a living run look lost
            return min(max(number, SHORTEST_BEAT_SECONDS), LONGEST_BEAT_SECONDS)
        return number
    if not isinstance(value, str):
        raise BadSetting(source, name, value, "text")
    if type(None) not in choices and choices and value not in choices:
        raise BadSetting(source, name, value, "one of " + ", ".join(choices))
    return value


def _parse_databases(value: Any, *, source: str) -> tuple[str, ...]:
    """A list of texts, or one text with spaces between them."""
    texts = value.split() if isinstance(value, str) else value
    if not isinstance(texts, (list, tuple)) or not all(isinstance(text, str) for text in texts):
        raise BadSetting(source, "databases", value, 'a list such as ["sacred", "lab:prefix_"]')
    return tuple(texts)


def _parse_sharing(name: str, value: Any, *, source: str) -> str:
    from .access.run_sharing import BadSharing, BadVisibility, parse_shared_with, parse_visibility

    try:
        if name == "visibility":
            return parse_visibility(value)
        people, groups = parse_shared_with(value)
    except BadVisibility:
        raise BadSetting(source, name, value, "private, project or site") from None
    except (BadSharing, TypeError):
        raise BadSetting(source, name, value, "names of people, and of groups as 'group:vision'") from None
    return "".join(f"{name}," for name in (*people, *(f"group:{group}" for group in groups)))


def _parse_encrypt(value: Any, *, source: str) -> tuple[str, ...]:
    from .encryption.chosen import parse_words  # only who encrypts needs it

    try:
        return parse_words(value)
    except ValueError as error:
        raise BadSetting(source, "encrypt", value, str(error)) from None


def _parse_size(value: Any, *, source: str, name: str) -> int:
    """A size in bytes from a number of bytes or a text such as "20 GB"."""
    found = re.fullmatch(r"(\d{1,18}(?:\.\d{1,6})?)\s*([kKMGT]?)B?", str(value).strip())
    if found is None:
        raise BadSetting(source, name, value, 'a size such as "20 GB" or a number of bytes')
    size = int(float(found.group(1)) * 1000 ** " KMGT".index(found.group(2).upper() or " "))
    if size < SMALLEST_LIMIT_BYTES:  # a unit was forgotten, or no limit was meant: 0 would refuse everything
        raise BadSetting(source, name, value, f'a size of at least {SMALLEST_LIMIT_BYTES:,} bytes, such as "20 GB"')
    return size
