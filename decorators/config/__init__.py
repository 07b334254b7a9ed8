"""Config of a run: its sources (signature, dataclass, model, mapping, file) and its overrides (call, command line)."""

from __future__ import annotations

from .errors import (
    BadConfigFile,
    BadConfigSource,
    BadConfigValue,
    BadOverride,
    CallMismatch,
    ConfigClash,
    ConfigError,
    MissingConfigValue,
    RefusedConfig,
    UnknownConfigKey,
)
from .plain import plain_config
from .resolved import Resolved
from .script import HelpWanted, should_read_command_line
from .spec import ConfigSpec

__all__ = [
    "BadConfigFile",
    "BadConfigSource",
    "BadConfigValue",
    "BadOverride",
    "CallMismatch",
    "ConfigClash",
    "ConfigError",
    "ConfigSpec",
    "HelpWanted",
    "MissingConfigValue",
    "RefusedConfig",
    "Resolved",
    "UnknownConfigKey",
    "plain_config",
    "should_read_command_line",
]
