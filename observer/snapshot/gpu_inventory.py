"""The GPUs of this machine by name, through NVML. A machine without NVIDIA's library simply has none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

LISTED_GPUS = 64


@dataclass(frozen=True)
class Gpu:
    index: int
    name: str | None
    uuid: str | None
    memory_bytes: int | None
    persistence_mode: bool


@dataclass(frozen=True)
class GpuInventory:
    """What the driver shows. Versions are None where there is no driver."""

    gpus: tuple[Gpu, ...] = ()
    driver: str | None = None
    cuda_driver: str | None = None  # the newest CUDA that the driver can run, such as "12.4"


def read_gpus() -> GpuInventory:
    """Ask NVML what GPUs there are. Never raises; what NVML refuses to tell is None."""
    try:
        import pynvml  # about 10 ms: spares `import cloister`
    except ImportError:
        return GpuInventory()
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return GpuInventory()  # no library, no driver, or no right to use it
    try:
        count = _ask(pynvml, pynvml.nvmlDeviceGetCount) or 0
        found = (_read_gpu(pynvml, index) for index in range(min(count, LISTED_GPUS)))
        return GpuInventory(
            tuple(gpu for gpu in found if gpu is not None),
            _text(_ask(pynvml, pynvml.nvmlSystemGetDriverVersion)),
            _cuda_version(_ask(pynvml, pynvml.nvmlSystemGetCudaDriverVersion)),
        )
    finally:
        _ask(pynvml, pynvml.nvmlShutdown)  # counted by pynvml: the sampler's own use goes on


def _read_gpu(pynvml: Any, index: int) -> Gpu | None:
    handle = _ask(pynvml, pynvml.nvmlDeviceGetHandleByIndex, index)
    if handle is None:
        return None
    memory = _ask(pynvml, pynvml.nvmlDeviceGetMemoryInfo, handle)
    return Gpu(
        index,
        _text(_ask(pynvml, pynvml.nvmlDeviceGetName, handle)),
        _text(_ask(pynvml, pynvml.nvmlDeviceGetUUID, handle)),
        int(memory.total) if memory is not None else None,
        bool(_ask(pynvml, pynvml.nvmlDeviceGetPersistenceMode, handle)),
    )


def _ask(pynvml: Any, question: Callable[..., Any], *arguments: Any) -> Any:
    try:
        return question(*arguments)
    except pynvml.NVMLError:
        return None


def _text(value: object) -> str | None:
    if isinstance(value, bytes):  # nvidia-ml-py before 11.515
        return value.decode("utf-8", "replace")
    return value if isinstance(value, str) else None


def _cuda_version(number: object) -> str | None:
    return f"{number // 1000}.{number % 1000 // 10}" if isinstance(number, int) else None
