"""What a reader of metrics wants to have next, fetched for one metric or for many of them with one question.

Reading a metric is a generator: it yields a wish, is sent what was found, and returns what it has made of that. So the
same reading serves a chart of one run, and one of two hundred whose wishes of the same kind go to MongoDB together.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from .errors import CloisterError
from .metric_stretches import Extent, MetricKey, load_chunks_of, load_tails_of
from .pyramid_levels import Level, load_levels

if TYPE_CHECKING:
    from pymongo.database import Database

Found = TypeVar("Found")


@dataclass(frozen=True)
class TailsWish:
    """The newest points of a metric, as `load_tails` gives them."""

    metric: MetricKey


@dataclass(frozen=True)
class ChunksWish:
    """The chunks of a metric that begin in `extents`."""

    metric: MetricKey
    extents: Sequence[Extent]


@dataclass(frozen=True)
class BinsWish:
    """The bins of a level whose documents begin in `extents`."""

    metric: MetricKey
    level: Level
    extents: Sequence[Extent]


Wish = TailsWish | ChunksWish | BinsWish
Reading = Generator[Wish, Any, Found]


def finish(database: Database[dict[str, Any]], reading: Reading[Found]) -> Found:
    """What one reading comes to; what it raises is raised."""
    [outcome] = finish_all(database, [reading])
    if isinstance(outcome, CloisterError):
        raise outcome
    return outcome


def finish_all(database: Database[dict[str, Any]], readings: Sequence[Reading[Found]]) -> list[Found | CloisterError]:
    """What each of the readings comes to, or the error of ours that it ended with. They go on side by side."""
    outcomes: dict[int, Found | CloisterError] = {}
    answers: dict[int, Any] = dict.fromkeys(range(len(readings)))
    while answers:
        wishes: dict[int, Wish] = {}
        for place, answer in answers.items():
            try:
                wishes[place] = readings[place].send(answer)
            except StopIteration as end:
                outcomes[place] = end.value
            except CloisterError as error:  # one damaged metric does not end the others
                outcomes[place] = error
        answers = _fetch(database, wishes)
    return [outcomes[place] for place in range(len(readings))]


def _fetch(database: Database[dict[str, Any]], wishes: dict[int, Wish]) -> dict[int, Any]:
    tails = {place: wish for place, wish in wishes.items() if isinstance(wish, TailsWish)}
    chunks = {place: wish for place, wish in wishes.items() if isinstance(wish, ChunksWish)}
    bins = {place: wish for place, wish in wishes.items() if isinstance(wish, BinsWish)}
    found: dict[int, Any] = {}
    if tails:
        of_tails = load_tails_of(database, [wish.metric for wish in tails.values()])
        found |= zip(tails, of_tails, strict=True)
    if chunks:
        of_chunks = load_chunks_of(database, [(wish.metric, wish.extents) for wish in chunks.values()])
        found |= zip(chunks, of_chunks, strict=True)
    if bins:
        of_bins = load_levels(database, [(wish.metric.id, wish.level, wish.extents) for wish in bins.values()])
        found |= zip(bins, of_bins, strict=True)
    return found
