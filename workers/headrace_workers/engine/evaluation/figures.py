"""What evaluations share that are means of figures of rows: intervals, slices, and the rows that are kept."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from headrace_workers.engine.data.row_sample import RowSample
from headrace_workers.engine.evaluation import intervals, slices
from headrace_workers.engine.evaluation.intervals import Interval, Resamples

JSON = dict[str, Any]

MAX_ROWS = 250_000
"""Rows whose figures are kept at most; of more a uniform sample is."""


class Figures:
    """Figures of rows, and the values of slices, of at most `MAX_ROWS` rows."""

    def __init__(self, slice_columns: Sequence[str], seed: int) -> None:
        self._slices = list(slice_columns)
        self._sample = RowSample(MAX_ROWS, seed)
        self._total = 0

    def add(self, batch: pa.RecordBatch, **figures: Any) -> None:
        """Take the next rows: named arrays, one value a row; ``batch`` has the columns of the slices."""
        self._total += batch.num_rows
        kept = {name: pa.array(values) for name, values in figures.items()}
        kept |= {f"slice {i}": batch.column(name) for i, name in enumerate(self._slices)}
        self._sample.update(pa.record_batch(kept))

    def rows(self) -> pa.RecordBatch:
        """Return the rows that were kept. There was at least one."""
        found = self._sample.rows()
        assert found is not None, "there was at least one row"
        return found

    def sampled(self) -> JSON:
        """Return the part of an evaluation that says so where not all rows were kept."""
        rows = len(self.rows())
        if rows == self._total:
            return {}
        note = "All figures are of a uniform sample of the rows."
        return {"sample": {"rows": rows, "of": self._total, "note": note}}

    def slices(self, name: str, figure: NDArray[np.float64], rng: np.random.Generator) -> list[JSON]:
        """Return the slices with the mean of ``figure`` of each group, called ``name``; lower is better."""
        rows = self.rows()
        return [
            {"column": column, "groups": _groups(rows.column(f"slice {i}"), name, figure, rng)}
            for i, column in enumerate(self._slices)
        ]


def _groups(values: pa.Array, name: str, figure: NDArray[np.float64], rng: np.random.Generator) -> list[JSON]:
    entries = []
    for group in slices.groups(values):
        chosen = figure[group.rows]
        found, between = mean_of(chosen, Resamples(len(chosen), slices.RESAMPLES, rng))
        ends = {name: between} if between else {}
        entry = slices.described(group, {name: found}, ends)
        entries.append(slices.compare(entry, name, float(figure.mean()), higher_is_better=False))
    return entries


def mean_of(figure: NDArray[Any], weighted: Resamples) -> tuple[float, Interval | None]:
    """Return the mean of a figure of rows, and its interval."""
    mean = float(figure.mean())
    return mean, weighted.interval(mean, weighted.means(figure), float(figure[weighted.rows].mean()))


def explained(
    error: NDArray[np.float64], whole: NDArray[np.float64], weighted: Resamples
) -> tuple[float, Interval | None]:
    """Return which share of ``whole``, by row, ``error`` does not leave, and its interval.

    NaN where there is nothing to explain.
    """

    def share(left: Any, of: Any) -> Any:
        with np.errstate(invalid="ignore", divide="ignore"):
            return 1 - np.divide(left, of)

    found = float(share(error.mean(), whole.mean()))
    centre = float(share(error[weighted.rows].mean(), whole[weighted.rows].mean()))
    resampled = share(weighted.means(error), weighted.means(whole))
    return found, weighted.interval(found, resampled, centre) if np.isfinite(found) else None


def told(between: dict[str, Interval | None], weighted: Resamples) -> JSON:
    """Return intervals as an evaluation shows them."""
    known = {name: ends for name, ends in between.items() if ends is not None}
    return intervals.as_json(known, resamples=len(weighted.weights), most_rows_resampled=intervals.MAX_ROWS)


def between_text(value: float, ends: Interval | None) -> str:
    """Return a figure with its interval, for people."""
    return f"{value:.3g} ({ends[0]:.3g} to {ends[1]:.3g})" if ends else f"{value:.3g}"
