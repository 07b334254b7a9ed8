"""Which fields the Explain page offers, and which it takes where nobody has chosen."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ..observer.query.fields import UnknownField, find_field, metric_field
from ..observer.run_columns import load_run_columns
from ..observer.run_query import RunQuery
from .runs_table import rank_metrics

if TYPE_CHECKING:
    from ..observer.run_columns import RunColumns
    from ..observer.runs import RunStore
    from .explain_address import ExplainAddress

LOOKED_AT_RUNS, MOST_OFFERED, FIRST_PARAMETERS = 300, 200, 7
DULL = ("seed", "device", "workers", "num_workers", "verbose", "log_every")  # they differ, and seldom explain anything


@dataclass(frozen=True)
class Offered:
    """The fields of a project's runs.

    Attributes:
        targets: metrics, last and best, those that people judge a run by first; then the duration.
        parameters: config entries, first those that the newest runs were given differently.
        differing: how many of the parameters differ.
    """

    targets: tuple[str, ...]
    parameters: tuple[str, ...]
    differing: int


def find_offered(store: RunStore, project: str) -> Offered:
    """Raises ProjectNotFound."""
    known = store.discover_columns(project)
    if not known.config and not known.metrics:
        store.find_project(project)
    config = [find_field(f"config.{key}").key for key in known.config[:MOST_OFFERED]]
    newest = load_run_columns(store, RunQuery(project), config, most=LOOKED_AT_RUNS, kept=False)
    # What each run has of its own, such as a folder, tells nothing of the others.
    differing = [key for key in config if newest.differs(key) and not _is_name(newest, key)]
    differing.sort(key=lambda key: key.rsplit(".", 1)[-1] in DULL)
    others = [key for key in config if key not in differing]
    return Offered(tuple(_targets(known.metrics)), (*differing, *others), len(differing))


def fill_in(address: ExplainAddress, offered: Offered) -> ExplainAddress:
    """The address with everything chosen that can be."""
    target = address.target or next(iter(offered.targets), "")
    telling = [key for key in offered.parameters[: offered.differing] if key.rsplit(".", 1)[-1] not in DULL]
    chosen = address.parameters or tuple(telling[:FIRST_PARAMETERS]) or offered.parameters[: offered.differing]
    chosen = tuple(key for key in chosen if key != target)
    x = address.x or next(iter(chosen), "")
    second = next((key for key in chosen if key != x), "")
    is_contour = address.view == "contour"
    y = address.y or (second if is_contour else target)
    return replace(
        address, target=target, parameters=chosen, x=x, y=y, by=address.by or (x if address.view == "boxes" else second)
    )


def title_of(key: str) -> str:
    """A field as people call it; where its name is all that tells what it is, with its function."""
    return find_field(key).title


def short_titles(keys: tuple[str, ...]) -> dict[str, str]:
    """Config keys by their last part, unless two of them would then read the same."""
    short = {key: title_of(key).rsplit(".", 1)[-1] if key.startswith("config.") else title_of(key) for key in keys}
    words = list(short.values())
    return {key: word if words.count(word) == 1 else title_of(key) for key, word in short.items()}


def _targets(metrics: tuple[str, ...]) -> list[str]:
    found = []
    for name in rank_metrics(metrics)[:MOST_OFFERED]:
        found.append(metric_field(name).key)
        try:
            found.append(metric_field(name, "best").key)
        except UnknownField:  # no end of it is known to be the better one
            continue
    return [*found, "duration"]


def _is_name(runs: RunColumns, key: str) -> bool:
    if runs.is_numeric(key):
        return False
    words = [word for word in runs.columns[key] if word is not None]
    return len(words) > 20 and len(set(words)) > 0.8 * len(words)
