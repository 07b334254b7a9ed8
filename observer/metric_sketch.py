"""What a chart needs of a metric: bins where it has no room for every point, the points themselves everywhere else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .metric_bins import Bins, seconds
from .metric_stretches import (
    BEGINNING,
    END,
    Extent,
    MetricKey,
    gaps_between,
    join_points,
    points_outside,
    points_within,
    slots_of,
    without,
)
from .metric_tails import Stretch
from .metric_wishes import BinsWish, ChunksWish, Reading, TailsWish
from .points import Float64s, Int64s, Points
from .pyramid_levels import COARSE, FINE, Mask, PlacedBins, extents_of_spans

BINS_PER_PIXEL = 4  # so a bin that crosses the edge of a pixel's column may be drawn a quarter of a pixel beside it


@dataclass(frozen=True)
class Window:
    """The part of an axis that a chart shows.

    Attributes:
        origin: the wall time at which x is 0, None where x is the step.
        low, high: its ends; infinite where it shows all there is.
        pixels: its width.
    """

    origin: float | None
    low: float
    high: float
    pixels: int

    def x_of(self, points: Points) -> Float64s:
        return points.steps.astype(np.float64) if self.origin is None else points.wall_times - self.origin

    def place(self, steps: Int64s, times: Int64s) -> Float64s:
        return steps.astype(np.float64) if self.origin is None else seconds(times) - self.origin


@dataclass(frozen=True)
class Sketch:
    """What is to be drawn of a metric.

    Attributes:
        points: those that are read one by one.
        bins: stand for all other points of the window; all of them lie in it as a whole.
    """

    points: Points
    bins: Bins


def sketch_metric(metric: MetricKey, window: Window) -> Reading[Sketch]:
    """What `window` shows of a metric, from as little as is enough: a reading, which `finish` finishes.

    A bin stands for its points where it is narrower than a quarter of a pixel and lies in the window as a whole;
    else the bins or points below it are read. That asks for no order of the steps: where a resumed run goes over the
    same steps again, bins lie above each other.

    Raises:
        ShorterChunk: the pyramid speaks of points that are not there.
    """
    tails: list[Stretch] = yield TailsWish(metric)  # before all that they may be compacted into meanwhile
    coarse: PlacedBins = yield BinsWish(metric, COARSE, [Extent(BEGINNING, END)])
    gaps = gaps_between(coarse.extents(), closed=coarse.closed, segments=metric.segments)
    fine: PlacedBins = yield BinsWish(metric, FINE, gaps)
    covered = sorted([*coarse.extents(), *fine.extents()], key=lambda extent: extent.start)
    gaps = gaps_between(covered, closed=coarse.closed, segments=metric.segments)
    chunks: list[Stretch] = yield ChunksWish(metric, gaps)
    stretches = points_outside([*chunks, *tails], covered)
    points = join_points(stretches)

    widest = _widest_bin(window, [coarse.bins, fine.bins], points)
    is_drawn, is_opened = _choose(window, widest, coarse)
    wanted = coarse[is_opened].extents()
    below: PlacedBins = yield BinsWish(metric, FINE, extents_of_spans(coarse.neighbourhoods(is_opened), FINE))
    below = below[below.within(wanted)]
    drawn, opened = [coarse[is_drawn].bins], []
    for placed in (fine, below):
        is_drawn, is_opened = _choose(window, widest, placed)
        drawn.append(placed[is_drawn].bins)
        opened += placed[is_opened].extents()
    # What has no bins below it after all (a damaged document) is read point by point.
    singly = sorted([*opened, *without(wanted, below.extents())], key=lambda extent: extent.start)
    found: list[Stretch] = yield ChunksWish(metric, slots_of(singly))
    return Sketch(join_points([*stretches, *points_within(found, singly)]), Bins.concatenate(drawn))


def _choose(window: Window, widest: float, placed: PlacedBins) -> tuple[Mask, Mask]:
    """Which bins are drawn as they are, and of which what is below them is drawn."""
    steps, times = placed.bins.steps, placed.bins.times
    low, high = window.place(steps[0], times[0]), window.place(steps[1], times[1])
    before, after = high < window.low, low > window.high
    inside = ~(before | after)
    opened = inside & ((low < window.low) | (high > window.high) | (high - low > widest))
    # Where the line begins and ends, and the nearest point on each side of the window, to which it goes on.
    for members, column, nearest in ((inside, low, "argmin"), (inside, high, "argmax")):
        _mark(opened, members, column, nearest)
    for members, column, nearest in ((before, high, "argmax"), (after, low, "argmin")):
        _mark(opened, members, column, nearest)
    return inside & ~opened, opened


def _mark(opened: Mask, members: Mask, column: Float64s, nearest: str) -> None:
    """Open the one of `members` that is lowest or highest in `column`."""
    places = np.flatnonzero(members)
    if len(places):
        opened[places[getattr(column[places], nearest)()]] = True


def _widest_bin(window: Window, levels: Sequence[Bins], points: Points) -> float:
    """How wide a bin may be that stands for its points."""
    lows, highs = [], []
    for bins in levels:
        if len(bins):
            lows.append(window.place(bins.steps[0], bins.times[0]).min())
            highs.append(window.place(bins.steps[1], bins.times[1]).max())
    if len(points):
        x = window.x_of(points)
        lows.append(x.min())
        highs.append(x.max())
    if not lows:
        return 0.0
    shown = min(max(highs), window.high) - max(min(lows), window.low)
    return float(max(shown, 0.0)) / (window.pixels * BINS_PER_PIXEL)
