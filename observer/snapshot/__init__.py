"""What surrounds a run when it starts: its git repository, its sources, its installed packages, its machine.

None of these raises for what it finds outside: what could not be read is said in the result.
"""

from __future__ import annotations

from .distributions import InstalledDistributions, read_distributions
from .git_state import GitState, read_git_state
from .gpu_inventory import GpuInventory, read_gpus
from .host import read_environment, read_host
from .sources import SourceContent, SourceFile, Sources, find_main_file, find_project_root

__all__ = [
    "GitState",
    "GpuInventory",
    "InstalledDistributions",
    "SourceContent",
    "SourceFile",
    "Sources",
    "find_main_file",
    "find_project_root",
    "read_distributions",
    "read_environment",
    "read_git_state",
    "read_gpus",
    "read_host",
]
