"""Config of a run: its sources (signature, dataclass, model, mapping, file) and its overrides (call, command line)."""

from __future__ import annotations

from .changes import ConfigChange, log_changes
from .computed import computed
from .errors import (
    BadConfigFile,
    BadConfigSource,
    BadConfigValue,
    BadOverride,
    BadPreset,
    CallMismatch,
    ConfigClash,
    ConfigError,
    CyclicConfig,
    MissingConfigValue,
    RefusedConfig,
    UncomputableConfig,
    UnknownConfigKey,
    UnknownPreset,
)
from .namespace import Namespace
from .plain import plain_config
from .resolved import Resolved
from .script import HelpWanted, should_read_command_line
from .spec import ConfigSpec

__all__ = [
    "BadConfigFile",
    "BadConfigSource",
    "BadConfigValue",
    "BadOverride",
    "BadPreset",
    "CallMismatch",
    "ConfigChange",
    "ConfigClash",
    "ConfigError",
    "ConfigSpec",
    "CyclicConfig",
    "HelpWanted",
    "MissingConfigValue",
    "Namespace",
    "RefusedConfig",
    "Resolved",
    "UncomputableConfig",
    "UnknownConfigKey",
    "UnknownPreset",
    "computed",
    "log_changes",
    "plain_config",
    "should_read_command_line",
]
