"""The loss of quantiles."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from headrace_workers.engine.training.objective import Objective


class Pinball(Objective):
    """The pinball loss of the lower end, the median and the upper end of each step (Koenker, Bassett 1978).

    Beside it the absolute error of the median, in units of the window. Targets, shape (n, horizon), are NaN
    where nothing is known; each row counts by the mean over its known steps. ``level``: the share of values
    that should be between the ends.
    """

    metric = "scaled_mae"

    def __init__(self, level: float) -> None:
        self._quantiles = np.array([(1 - level) / 2, 0.5, (1 + level) / 2], np.float32)

    def graph(self, outputs: Any, targets: Any) -> tuple[Any, Any]:
        """See `Objective.graph`."""
        import tensorflow as tf

        known = tf.math.is_finite(targets)
        counted = tf.cast(known, tf.float32)
        counts = tf.maximum(tf.reduce_sum(counted, 1), 1.0)
        error = tf.where(known, targets, 0.0)[:, :, None] - outputs
        pinball = tf.reduce_sum(tf.maximum(self._quantiles * error, (self._quantiles - 1) * error), 2)
        loss = tf.reduce_sum(pinball * counted, 1) / counts
        sizes = tf.reduce_sum(tf.abs(error[:, :, 1]) * counted, 1) / counts
        return tf.reduce_mean(loss), tf.reduce_sum(sizes)

    def sums(self, outputs: NDArray[np.float32], targets: NDArray[Any]) -> tuple[float, float]:
        """See `Objective.sums`."""
        known = np.isfinite(targets)
        counts = np.maximum(known.sum(axis=1), 1)
        error = np.where(known, targets, 0.0)[:, :, None] - outputs.astype(np.float64)
        pinball = np.maximum(self._quantiles * error, (self._quantiles - 1) * error).sum(axis=2)
        loss = (pinball * known).sum(axis=1) / counts
        sizes = (np.abs(error[:, :, 1]) * known).sum(axis=1) / counts
        return float(loss.sum()), float(sizes.sum())
