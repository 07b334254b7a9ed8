"""The machine and the Python that a run has: for `cloister.environment`, and for Sacred's `host`."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ..account import host_name, login_name
from .distributions import InstalledDistributions, read_distributions
from .gpu_inventory import GpuInventory, read_gpus

VALUE_LIMIT_CHARACTERS = 300
CPUINFO_LIMIT_BYTES = 65_536  # the first core says it; with 256 cores the file has 400 kB

# The only environment variables that are recorded. Everything else may hold a token.
RECORDED_VARIABLES = (
    "SLURM_JOB_ID",
    "SLURM_JOB_NAME",
    "SLURM_JOB_PARTITION",
    "SLURM_JOB_NUM_NODES",
    "SLURM_ARRAY_JOB_ID",
    "SLURM_ARRAY_TASK_ID",
    "SLURM_CLUSTER_NAME",
    "SLURM_NTASKS",
    "SLURM_NODEID",
    "SLURM_PROCID",
    "SLURM_LOCALID",
    "PBS_JOBID",
    "LSB_JOBID",
    "RANK",
    "LOCAL_RANK",
    "GROUP_RANK",
    "NODE_RANK",
    "WORLD_SIZE",
    "LOCAL_WORLD_SIZE",
    "TORCHELASTIC_RUN_ID",
    "TORCHELASTIC_RESTART_COUNT",
    "OMPI_COMM_WORLD_RANK",
    "OMPI_COMM_WORLD_LOCAL_RANK",
    "OMPI_COMM_WORLD_SIZE",
    "PMI_RANK",
    "PMI_SIZE",
    "CUDA_VISIBLE_DEVICES",
    "NVIDIA_VISIBLE_DEVICES",
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "PYTHONHASHSEED",
    "CUBLAS_WORKSPACE_CONFIG",
)


def read_environment(
    distributions: InstalledDistributions | None = None, gpus: GpuInventory | None = None
) -> dict[str, Any]:
    """The value of `cloister.environment`. Takes a while (packages, GPU driver): call it beside the training.

    Never raises: what this machine does not tell is None, with the reason in `notes`.

    Args:
        distributions: what `read_distributions` gave, if it was called already.
        gpus: what `read_gpus` gave, if it was called already.
    """
    notes: list[str] = []
    packages = distributions or read_distributions()
    inventory = gpus or _attempt("the GPUs", read_gpus, notes) or GpuInventory()
    return {
        **_python(notes),
        **_system(notes),
        "cpu": _attempt("the CPU", _cpu, notes) or {},
        "memory": _attempt("the memory", _memory, notes) or {},
        "gpus": [asdict(gpu) for gpu in inventory.gpus],
        "gpu_driver": inventory.driver,
        "cuda_driver": inventory.cuda_driver,
        "variables": recorded_variables(),
        "distributions": list(packages.installed),
        "editable_distributions": list(packages.editable),
        "notes": [*notes, *packages.notes],
    }


def read_host(gpus: GpuInventory | None = None) -> dict[str, Any]:
    """Sacred's `host` field. `gpus` is absent where there are none, as Sacred does it.

    Args:
        gpus: what `read_gpus` gave; None asks the driver, `GpuInventory()` spares that.
    """
    notes: list[str] = []
    host: dict[str, Any] = {
        "hostname": host_name(),
        "os": [platform.system(), _attempt("the platform", system_description, notes) or sys.platform],
        "python_version": platform.python_version(),
        "cpu": _attempt("the CPU", cpu_model, notes),
        "ENV": {},
    }
    inventory = gpus if gpus is not None else _attempt("the GPUs", read_gpus, notes) or GpuInventory()
    if inventory.gpus:
        host["gpus"] = {
            "driver_version": inventory.driver,
            "gpus": [
                {
                    "model": gpu.name,
                    "total_memory": (gpu.memory_bytes or 0) // 2**20,
                    "persistence_mode": gpu.persistence_mode,
                }
                for gpu in inventory.gpus
            ],
        }
    return host


def recorded_variables() -> dict[str, str]:
    """The few environment variables that say which job and which rank this is, and nothing else of the environment."""
    found = ((name, os.environ.get(name)) for name in RECORDED_VARIABLES)
    return {name: _clean(value) for name, value in found if value is not None}


def system_description() -> str:
    """What `platform.platform()` says on Linux, which would start `uname -p` for a part that it then leaves out."""
    if platform.system() != "Linux":
        return platform.platform()
    kernel = os.uname()
    library = "".join(platform.libc_ver())
    name = f"{kernel.sysname}-{kernel.release}-{kernel.machine}"
    return f"{name}-with-{library}" if library else name


def cpu_model() -> str | None:
    """The processor's name as its maker prints it."""
    try:
        with Path("/proc/cpuinfo").open("rb") as file:
            text = file.read(CPUINFO_LIMIT_BYTES).decode("utf-8", "replace")
    except OSError:
        text = ""
    lines = (line.partition(":") for line in text.splitlines())
    fields = {key.strip().lower(): value.strip() for key, _, value in reversed(list(lines))}
    for key in ("model name", "hardware", "cpu model", "cpu", "model"):  # x86, ARM boards, MIPS, POWER, S390
        if fields.get(key):
            return _clean(fields[key])
    return platform.machine() or None


