"""Bootstrap confidence intervals (Efron 1979), all resamples of a metric at once.

A percentile interval is that of the metric over resamples of the rows. Metrics of a confusion matrix need no
rows: resampling rows is drawing the matrix' cells from their multinomial. Other metrics are resampled on
`MAX_ROWS` rows at most; where there are more, the interval of so many is narrowed by the root of the ratio
(the m out of n bootstrap; Bickel, Götze, van Zwet 1997).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

LEVEL = 0.95
RESAMPLES = 1000
MAX_ROWS = 2000
MAX_DRAWS = 2_000_000
"""Cells that are drawn for all resamples together; with more cells there are fewer resamples."""

MIN_RESAMPLES = 200

Interval = list[float]
"""The lower and the upper end."""


class Resamples:
    """Resamples of ``count`` rows, as the weight of each of ``rows`` in each: shape (resamples, rows).

    ``rows`` are the numbers of the rows that take part, all or `MAX_ROWS` of them.
    """

    def __init__(self, count: int, resamples: int, rng: np.random.Generator) -> None:
        size = min(count, MAX_ROWS)
        self.rows = np.arange(count) if size == count else np.sort(rng.choice(count, size, replace=False))
        drawn = rng.integers(0, size, (resamples, size)) + size * np.arange(resamples)[:, None]
        weights = np.bincount(drawn.ravel(), minlength=resamples * size).reshape(resamples, size)
        self.weights: NDArray[np.float32] = weights.astype(np.float32)
        self._narrowing = float(np.sqrt(size / count))

    def means(self, values: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return the mean of ``values``, one for each of all rows, in each resample."""
        chosen = values[self.rows]
        return (self.weights @ chosen.astype(np.float64)) / len(chosen)

    def interval(
        self, value: float, resampled: NDArray[np.floating], centre: float | None = None
    ) -> Interval | None:
        """Return the interval around ``value``.

        ``resampled`` is the metric in each resample, NaN where it has none; ``centre`` that of the rows that
        take part, ``value`` where those are all.
        """
        middle = value if centre is None else centre
        found = percentiles(resampled - middle)
        return found and [value + self._narrowing * end for end in found]


def percentiles(resampled: NDArray[np.floating]) -> Interval | None:
    """Return the interval of a metric from its values in resamples; None where they are not defined."""
    defined = resampled[np.isfinite(resampled)]
    if not len(defined):
        return None
    ends: Interval = np.quantile(defined, [(1 - LEVEL) / 2, (1 + LEVEL) / 2]).tolist()
    return ends


def resamples_of(cells: int) -> int:
    """Return how many resamples of ``cells`` cells are drawn."""
    return int(np.clip(MAX_DRAWS // max(cells, 1), MIN_RESAMPLES, RESAMPLES))


def bounded(found: Mapping[str, Interval | None], upper: Mapping[str, float]) -> dict[str, Interval]:
    """Return the intervals that there are, none of them below 0 or above the metric's ``upper`` bound."""
    return {
        name: [max(ends[0], 0.0), min(ends[1], upper.get(name, 1.0))]
        for name, ends in found.items()
        if ends is not None
    }


def as_json(metrics: Mapping[str, Interval], **more: Any) -> dict[str, Any]:
    """Return intervals as an evaluation shows them, with how they were made."""
    return {"level": LEVEL, "method": "bootstrap", **more, "metrics": dict(metrics)}
