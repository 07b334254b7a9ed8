"""Images, sounds, films of several runs at the same step: artifacts whose names differ by a number are a series."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Literal

from .run_artifacts_page import artifact_key

if TYPE_CHECKING:
    from ..observer.run_files import ArtifactEntry
    from .compare_runs import ComparedRun, Comparison

MediaKind = Literal["image", "audio", "video"]
ENDINGS: dict[str, MediaKind] = {
    "png": "image", "jpg": "image", "jpeg": "image", "gif": "image", "webp": "image",
    "wav": "audio", "mp3": "audio", "ogg": "audio", "flac": "audio", "m4a": "audio", "opus": "audio",
    "mp4": "video", "webm": "video", "m4v": "video",
}  # fmt: skip
PLACE = "{step}"
_NAMED_STEP = re.compile(r"(?i)(?:^|[^a-z])(?:global_?step|step|epoch|iteration|iter|ep)[-_=/ ]?(\d{1,15})(?!\d)")
_LAST_NUMBER = re.compile(r"(\d{1,15})(?=\D*$)")
_NUMBER_FOLDER = re.compile(r"(?:^|/)[a-z]{0,2}[-_=]?(\d{1,15})(?=/)", re.IGNORECASE)


@dataclass(frozen=True)
class MediaItem:
    """One artifact of one run; `key` is what its address is made of."""

    entry: ArtifactEntry
    key: str
    kind: MediaKind


@dataclass(frozen=True)
class MediaSeries:
    """Artifacts of all runs under one name.

    Attributes:
        name: the artifact's name, `{step}` where the number stands.
        items: for each run, in the order of the runs, its artifact at each step.
    """

    name: str
    kind: MediaKind
    items: tuple[dict[int, MediaItem], ...]

    @property
    def steps(self) -> tuple[int, ...]:
        return tuple(sorted({step for column in self.items for step in column}))

    @property
    def run_count(self) -> int:
        return sum(bool(column) for column in self.items)

    def nearest(self, step: int | None) -> int:
        """The step asked for or the nearest that there is; by default the last that all runs reached."""
        if step is not None:
            return min(self.steps, key=lambda known: (abs(known - step), known))
        reached = [set(column) for column in self.items if column]
        common = set.intersection(*reached) if reached else set()
        return max(common or self.steps)


@dataclass(frozen=True)
class MediaCell:
    """What one run shows at a step; `nearest` is a step at which it has something, where it has nothing at this one."""

    each: ComparedRun
    item: MediaItem | None
    nearest: int | None


def find_series(comparison: Comparison) -> tuple[MediaSeries, ...]:
    """All series of the runs; images first, and those that most runs have."""
    found: dict[tuple[str, MediaKind], list[dict[int, MediaItem]]] = {}
    for place, run in enumerate(comparison.records):
        for entry in run.artifacts:
            kind = ENDINGS.get(entry.name.rpartition(".")[2].lower())
            if kind is None:
                continue
            name, step = split_step(entry.name)
            columns = found.setdefault((name, kind), [{} for _ in comparison.records])
            # Without a number in the name the n-th artifact of it is taken for the n-th step.
            at = len(columns[place]) if step is None else step
            columns[place][at] = MediaItem(entry, artifact_key(entry), kind)
    series = [MediaSeries(name, kind, tuple(columns)) for (name, kind), columns in found.items()]
    return tuple(sorted(series, key=lambda one: (one.kind != "image", -one.run_count, one.name)))


def show_step(series: MediaSeries, step: int, runs: Sequence[ComparedRun]) -> tuple[MediaCell, ...]:
    cells = []
    for each, column in zip(runs, series.items, strict=True):
        near = min(column, key=lambda known: abs(known - step)) if column else None
        cells.append(MediaCell(each, column.get(step), near))
    return tuple(cells)


def split_step(name: str) -> tuple[str, int | None]:
    """A name with its step taken out: val/predictions/034.png is val/predictions/{step}.png at 34."""
    path = PurePosixPath(name)
    stem = name[: len(name) - len(path.suffix)] if path.suffix and name.endswith(path.suffix) else name
    match = _last(_NAMED_STEP, stem) or _LAST_NUMBER.search(stem, stem.rfind("/") + 1) or _last(_NUMBER_FOLDER, stem)
    if match is None:
        return name, None
    return name[: match.start(1)] + PLACE + name[match.end(1) :], int(match[1])


def _last(pattern: re.Pattern[str], text: str) -> re.Match[str] | None:
    found = None
    for found in pattern.finditer(text):  # noqa: B007  # the last one is what is wanted
        pass
    return found
