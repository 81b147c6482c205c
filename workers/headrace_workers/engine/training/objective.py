"""What a network's training makes small, and the figure beside it that people read."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headrace_workers.engine.algorithms.base import Problem
from headrace_workers.engine.algorithms.params import NetworkParams
from headrace_workers.engine.training.rows import Rows


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
    """Cross-entropy of class numbers and probabilities; beside it the fraction of rows that are right.

    ``weights``: by how much a training row of each class counts, shape (classes,); None where all do alike.
    """

    metric = "accuracy"

    def __init__(self, weights: NDArray[np.float32] | None = None) -> None:
        self._weights = weights

    def graph(self, outputs: Any, targets: Any) -> tuple[Any, Any]:
        """See `Objective.graph`."""
        import keras
        import tensorflow as tf

        # Keras finds the logits behind the softmax, so that this is stable for small probabilities.
        loss = keras.losses.sparse_categorical_crossentropy(targets, outputs)
        if self._weights is not None:
            loss *= tf.gather(tf.constant(self._weights), targets)
        hits = tf.equal(tf.argmax(outputs, -1, output_type=targets.dtype), targets)
        return tf.reduce_mean(loss), tf.reduce_sum(tf.cast(hits, tf.float32))

    def sums(self, outputs: NDArray[np.float32], targets: NDArray[Any]) -> tuple[float, float]:
        """See `Objective.sums`."""
        chosen = outputs[np.arange(len(targets)), targets].astype(np.float64)
        loss = -np.log(np.maximum(chosen, np.finfo(np.float32).tiny)).sum()
        return float(loss), float((outputs.argmax(axis=1) == targets).sum())


class ErrorOfValues(Objective):
    """A function of the standardised target's errors; beside it the absolute error in the target's units.

    ``kind``: ``mse``, ``mae`` or ``huber`` (squared up to one standard deviation, absolute beyond: Huber
    1964, Robust estimation of a location parameter).
    """

    metric = "mae"

    def __init__(self, kind: str, scale: float) -> None:
        self._kind = kind
        self._scale = scale

    def graph(self, outputs: Any, targets: Any) -> tuple[Any, Any]:
        """See `Objective.graph`."""
        import tensorflow as tf

        error = outputs[:, 0] - targets
        size = tf.abs(error)
        if self._kind == "mae":
            loss = size
        elif self._kind == "mse":
            loss = tf.square(error)
        else:
            loss = tf.where(size <= 1, 0.5 * tf.square(error), size - 0.5)
        return tf.reduce_mean(loss), tf.reduce_sum(size) * self._scale

    def sums(self, outputs: NDArray[np.float32], targets: NDArray[Any]) -> tuple[float, float]:
        """See `Objective.sums`."""
        size = np.abs(outputs.astype(np.float64) - targets)
        losses = {
            "mae": lambda: size,
            "mse": lambda: np.square(size),
            "huber": lambda: np.where(size <= 1, 0.5 * np.square(size), size - 0.5),
        }
        return float(losses[self._kind]().sum()), float(size.sum()) * self._scale


class SampledSoftmax(Objective):
    """Cross-entropy of the first of some scores among all of them; beside it the fraction of the others
    that are lower, which is the area under the ROC curve."""

    metric = "auc"

    def graph(self, outputs: Any, targets: Any) -> tuple[Any, Any]:
        """See `Objective.graph`."""
        import tensorflow as tf

        loss = tf.reduce_logsumexp(outputs, axis=1) - outputs[:, 0]
        lower = tf.reduce_mean(tf.cast(outputs[:, 1:] < outputs[:, :1], tf.float32), axis=1)
        return tf.reduce_mean(loss), tf.reduce_sum(lower)

    def sums(self, outputs: NDArray[np.float32], targets: NDArray[Any]) -> tuple[float, float]:
        """See `Objective.sums`."""
        scores = outputs.astype(np.float64)
        loss = np.logaddexp.reduce(scores, axis=1) - scores[:, 0]
        lower = (scores[:, 1:] < scores[:, :1]).mean(axis=1)
        return float(loss.sum()), float(lower.sum())


def objective(params: NetworkParams, problem: Problem, training: Rows) -> Objective:
    """Return what ``params`` ask for; balanced weights are those of the classes in ``training``."""
    if problem.task != "classification":
        return ErrorOfValues(params.loss or "mse", problem.scale)
    if params.class_weight is None:
        return CrossEntropy()
    counts = np.bincount(training.targets(), minlength=problem.outputs)
    return CrossEntropy((training.count / (problem.outputs * np.maximum(counts, 1))).astype(np.float32))
