"""The optimizer's steps, many of them in one call of a graph."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headrace_workers.engine.algorithms.base import Problem
from headrace_workers.engine.training.objective import Objective
from headrace_workers.engine.training.rows import BLOCK_BYTES, Rows

FIRST_CALL_STEPS = 8
CALL_S = 0.15
"""Calls grow until they take so long: long enough to cost nothing, short enough to show progress."""


def make_optimizer(name: str, learning_rate: float) -> Any:
    """Return the Keras optimizer called ``name``."""
    import keras

    if name == "sgd":
        return keras.optimizers.SGD(learning_rate, momentum=0.9)
    kinds = {
        "adam": keras.optimizers.Adam,
        "adamw": keras.optimizers.AdamW,
        "rmsprop": keras.optimizers.RMSprop,
    }
    return kinds[name](learning_rate)


class Steps:
    """Trains a model by mini-batches; how steps are divided into calls does not change a bit."""

    def __init__(self, model: Any, optimizer: Any, objective: Objective, problem: Problem) -> None:
        self._run = _trace(model, optimizer, objective, problem)
        self._steps = FIRST_CALL_STEPS

    def call(
        self, rows: Rows, order: NDArray[np.int64], done: int, batch_size: int, sums: tuple[float, float]
    ) -> tuple[int, tuple[float, float]]:
        """Train on some of ``rows``, in ``order``, behind the first ``done``; return how many are done then.

        ``sums`` of loss and metric over the rows done are returned with those of this call added. The last
        batch of an epoch is smaller where ``batch_size`` does not divide the rows.
        """
        limit = max(BLOCK_BYTES // (rows.row_bytes * batch_size), 1)
        steps = min(self._steps, limit)
        chosen = order[done : done + steps * batch_size]
        started = time.monotonic()
        loss, metric = self._run(*rows.take(chosen), np.int32(batch_size), *map(np.float64, sums))
        summed = float(loss), float(metric)
        if time.monotonic() - started < CALL_S / 2 and steps == self._steps:
            self._steps *= 2
        return done + len(chosen), summed


def _trace(model: Any, optimizer: Any, objective: Objective, problem: Problem) -> Any:
    import tensorflow as tf

    inputs_signature = {
        name: tf.TensorSpec([None, *spec.shape], spec.dtype, name) for name, spec in problem.inputs.items()
    }
    target = tf.int32 if problem.task == "classification" else tf.float32
    weights = model.trainable_variables

    def run(
        inputs: dict[str, Any], targets: Any, batch_size: Any, loss_sum: Any, metric_sum: Any
    ) -> tuple[Any, Any]:
        steps = (tf.shape(targets)[0] + batch_size - 1) // batch_size

        def step(i: Any, loss_sum: Any, metric_sum: Any) -> tuple[Any, Any, Any]:
            part = slice(i * batch_size, (i + 1) * batch_size)
            wanted = targets[part]
            with tf.GradientTape() as tape:
                outputs = model({name: values[part] for name, values in inputs.items()}, training=True)
                loss, metric = objective.graph(outputs, wanted)
                total = tf.add_n([loss, *model.losses])
            optimizer.apply(tape.gradient(total, weights), weights)
            # The sums run on from call to call: added up call by call, their last bits, and with them early
            # stopping, would depend on how steps are divided into calls.
            count = tf.cast(tf.shape(wanted)[0], tf.float64)
            loss_sum += tf.cast(loss, tf.float64) * count
            return i + 1, loss_sum, metric_sum + tf.cast(metric, tf.float64)

        # One after the other: each step needs the weights of the one before.
        start = (tf.constant(0), loss_sum, metric_sum)
        _, loss_sum, metric_sum = tf.while_loop(lambda i, *_: i < steps, step, start, parallel_iterations=1)
        return loss_sum, metric_sum

    scalars = [tf.TensorSpec([], dtype) for dtype in (tf.int32, tf.float64, tf.float64)]
    signature = [inputs_signature, tf.TensorSpec([None], target), *scalars]
    return tf.function(run, input_signature=signature, autograph=False)
