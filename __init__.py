"""Cloister, a private experiment tracker: record runs into your own MongoDB, look at them in your own building."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .decorators.active_runs import current_run, log
    from .decorators.config.computed import computed
    from .decorators.experiment import Experiment, experiment
    from .decorators.ingredient import Ingredient
    from .decorators.interruptions import Interruption, OutOfTime
    from .decorators.run import Run
    from .decorators.run_start import start_run
    from .decorators.sacred.mongo_observer import MongoObserver
    from .decorators.sacred.queued_observer import QueuedMongoObserver
    from .observer.api_client import Api, ApiError
    from .observer.errors import CloisterError
    from .observer.points import Points
    from .observer.run_record import RunRecord
    from .observer.runs import RunStore
    from .observer.stored_runs import StoredRun, load_run, runs

__version__ = "0.1.0"

# Each public name and the module that holds it. They are imported when first used, so that `import cloister` costs a
# training script next to nothing.
_HOMES = {
    "Api": ".observer.api_client",
    "ApiError": ".observer.api_client",
    "CloisterError": ".observer.errors",
    "Experiment": ".decorators.experiment",
    "Ingredient": ".decorators.ingredient",
    "Interruption": ".decorators.interruptions",
    "OutOfTime": ".decorators.interruptions",
    "MongoObserver": ".decorators.sacred.mongo_observer",
    "Points": ".observer.points",
    "QueuedMongoObserver": ".decorators.sacred.queued_observer",
    "Run": ".decorators.run",
    "RunRecord": ".observer.run_record",
    "RunStore": ".observer.runs",
    "StoredRun": ".observer.stored_runs",
    "computed": ".decorators.config.computed",
    "current_run": ".decorators.active_runs",
    "experiment": ".decorators.experiment",
    "load_run": ".observer.stored_runs",
    "log": ".decorators.active_runs",
    "runs": ".observer.stored_runs",
    "start_run": ".decorators.run_start",
}

__all__ = [
    "Api",
    "ApiError",
    "CloisterError",
    "Experiment",
    "Ingredient",
    "Interruption",
    "MongoObserver",
    "OutOfTime",
    "Points",
    "QueuedMongoObserver",
    "Run",
    "RunRecord",
    "RunStore",
    "StoredRun",
    "computed",
    "current_run",
    "experiment",
    "load_run",
    "log",
    "runs",
    "start_run",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name], __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
