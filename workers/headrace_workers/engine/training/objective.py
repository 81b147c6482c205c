"""What a network's training makes small, and the figure beside it that people read."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headrace_workers.engine.algorithms.base import Problem


class Objective(ABC):
    """A loss, the mean over rows, and a metric; as a graph for training and in NumPy for validation."""

    metric: str

    @abstractmethod
    def graph(self, outputs: Any, targets: Any) -> tuple[Any, Any]:
        """Return the mean loss and the sum of the metric over the rows of a batch, as tensors."""

    @abstractmethod
    def sums(self, outputs: NDArray[np.float32], targets: NDArray[Any]) -> tuple[float, float]:
        """Return the sums of loss and metric over rows."""


class CrossEntropy(Objective):
    """Cross-entropy of class numbers and probabilities; beside it the fraction of rows that are right."""

    metric = "accuracy"

    def graph(self, outputs: Any, targets: Any) -> tuple[Any, Any]:
        """See `Objective.graph`."""
        import keras
        import tensorflow as tf

        # Keras finds the logits behind the softmax, so that this is stable for small probabilities.
        loss = keras.losses.sparse_categorical_crossentropy(targets, outputs)
        hits = tf.equal(tf.argmax(outputs, -1, output_type=targets.dtype), targets)
        return tf.reduce_mean(loss), tf.reduce_sum(tf.cast(hits, tf.float32))

    def sums(self, outputs: NDArray[np.float32], targets: NDArray[Any]) -> tuple[float, float]:
        """See `Objective.sums`."""
        chosen = outputs[np.arange(len(targets)), targets].astype(np.float64)
        loss = -np.log(np.maximum(chosen, np.finfo(np.float32).tiny)).sum()
        return float(loss), float((outputs.argmax(axis=1) == targets).sum())


class SquaredError(Objective):
    """Squared error of the standardised target; beside it the absolute error in the target's units."""

    metric = "mae"

    def __init__(self, scale: float) -> None:
        self._scale = scale

    def graph(self, outputs: Any, targets: Any) -> tuple[Any, Any]:
        """See `Objective.graph`."""
        import tensorflow as tf

        error = outputs[:, 0] - targets
        return tf.reduce_mean(tf.square(error)), tf.reduce_sum(tf.abs(error)) * self._scale

    def sums(self, outputs: NDArray[np.float32], targets: NDArray[Any]) -> tuple[float, float]:
        """See `Objective.sums`."""
        error = outputs.astype(np.float64) - targets
        return float(np.square(error).sum()), float(np.abs(error).sum()) * self._scale


def objective(problem: Problem) -> Objective:
    """Return the objective of ``problem``'s task."""
    return CrossEntropy() if problem.task == "classification" else SquaredError(problem.scale)
