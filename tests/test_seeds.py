"""One seed makes the draws of random, numpy and torch repeat."""

from __future__ import annotations

import random
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from cloister.decorators.config.script import explained_exit
from cloister.decorators.seeds import BadSeed, check_seed, seed_everything


def test_the_same_seed_gives_the_same_draws() -> None:
    draws = []
    for _ in range(2):
        seeded = seed_everything(42)
        draws.append((random.random(), float(np.random.random())))
    assert draws[0] == draws[1]
    assert seeded[:2] == ["random", "numpy"]


def test_torch_is_seeded_where_the_script_has_it() -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    assert seed_everything(7)[-1] == "torch"
    first = torch.rand(1).item()
    seed_everything(7)
    assert torch.rand(1).item() == first


def test_seeding_does_not_import_torch() -> None:
    code = "import sys; from cloister.decorators.seeds import seed_everything as s; s(1); print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"


@pytest.mark.parametrize("seed", [0, 2**32 - 1, np.int64(5)])
def test_every_seed_that_numpy_takes_is_taken(seed: Any) -> None:
    assert check_seed(seed) == int(seed)
    seed_everything(seed)


@pytest.mark.parametrize("seed", [-1, 2**32, 1.0, "5", True, None])
def test_a_seed_that_is_none_is_refused_with_its_value(seed: Any) -> None:
    with pytest.raises(BadSeed, match=r"whole number from 0 to 4294967295\. Give an int"):
        seed_everything(seed)


def test_a_script_with_a_wrong_seed_ends_with_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught, explained_exit("train.py"):
        check_seed("abc")
    assert caught.value.code == 2
    assert capsys.readouterr().err == (
        "train.py: Seed 'abc' is not a whole number from 0 to 4294967295. Give an int such as 42.\n"
    )
