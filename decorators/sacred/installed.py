"""Telling who makes an observer where Sacred cannot run that it cannot: its own error does not say what to install."""

from __future__ import annotations

import logging
import sys

from ...observer.sacred_install import sacred_problem

logger = logging.getLogger("cloister")


def warn_without_sacred() -> None:
    """Say what is missing, where this process has not imported Sacred and could not."""
    if "sacred" not in sys.modules:
        problem = sacred_problem()
        if problem is not None:
            logger.warning("%s", problem)
