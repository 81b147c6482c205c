"""Evaluation of an embedding: how much of a row is made again of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from headrace_workers.engine.evaluation import intervals
from headrace_workers.engine.evaluation.figures import Figures, between_text, explained, mean_of, told
from headrace_workers.engine.evaluation.intervals import Resamples
from headrace_workers.engine.evaluation.worst import Worst
from headrace_workers.engine.tasks.embedding import ERROR, FIGURES

JSON = dict[str, Any]
MAX_POINTS = 500
"""Rows that are drawn at most, by the first two numbers of their embedding."""


class Reconstruction:
    """Takes a learner's values of an embedding; see `engine.tasks.embedding`."""

    def __init__(self, slice_columns: Sequence[str], seed: int) -> None:
        self._rng = np.random.default_rng([seed, 1])
        self._figures = Figures(slice_columns, seed)
        self._worst = Worst()

    def add(
        self,
        values: NDArray[np.floating],
        truth: pa.Array | None,
        numbers: NDArray[np.int64],
        batch: pa.RecordBatch,
    ) -> None:
        """See `engine.tasks.base.Evaluation`."""
        error, whole = (values[:, -FIGURES + i].astype(np.float64) for i in range(FIGURES))
        self._worst.update(error, numbers, batch, lambda row: {ERROR: float(error[row])})
        shown = values[:, : min(2, values.shape[1] - FIGURES)].astype(np.float64)
        axes = {f"axis {i}": shown[:, i] for i in range(shown.shape[1])}
        self._figures.add(batch, error=error, whole=whole, **axes)

    def report(self) -> JSON:
        """Return the parts of an evaluation. There was at least one row."""
        rows = self._figures.rows()
        error, whole = rows.column("error").to_numpy(), rows.column("whole").to_numpy()
        weighted = Resamples(len(error), intervals.RESAMPLES, self._rng)
        found, between = {}, {}
        found[ERROR], between[ERROR] = mean_of(error, weighted)
        found["explained_variance"], between["explained_variance"] = explained(error, whole, weighted)
        _, gain = mean_of(whole - error, weighted)
        trivial = float(whole.mean())
        beats = gain is not None and gain[0] > 0
        text = (
            f"What is made again of the embedding {'is nearer to' if beats else 'is no nearer to'} the rows "
            f"than the training rows' mean: its error is {between_text(found[ERROR], between[ERROR])}, the "
            f"mean's {trivial:.3g}."
        )
        return {
            "metrics": found,
            "intervals": told(between, weighted),
            "baseline": {"predicts": "the mean row", "metrics": {ERROR: trivial, "explained_variance": 0.0}},
            "verdict": {"beats_baseline": beats, "text": text},
            **self._points(rows),
            "worst": self._worst.as_json(),
            "slices": self._figures.slices(ERROR, error, self._rng),
            **self._figures.sampled(),
        }

    def _points(self, rows: pa.RecordBatch) -> JSON:
        if "axis 1" not in rows.schema.names:
            return {}
        pairs = np.column_stack([rows.column("axis 0").to_numpy(), rows.column("axis 1").to_numpy()])
        if len(pairs) > MAX_POINTS:
            pairs = pairs[np.sort(self._rng.choice(len(pairs), MAX_POINTS, replace=False))]
        return {"embedding": {"points": pairs.tolist()}}
