"""What surrounds a run when it starts: its git repository, its sources, its installed packages, its machine."""

from __future__ import annotations

from .git_state import GitState, read_git_state

__all__ = ["GitState", "read_git_state"]
