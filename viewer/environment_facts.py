"""What a run ran on, as groups of labelled words. Knows what each recorded key means; unknown ones are shown too."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from .wording import format_config_value, format_number, format_size

VALUE_LIMIT_CHARS = 500
GPUS_SHOWN = 16


@dataclass(frozen=True)
class Fact:
    """Attributes: `code` for what is typed or copied: paths, ids, versions of tools."""

    label: str
    value: str
    code: bool = False


@dataclass(frozen=True)
class FactGroup:
    title: str
    facts: tuple[Fact, ...]


@dataclass(frozen=True)
class _Row:
    key: str
    label: str
    code: bool = False


# Which keys of the recorded environment stand in which group, in this order.
_MACHINE = (
    _Row("host", "Host", code=True),
    _Row("login", "Login", code=True),
    _Row("os_name", "Operating system"),
    _Row("kernel", "Kernel", code=True),
    _Row("machine", "Architecture", code=True),
    _Row("os", "Platform", code=True),
    _Row("container", "Container"),
    _Row("working_folder", "Working folder", code=True),
    _Row("main_file", "Script", code=True),
    _Row("pid", "Process", code=True),
)
_PYTHON = (
    _Row("python", "Version"),
    _Row("python_implementation", "Implementation"),
    _Row("python_build", "Build"),
    _Row("python_executable", "Executable", code=True),
    _Row("python_prefix", "Prefix", code=True),
    _Row("virtual_environment", "Virtual environment", code=True),
    _Row("conda_environment", "Conda environment", code=True),
)
_SHOWN_ELSEWHERE = frozenset(
    {"cpu", "memory", "gpus", "gpu_driver", "cuda_driver", "variables"}
    | {"distributions", "editable_distributions", "notes"}
)


def describe_environment(environment: Mapping[str, Any]) -> tuple[FactGroup, ...]:
    """The groups that have something to say, in the order in which people ask."""
    groups = (
        FactGroup("Machine", _rows(environment, _MACHINE)),
        FactGroup("Processor and memory", _processor(environment)),
        FactGroup("GPUs", _gpus(environment)),
        FactGroup("Python", _rows(environment, _PYTHON)),
        FactGroup("Job", _job(environment)),
        FactGroup("Other", _other(environment)),
    )
    return tuple(group for group in groups if group.facts)


def describe_command(argv: tuple[str, ...]) -> str:
    """The command line as a shell would take it again."""
    return shlex.join(argv)


def _rows(environment: Mapping[str, Any], rows: tuple[_Row, ...]) -> tuple[Fact, ...]:
    return tuple(
        Fact(row.label, _words(environment[row.key]), row.code)
        for row in rows
        if environment.get(row.key) not in (None, "")
    )


def _processor(environment: Mapping[str, Any]) -> tuple[Fact, ...]:
    cpu, memory = _mapping(environment.get("cpu")), _mapping(environment.get("memory"))
    facts = [
        _fact("Processor", cpu.get("model"), _words),
        _fact("Cores", cpu.get("physical_cores"), _words),
        _fact("Threads", cpu.get("logical_cores"), _words),
        _fact("Usable by the run", cpu.get("usable_cores"), _cores),
        _fact("Limited to", cpu.get("quota_cores"), lambda cores: f"{_cores(cores)} by its control group"),
        _fact("Memory", memory.get("total_bytes"), _size),
        _fact("Memory limit", memory.get("limit_bytes"), _size),
    ]
    if not cpu and environment.get("cpu"):
        facts.append(Fact("Processor", _words(environment["cpu"])))
    return tuple(fact for fact in facts if fact)


def _gpus(environment: Mapping[str, Any]) -> tuple[Fact, ...]:
    gpus = environment.get("gpus")
    gpus = gpus if isinstance(gpus, (list, tuple)) else []
    facts = [
        Fact(f"GPU {_words(_mapping(gpu).get('index', place))}", _gpu_words(gpu))
        for place, gpu in enumerate(gpus[:GPUS_SHOWN])
    ]
    if len(gpus) > GPUS_SHOWN:
        facts.append(Fact("Further", f"{len(gpus) - GPUS_SHOWN} more GPUs"))
    if gpus or environment.get("gpu_driver"):
        facts += [
            fact
            for fact in (
                _fact("Driver", environment.get("gpu_driver"), _words),
                _fact("CUDA of the driver", environment.get("cuda_driver"), _words),
            )
            if fact
        ]
    elif environment:
        facts.append(Fact("GPU", "none"))
    return tuple(facts)


def _gpu_words(gpu: Any) -> str:
    fields = _mapping(gpu)
    if not fields:
        return _words(gpu)
    words = [_words(fields.get("name") or "unnamed")]
    if isinstance(fields.get("memory_bytes"), int):
        words.append(_size(fields["memory_bytes"]))
    return ", ".join(words)


def _job(environment: Mapping[str, Any]) -> tuple[Fact, ...]:
    variables = _mapping(environment.get("variables"))
    return tuple(Fact(str(name), _words(value), code=True) for name, value in sorted(variables.items()))


def _other(environment: Mapping[str, Any]) -> tuple[Fact, ...]:
    known = {row.key for row in (*_MACHINE, *_PYTHON)} | _SHOWN_ELSEWHERE
    return tuple(Fact(key, _words(value), code=True) for key, value in environment.items() if key not in known)


def _fact(label: str, value: Any, word: Callable[[Any], str]) -> Fact | None:
    return None if value is None else Fact(label, word(value))


def _cores(value: Any) -> str:
    return f"{format_number(value)} {'core' if value == 1 else 'cores'}"


def _size(value: Any) -> str:
    return format_size(value) if isinstance(value, (int, float)) else _words(value)


def _words(value: Any) -> str:
    text = format_config_value(value)
    return text if len(text) <= VALUE_LIMIT_CHARS else text[:VALUE_LIMIT_CHARS] + "…"


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
