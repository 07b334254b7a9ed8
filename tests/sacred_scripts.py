"""Sacred experiments as scripts, with our observer, as a user would have them."""

from __future__ import annotations

import textwrap

import pytest

BEGINNING = """
import os, sys, time, warnings
warnings.simplefilter("ignore")  # Sacred's own, of Python and setuptools
from sacred import Experiment
import cloister

ex = Experiment("ator", save_git_info=False)
"""
OBSERVED = f"{BEGINNING}ex.observers.append(cloister.MongoObserver())\n"


def experiment(body: str, beginning: str = OBSERVED) -> str:
    """A script with an experiment `ex` that our observer observes."""
    return beginning + textwrap.dedent(body)


def need_sacred() -> None:
    """Skip where Sacred is not installed, or cannot be imported."""
    from cloister.observer.sacred_install import sacred_problem

    problem = sacred_problem()
    if problem is not None:
        pytest.skip(problem)
