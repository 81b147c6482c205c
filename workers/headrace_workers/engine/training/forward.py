"""Predictions of a Keras model, row by row the same whatever rows are beside them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from headrace_workers.engine.algorithms.base import Arrays, Problem

BLOCK_ROWS = 144
"""Rows of one call. Matrix kernels differ in their last bits between sizes, so there is only this one.

oneDNN's take rows by 6 (AVX2) or 48 (AVX-512) and what is left by other code, in whose place a row would
have other last bits: this is a multiple of both.
"""


class Forward:
    """The model as a function of arrays. Traced at its first call; later weights are seen."""

    def __init__(self, model: Any, problem: Problem) -> None:
        self._model = model
        self._problem = problem
        self._function: Any = None

    def __call__(self, inputs: Arrays) -> NDArray[np.float32]:
        """Return what the model gives of each row as float32; of a value for each of them, shape (n,)."""
        if self._function is None:
            self._function = self._trace()
        count = len(next(iter(inputs.values())))
        out = np.empty((count, *self._model.output_shape[1:]), np.float32)
        for start in range(0, count, BLOCK_ROWS):
            block = {name: values[start : start + BLOCK_ROWS] for name, values in inputs.items()}
            rows = min(BLOCK_ROWS, count - start)
            if rows < BLOCK_ROWS:
                block = {name: _padded(values) for name, values in block.items()}
            out[start : start + rows] = self._function(block).numpy()[:rows]
        single = self._problem.task in ("regression", "recommendation") and out.shape[1] == 1
        return out[:, 0] if single else out

    def _trace(self) -> Any:
        import tensorflow as tf

        signature = {
            name: tf.TensorSpec([BLOCK_ROWS, *spec.shape], spec.dtype, name)
            for name, spec in self._problem.inputs.items()
        }
        model = self._model
        return tf.function(
            lambda inputs: model(inputs, training=False), input_signature=[signature], autograph=False
        )


def _padded(values: NDArray[Any]) -> NDArray[Any]:
    block = np.zeros((BLOCK_ROWS, *values.shape[1:]), values.dtype)
    block[: len(values)] = values
    return block
