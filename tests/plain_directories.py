"""Collects every folder as a plain folder, so that pytest never imports the root package under the checkout's name."""

from __future__ import annotations

from pathlib import Path

import pytest


def pytest_collect_directory(path: Path, parent: pytest.Collector) -> pytest.Collector:
    return pytest.Dir.from_parent(parent, path=path)  # type: ignore[no-any-return]
