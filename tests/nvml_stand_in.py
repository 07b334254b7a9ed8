"""The stand-in for NVIDIA's library, built with gcc: `from nvml_stand_in import nvml_stand_in` gives the fixture."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

SOURCE = Path(__file__).with_suffix(".c")


@pytest.fixture(scope="session")
def nvml_stand_in(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Environment for a subprocess that then has two GPUs; what they do is chosen by variables named in the .c file."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        pytest.skip("No C compiler (gcc or cc) on PATH, so the NVML stand-in cannot be built.")
    folder = tmp_path_factory.mktemp("nvml")
    library = folder / "libnvidia-ml.so.1"
    subprocess.run([compiler, "-shared", "-fPIC", "-Wall", "-Werror", "-o", library, SOURCE], check=True)
    return {**os.environ, "LD_LIBRARY_PATH": str(folder)}
