"""What networks make small whose outputs are errors already."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from headrace_workers.engine.training.objective import Objective
from headrace_workers.engine.training.rows import Rows

WHITE = 255.0


class OutputError(Objective):
    """The last but one output of a row, an error; the loss has ``penalty`` times the one before it too."""

    metric = "reconstruction_error"

    def __init__(self, penalty: float = 0.0) -> None:
        self._penalty = penalty

    def graph(self, outputs: Any, targets: Any) -> tuple[Any, Any]:
        """See `Objective.graph`."""
        import tensorflow as tf

        error = outputs[:, -2]
        loss = error + self._penalty * outputs[:, -3] if self._penalty else error
        return tf.reduce_mean(loss), tf.reduce_sum(error)

    def sums(self, outputs: NDArray[np.float32], targets: NDArray[Any]) -> tuple[float, float]:
        """See `Objective.sums`."""
        error = outputs[:, -2].astype(np.float64)
        loss = error + self._penalty * outputs[:, -3] if self._penalty else error
        return float(loss.sum()), float(error.sum())


def mean_of(rows: Rows) -> NDArray[np.float32]:
    """Return the mean of all inputs of ``rows`` as one vector, pixels from 0 to 1."""
    total: Any = 0.0
    for inputs, _ in rows.blocks():
        parts = []
        for name, values in inputs.items():
            flat = values.reshape(len(values), -1).sum(axis=0, dtype=np.float64)
            parts.append(flat / WHITE if name == "image" else flat)
        total = total + np.concatenate(parts)
    found: NDArray[np.float32] = (total / rows.count).astype(np.float32)
    return found
