"""How much each parameter matters for a metric, reckoned in a process of its own: `python -m ... < columns > answer`.

scikit-learn and Optuna take hundreds of megabytes and all of a core. Here they take neither from the viewer, and a
process can be ended when it takes too long.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

TREES, REPEATS, SEED = 100, 10, 0
HELD_OUT_FROM = 40  # runs: with fewer, all of them are needed to learn from
FANOVA_RUNS, FANOVA_TREES = 400, 32  # they are taken apart in Python, which is slow
Columns = Mapping[str, Sequence[Any]]


def main() -> None:
    """Read {method, target, columns} as JSON, write {importances, spreads, score, runs} or {missing}."""
    os.nice(10)  # pages come first
    asked = json.load(sys.stdin)
    reckon = {"forest": by_forest, "fanova": by_fanova}[asked["method"]]
    try:
        answer = reckon(asked["columns"], np.array(asked["target"], dtype=np.float64), asked.get("log", []))
    except ModuleNotFoundError as error:
        answer = {"missing": (error.name or "").split(".")[0]}
    json.dump(answer, sys.stdout)


def by_forest(columns: Columns, target: Any, _log: Sequence[str]) -> dict[str, Any]:
    """By how much R² falls on runs that a random forest has not seen when a parameter is shuffled among them.

    Source: Breiman, Random Forests, 2001, section 10.
    """
    from sklearn.ensemble import RandomForestRegressor
    from sklearn.inspection import permutation_importance
    from sklearn.model_selection import train_test_split

    inputs = np.column_stack([_numbers(column) for column in columns.values()])
    train = test = (inputs, target)
    if len(target) >= HELD_OUT_FROM:
        x_train, x_test, y_train, y_test = train_test_split(inputs, target, test_size=0.25, random_state=SEED)
        train, test = (x_train, y_train), (x_test, y_test)
    forest = RandomForestRegressor(TREES, min_samples_leaf=2, random_state=SEED, n_jobs=1).fit(*train)
    found = permutation_importance(forest, *test, n_repeats=REPEATS, random_state=SEED, scoring="r2")
    return {
        "importances": dict(zip(columns, found.importances_mean.tolist(), strict=True)),
        "spreads": dict(zip(columns, found.importances_std.tolist(), strict=True)),
        "score": float(forest.score(*test)),
        "held_out": len(target) >= HELD_OUT_FROM,
        "runs": len(target),
    }


def by_fanova(columns: Columns, target: Any, log: Sequence[str]) -> dict[str, Any]:
    """Which share of the metric's variance each parameter explains by itself.

    Source: Hutter, Hoos, Leyton-Brown, An Efficient Approach for Assessing Hyperparameter Importance, 2014.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    kept = [place for place in range(len(target)) if all(column[place] is not None for column in columns.values())]
    kept = kept[:FANOVA_RUNS]
    spaces = {key: _space(optuna, [column[place] for place in kept], key in log) for key, column in columns.items()}
    spaces = {key: space for key, space in spaces.items() if space is not None}
    study = optuna.create_study()
    for place in kept:
        values = {key: _as_given(columns[key][place]) for key in spaces}
        study.add_trial(optuna.trial.create_trial(params=values, distributions=spaces, value=float(target[place])))
    evaluator = optuna.importance.FanovaImportanceEvaluator(n_trees=FANOVA_TREES, seed=SEED)
    found = optuna.importance.get_param_importances(study, evaluator=evaluator, params=list(spaces))
    return {
        "importances": {key: float(found.get(key, 0.0)) for key in columns},
        "spreads": {},
        "score": None,
        "held_out": False,
        "runs": len(kept),
    }


def _numbers(column: Sequence[Any]) -> Any:
    """Numbers as they are, a missing one as the middle one; words numbered in order."""
    if all(value is None or isinstance(value, (int, float)) for value in column):
        numbers = np.array([np.nan if value is None else value for value in column], dtype=np.float64)
        middle = np.nanmedian(numbers) if np.isfinite(numbers).any() else 0.0
        return np.where(np.isfinite(numbers), numbers, middle)
    order = {word: place for place, word in enumerate(sorted({str(value) for value in column}))}
    return np.array([order[str(value)] for value in column], dtype=np.float64)


def _space(optuna: Any, values: list[Any], log: bool) -> Any:
    """What a parameter could have been; None for one that was the same in all of these runs."""
    if len(set(values)) < 2:
        return None
    if all(isinstance(value, (int, float)) for value in values):
        return optuna.distributions.FloatDistribution(min(values), max(values), log=log and min(values) > 0)
    return optuna.distributions.CategoricalDistribution(sorted({str(value) for value in values}))


def _as_given(value: Any) -> Any:
    return float(value) if isinstance(value, (int, float)) else str(value)


if __name__ == "__main__":
    main()