def container_kind() -> str | None:
    """What this process is packed in, as far as that leaves traces."""
    if os.environ.get("APPTAINER_CONTAINER") or os.environ.get("SINGULARITY_CONTAINER"):
        return "apptainer"
    if os.environ.get("KUBERNETES_SERVICE_HOST"):
        return "kubernetes"
    if Path("/run/.containerenv").exists():
        return "podman"
    return "docker" if Path("/.dockerenv").exists() else None


def _python(notes: list[str]) -> dict[str, Any]:
    in_venv = sys.prefix != sys.base_prefix
    return {
        "python": platform.python_version(),
        "python_implementation": platform.python_implementation(),
        "python_build": _attempt("Python's build", lambda: " ".join(platform.python_build()), notes),
        "python_executable": sys.executable or None,
        "python_prefix": sys.prefix,
        "virtual_environment": sys.prefix if in_venv else None,
        "conda_environment": _conda_name(),
    }


def _conda_name() -> str | None:
    # CONDA_PREFIX alone proves nothing: it stays set when another Python is called from an activated shell.
    if not (Path(sys.prefix) / "conda-meta").is_dir():
        return None
    return os.environ.get("CONDA_DEFAULT_ENV") or Path(sys.prefix).name


def _system(notes: list[str]) -> dict[str, Any]:
    return {
        "os": _attempt("the platform", system_description, notes),
        "os_name": _attempt("the distribution", _distribution_name, notes),
        "kernel": platform.release(),
        "machine": platform.machine(),
        "host": host_name(),
        "login": login_name(),
        "container": _attempt("the container", container_kind, notes),
        "working_folder": _attempt("the working folder", os.getcwd, notes),
        "pid": os.getpid(),
    }


def _distribution_name() -> str | None:
    if platform.system() != "Linux":
        return platform.system() or None
    return platform.freedesktop_os_release().get("PRETTY_NAME")


def _cpu() -> dict[str, Any]:
    import psutil  # about 15 ms: spares `import cloister`

    from ..hardware.cgroup_limits import load_cpu_limit, usable_cores

    limit = load_cpu_limit()
    return {
        "model": cpu_model(),
        "physical_cores": psutil.cpu_count(logical=False),
        "logical_cores": psutil.cpu_count(logical=True),
        "usable_cores": usable_cores(limit),
        "quota_cores": limit.cores if limit else None,
    }


def _memory() -> dict[str, Any]:
    import psutil  # as above

    from ..hardware.cgroup_limits import load_memory_limit

    limit = load_memory_limit()
    return {"total_bytes": psutil.virtual_memory().total, "limit_bytes": limit.limit_bytes if limit else None}


def _attempt(what: str, read: Callable[[], Any], notes: list[str]) -> Any:
    try:
        return read()
    except Exception as error:
        # Wide on purpose: machines differ in any way, and the training outranks its record.
        notes.append(f"Not known: {what} ({type(error).__name__}: {_clean(str(error))}).")
        return None


def _clean(text: str) -> str:
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")[:VALUE_LIMIT_CHARACTERS]
