"""The same experiment in Sacred and in Cloister: the same words give the same config, and the same changes."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
from cloister.decorators.config import ConfigSpec, computed

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # Sacred 0.8.7 warns of pkg_resources, on which it stands
    sacred = pytest.importorskip("sacred", reason="needs Sacred")


def sacreds() -> Any:
    """An experiment of Sacred's with an ingredient, named configs and entries that follow from others."""
    data = sacred.Ingredient("data", save_git_info=False)

    @data.config
    def data_config():  # type: ignore[no-untyped-def]
        batch = 32  # noqa: F841
        path = "digits.csv"  # noqa: F841

    @data.named_config
    def small():  # type: ignore[no-untyped-def]
        batch = 2  # noqa: F841

    experiment = sacred.Experiment("train", ingredients=[data], save_git_info=False)

    @experiment.config
    def config(data):  # type: ignore[no-untyped-def]
        seed = 1  # noqa: F841
        lr = 0.1
        low = lr / 10  # noqa: F841
        hidden = 64
        width = hidden * 2  # noqa: F841
        steps = 640 // data["batch"]  # noqa: F841
        optimizer = {"name": "adam", "decay": 0.0}  # noqa: F841
        note = ""  # noqa: F841

    @experiment.named_config
    def fast():  # type: ignore[no-untyped-def]
        hidden = 8  # noqa: F841
        optimizer = {"name": "sgd"}  # noqa: F841

    @experiment.named_config
    def large():  # type: ignore[no-untyped-def]
        hidden = 512  # noqa: F841
        lr = 1e-3  # noqa: F841

    experiment.add_named_config("odd", {"note": 3})

    @experiment.main
    def train(lr, low, width, steps, optimizer, note, hidden):  # type: ignore[no-untyped-def]
        return None

    return experiment


def ours() -> ConfigSpec:
    """The same with us."""

    def train(
        run: Any,
        data: Any,
        seed: int = 1,
        lr: float = 0.1,
        low: float = computed(lambda lr: lr / 10),
        hidden: int = 64,
        optimizer: Any = {"name": "adam", "decay": 0.0},  # noqa: B006
        note: Any = "",
    ) -> None: ...

    def derived(hidden: int, data: Any) -> dict[str, Any]:
        return {"width": hidden * 2, "steps": 640 // data.batch}

    spec = ConfigSpec.from_function(train)
    spec.config_functions.append(derived)
    spec.presets.add("fast", {"hidden": 8, "optimizer": {"name": "sgd"}})
    spec.presets.add("large", {"hidden": 512, "lr": 1e-3})
    spec.presets.add("odd", {"note": 3})
    spec.ingredients["data"] = ConfigSpec.of_ingredient("data", {"batch": 32, "path": "digits.csv"})
    spec.ingredients["data"].presets.add("small", {"batch": 2})
    return spec


@pytest.mark.parametrize(
    ("presets", "updates"),
    [
        ((), {}),
        ((), {"lr": 1.0}),
        ((), {"width": 5, "data": {"batch": 64}}),
        (("fast",), {}),
        (("fast", "large"), {}),
        (("large", "fast"), {"hidden": 3}),
        (("data.small", "fast"), {"optimizer": {"decay": 0.5}}),
        (("odd",), {"low": 1}),
    ],
    ids=str,
)
def test_presets_and_updates_give_sacreds_config_and_changes(presets: tuple[str, ...], updates: dict[str, Any]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = sacreds().run(config_updates=updates, named_configs=presets, options={"--loglevel": "ERROR"})
    resolved = ours().resolve(presets=presets, updates=updates)

    assert resolved.config == theirs.config
    assert resolved.meta["named_configs"] == list(theirs.meta_info["named_configs"])
    found = {change.key for change in resolved.changes if not change.is_computed}
    changed = theirs.config_modifications
    # Sacred marks what is around a change, too.
    leaves = {key for key in changed.modified | set(changed.typechanged) if not is_branch(theirs.config, key)}
    assert found == leaves
    retyped = {change.key: change.types for change in resolved.changes if change.types is not None}
    # Sacred notes a whole number for a float, too, and does not warn of it.
    assert retyped == {
        key: (one.__name__, other.__name__)
        for key, (one, other) in changed.typechanged.items()
        if {one, other} != {int, float}
    }


def is_branch(config: Any, key: str) -> bool:
    for name in key.split("."):
        config = config[name]
    return isinstance(config, dict)
