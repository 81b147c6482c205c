"""The optimizer's steps, many of them in one call of a graph."""

from __future__ import annotations

import time
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from headrace_workers.engine.algorithms.base import Problem
from headrace_workers.engine.algorithms.params import Augmentation
from headrace_workers.engine.data.preprocessing import IMAGE, SPECTROGRAM
from headrace_workers.engine.training import augmentation as augmenting
from headrace_workers.engine.training import determinism
from headrace_workers.engine.training import negatives as sampling
from headrace_workers.engine.training.augmentation import DRAWS, augment
from headrace_workers.engine.training.negatives import Negatives
from headrace_workers.engine.training.objective import Objective
from headrace_workers.engine.training.rows import BLOCK_BYTES, Rows

FIRST_CALL_STEPS = 8
CALL_S = 0.4
"""Calls grow until they take so long: long enough to cost nothing, short enough to show progress."""


_DRAWS = "draws"


class Epoch(NamedTuple):
    """Pass ``number`` over the rows: their order; what each is changed by, shape (rows, `DRAWS`), or None."""

    number: int
    order: NDArray[np.integer[Any]]
    draws: NDArray[np.float32] | None

    @classmethod
    def make(cls, seed: int, number: int, rows: int, augmented: bool) -> Epoch:
        """Return epoch ``number`` (from 0): a function of the arguments alone."""
        drawn = augmenting.draws(seed, number, rows) if augmented else None
        return cls(number, determinism.epoch_order(seed, number, rows), drawn)


class Steps:
    """Trains a model by mini-batches; how steps are divided into calls does not change a bit.

    ``weights`` are the variables that learn. ``augmentation`` is done to images or spectrograms;
    ``negatives`` are another input.
    """

    def __init__(
        self,
        model: Any,
        weights: list[Any],
        optimizer: Any,
        objective: Objective,
        problem: Problem,
        augmentation: Augmentation | None = None,
        negatives: Negatives | None = None,
    ) -> None:
        self._run = _trace(model, weights, optimizer, objective, problem, augmentation, negatives)
        self._negatives = negatives
        self._steps = FIRST_CALL_STEPS

    def call(
        self,
        rows: Rows,
        epoch: Epoch,
        done: int,
        batch_size: int,
        sums: tuple[float, float],
    ) -> tuple[int, tuple[float, float]]:
        """Train on some of ``rows``, behind the first ``done`` of ``epoch``; return how many are done then.

        ``sums`` of loss and metric over the rows done are returned with those of this call added. The last
        batch of an epoch is smaller where ``batch_size`` does not divide the rows.
        """
        limit = max(BLOCK_BYTES // (rows.row_bytes * batch_size), 1)
        steps = min(self._steps, limit)
        chosen = epoch.order[done : done + steps * batch_size].astype(np.int64)
        started = time.monotonic()
        inputs, targets = rows.take(chosen)
        if epoch.draws is not None:
            inputs[_DRAWS] = epoch.draws[chosen]
        if self._negatives is not None:
            inputs[sampling.INPUT] = self._negatives.draw(epoch.number, chosen)
        loss, metric = self._run(inputs, targets, np.int32(batch_size), *map(np.float64, sums))
        summed = float(loss), float(metric)
        if time.monotonic() - started < CALL_S / 2 and steps == self._steps:
            self._steps *= 2
        return done + len(chosen), summed


def _trace(
    model: Any,
    weights: list[Any],
    optimizer: Any,
    objective: Objective,
    problem: Problem,
    augmentation: Augmentation | None,
    negatives: Negatives | None,
) -> Any:
    import tensorflow as tf

    inputs_signature = {
        name: tf.TensorSpec([None, *spec.shape], spec.dtype, name) for name, spec in problem.inputs.items()
    }
    pictures = IMAGE if IMAGE in problem.inputs else SPECTROGRAM
    if augmentation is not None:
        inputs_signature[_DRAWS] = tf.TensorSpec([None, DRAWS], tf.float32, _DRAWS)
    if negatives is not None:
        inputs_signature[sampling.INPUT] = tf.TensorSpec([None, negatives.count], tf.int32, sampling.INPUT)
    target = tf.int32 if problem.task == "classification" else tf.float32

    def run(
        inputs: dict[str, Any], targets: Any, batch_size: Any, loss_sum: Any, metric_sum: Any
    ) -> tuple[Any, Any]:
        steps = (tf.shape(targets)[0] + batch_size - 1) // batch_size

        def step(i: Any, loss_sum: Any, metric_sum: Any) -> tuple[Any, Any, Any]:
            part = slice(i * batch_size, (i + 1) * batch_size)
            wanted = targets[part]
            batch = {name: values[part] for name, values in inputs.items()}
            if augmentation is not None:
                batch[pictures] = augment(batch[pictures], batch.pop(_DRAWS), augmentation)
            with tf.GradientTape() as tape:
                outputs = model(batch, training=True)
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
    signature = [inputs_signature, tf.TensorSpec([None, *problem.target_shape], target), *scalars]
    return tf.function(run, input_signature=signature, autograph=False)
