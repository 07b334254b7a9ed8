"""Points: one metric of one run as three columns."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Int64s = npt.NDArray[np.int64]
Float64s = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Points:
    """The points of one metric in the order in which they were logged.

    Attributes:
        steps: int64, shape (n,).
        values: float64, shape (n,); NaN and infinities are kept as logged.
        wall_times: float64, shape (n,), seconds since 1970 (UTC).
    """

    steps: Int64s
    values: Float64s
    wall_times: Float64s

    def __len__(self) -> int:
        return len(self.steps)

    def __getitem__(self, choice: slice | Int64s) -> Points:
        return Points(self.steps[choice], self.values[choice], self.wall_times[choice])

    @classmethod
    def empty(cls) -> Points:
        return cls(np.empty(0, np.int64), np.empty(0, np.float64), np.empty(0, np.float64))

    @classmethod
    def concatenate(cls, parts: list[Points]) -> Points:
        if not parts:
            return cls.empty()
        return cls(
            np.concatenate([part.steps for part in parts]),
            np.concatenate([part.values for part in parts]),
            np.concatenate([part.wall_times for part in parts]),
        )

    def sorted_by_step(self) -> Points:
        """The same points by ascending step; points of one step keep the order in which they were logged."""
        if np.all(self.steps[1:] >= self.steps[:-1]):
            return self
        return self[np.argsort(self.steps, kind="stable")]
