"""Parameter importances, beside the requests that ask for them: one is reckoned at a time, in a process of its own.

An answer is kept under what it was reckoned from, so whoever sees the same values of the same runs gets it at once, and
nobody gets anything that is made of values that they may not see.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import threading
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ..observer.run_columns import RunColumns

Method = Literal["forest", "fanova"]
METHOD_NAMES: Mapping[Method, str] = {
    "forest": "random forest, permutation importance (scikit-learn)",
    "fanova": "fANOVA (Optuna)",
}
FEWEST_RUNS, MOST_RUNS, MOST_PARAMETERS = 10, 5_000, 40
LIMIT_SECONDS = 60.0
_MOST_WAITING, _MOST_KEPT = 8, 64
# Our search path: that of the new process would begin with its working directory.
_PROGRAM = "import sys, json; sys.path[:] = json.loads(sys.argv.pop(1)); from {module} import main; main()"


@dataclass
class Importance:
    """One reckoning, begun or done.

    Attributes:
        values, spreads: by parameter, the most important first; a spread is a standard deviation over repeats.
        score: R² of the forest; on runs that it has not seen where `held_out`.
        problem: why there is no answer, in a sentence.
        missing: the package that is not installed.
    """

    method: Method
    done: bool = False
    values: dict[str, float] = field(default_factory=dict)
    spreads: dict[str, float] = field(default_factory=dict)
    score: float | None = None
    held_out: bool = False
    runs: int = 0
    problem: str = ""
    missing: str = ""


class ImportanceDesk:
    """Takes questions, reckons one after another, keeps the newest answers. Safe to be asked by many threads."""

    def __init__(self, limit_seconds: float = LIMIT_SECONDS) -> None:
        self._limit_seconds = limit_seconds
        self._lock, self._turn = threading.Lock(), threading.Lock()
        self._known: OrderedDict[str, Importance] = OrderedDict()

    def ask(self, question: Question) -> Importance:
        """The answer as far as there is one by now. The first time that something is asked, its reckoning begins."""
        with self._lock:
            known = self._known.get(question.key)
            if known is not None:
                self._known.move_to_end(question.key)
                return known
            if sum(not answer.done for answer in self._known.values()) >= _MOST_WAITING:
                return Importance(question.method)  # the page asks again in a moment
            answer = self._known[question.key] = Importance(question.method)
            while len(self._known) > _MOST_KEPT:
                self._known.popitem(last=False)
        threading.Thread(target=self._reckon, args=(question, answer), name="importance", daemon=True).start()
        return answer

    def _reckon(self, question: Question, answer: Importance) -> None:
        with self._turn:
            try:
                _fill(answer, _run(question.text, self._limit_seconds))
            except subprocess.TimeoutExpired:
                answer.problem = (
                    f"It took more than {self._limit_seconds:.0f} s and was ended. Choose fewer parameters, or narrow "
                    "the runs by a query."
                )
            except Exception as error:
                # Wide on purpose: nobody waits for this thread, and the page has to be told that nothing will come.
                answer.problem = f"It could not be reckoned: {str(error)[:300]}"
            answer.done = True


@dataclass(frozen=True)
class Question:
    """What is to be reckoned; `text` is all that it is reckoned from."""

    method: Method
    text: str

    @property
    def key(self) -> str:
        return hashlib.sha256(self.text.encode()).hexdigest()


def pose(
    runs: RunColumns, target: str, parameters: Sequence[str], method: Method, log: Sequence[str]
) -> Question | None:
    """The question how much `parameters` matter for `target`; None where too few runs could tell.

    Constant parameters are left out, and runs without the target.
    """
    if not runs.is_numeric(target):
        return None
    known = runs.taking(np.isfinite(runs.columns[target]))
    known = known.taking(slice(0, MOST_RUNS))
    asked = [key for key in parameters if key != target and known.differs(key)][:MOST_PARAMETERS]
    if len(known) < FEWEST_RUNS or not asked:
        return None
    columns = {key: _plain(known.columns[key]) for key in asked}
    question = {"method": method, "target": known.columns[target].tolist(), "columns": columns, "log": sorted(log)}
    return Question(method, json.dumps(question, ensure_ascii=True))


def _plain(column: Any) -> list[Any]:
    if column.dtype == np.float64:
        return [float(value) if np.isfinite(value) else None for value in column]
    return list(column)


def _run(text: str, limit_seconds: float) -> dict[str, Any]:
    module = f"{__package__}.importance_process"
    finished = subprocess.run(  # noqa: S603  # our own interpreter and program, no shell
        [sys.executable, "-c", _PROGRAM.format(module=module), json.dumps(sys.path)],
        input=text.encode(),
        capture_output=True,
        timeout=limit_seconds,
        check=False,
    )
    if finished.returncode != 0:
        last = finished.stderr.decode("utf-8", "replace").strip().splitlines()[-1:]
        raise RuntimeError(last[0] if last else f"the process ended with {finished.returncode}")
    found: dict[str, Any] = json.loads(finished.stdout)
    return found


def _fill(answer: Importance, found: dict[str, Any]) -> None:
    answer.missing = found.get("missing", "")
    values: dict[str, float] = found.get("importances", {})
    answer.values = dict(sorted(values.items(), key=lambda each: -each[1]))
    answer.spreads, answer.score = found.get("spreads", {}), found.get("score")
    answer.held_out, answer.runs = found.get("held_out", False), found.get("runs", 0)
