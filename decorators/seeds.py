"""Seeding: the random number generators that a training draws from."""

from __future__ import annotations

import hashlib
import operator
import os
import random
import sys
from typing import Any

from ..observer.errors import CloisterError

SEED_LIMIT = 2**32  # numpy's generator takes no larger one; one range for all keeps a seed portable
DERIVED_LIMIT = 2**31  # what is handed on fits into the signed int that libraries in C take


class BadSeed(CloisterError, ValueError):
    """A seed is not a whole number from 0 to 2**32 - 1."""

    def __init__(self, seed: object) -> None:
        super().__init__(f"Seed {seed!r} is not a whole number from 0 to {SEED_LIMIT - 1}. Give an int such as 42.")


def seed_everything(seed: int) -> list[str]:
    """Seeds `random`, numpy's global generator and torch (CPU and all GPUs), and says which of them: ['random', ...].

    numpy is imported for it, since every Cloister has it. torch is seeded only when it has been imported: importing it
    takes seconds that a training without it must not pay. A function that imports torch itself calls this, or
    `torch.manual_seed(run.config["seed"])`, after the import. `numpy.random.default_rng()` makes generators of its
    own, which no global seed reaches: give it the seed. Raises BadSeed.
    """
    number = check_seed(seed)
    random.seed(number)
    seeded = ["random"]
    try:
        import numpy  # only a run with a seed pays for it
    except ImportError:
        pass
    else:
        numpy.random.seed(number)
        seeded.append("numpy")
    # Not a module attribute lookup on a half-imported torch: a training script may be in the middle of its imports.
    torch: Any = sys.modules.get("torch")
    if hasattr(torch, "manual_seed"):
        torch.manual_seed(number)  # all devices; those not yet in use are seeded when they are
        seeded.append("torch")
    return seeded


def check_seed(seed: object) -> int:
    """`seed` as an int in the range that every generator takes; raises BadSeed."""
    if isinstance(seed, bool):
        raise BadSeed(seed)
    try:
        number = operator.index(seed)  # type: ignore[arg-type]
    except TypeError:
        raise BadSeed(seed) from None
    if not 0 <= number < SEED_LIMIT:
        raise BadSeed(seed)
    return number


# How this process descends from the one that was started: the how-manieth child of each. Forked children go on with
# their parent's counters; without this, all workers of a DataLoader would draw the same numbers.
_lineage: tuple[int, ...] = ()
_children = 0


def derive_seed(seed: int | None, *identity: object) -> int:
    """The seed of one thing in a run (a function, its third call): the same in each run with `seed`, unlike all others.

    With None as `seed` one that nobody can foresee.
    """
    if seed is None:
        return random.SystemRandom().randrange(DERIVED_LIMIT)
    text = "/".join(map(str, (seed, *_lineage, *identity)))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") % DERIVED_LIMIT


def make_generator(seed: int) -> Any:
    """A generator of random numbers of its own: numpy's `Generator`, or `random.Random` where there is no numpy."""
    try:
        import numpy  # only a function that asks for one pays for it
    except ImportError:
        return random.Random(seed)  # noqa: S311 - for experiments, not for secrets
    return numpy.random.default_rng(seed)


def _count_child() -> None:
    global _children
    _children += 1


def _descend() -> None:
    global _children, _lineage
    _lineage, _children = (*_lineage, _children), 0


os.register_at_fork(before=_count_child, after_in_child=_descend)
