"""The best items for users, by the product of their vectors, a block of users and of items at a time."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from headrace_workers.engine.algorithms.base import Arrays
from headrace_workers.engine.data.seen import Seen
from headrace_workers.engine.training.forward import BLOCK_ROWS

USERS, ITEMS = BLOCK_ROWS, 8192
"""Users and items of one block. Users are filled up to a whole block: a list does not depend on
whose others are made beside it."""

NONE = -1
"""Stands for an item where there are fewer than were asked for."""


class Ranking:
    """``users`` and ``items`` are models from inputs to a vector and a bias; ``catalogue`` are the inputs of
    all items. What they have learned is read once."""

    def __init__(self, users: Any, items: Any, catalogue: Arrays) -> None:
        self._users = users
        vectors, biases = [], []
        count = len(next(iter(catalogue.values())))
        for start in range(0, count, ITEMS):
            vector, bias = items({name: values[start : start + ITEMS] for name, values in catalogue.items()})
            vectors.append(vector)
            biases.append(bias[:, 0])
        self._blocks = list(zip(vectors, biases, strict=True))
        self._function = _trace()

    def top(self, inputs: Arrays, k: int, seen: Seen) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """Return the ``k`` best items of each user that it has not seen, and their scores, shape (n, k).

        The best first, of equal ones that with the lower number; `NONE` and -inf where there are no more.
        """
        count = len(inputs["user"])
        items = np.empty((count, k), np.int32)
        scores = np.empty((count, k), np.float32)
        for start in range(0, count, USERS):
            block = {name: values[start : start + USERS] for name, values in inputs.items()}
            rows = len(block["user"])
            found = self._block(block, k, seen)
            items[start : start + rows], scores[start : start + rows] = (values[:rows] for values in found)
        return np.where(np.isfinite(scores), items, NONE), scores

    def _block(self, inputs: Arrays, k: int, seen: Seen) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        missing = USERS - len(inputs["user"])
        whole = {
            name: np.pad(values, [(0, missing), *[(0, 0)] * (values.ndim - 1)])
            for name, values in inputs.items()
        }
        vectors, biases = self._users(whole)
        places, met = seen.of(inputs["user"])
        best = np.full((USERS, k), -np.inf, np.float32), np.full((USERS, k), NONE, np.int32)
        start = 0
        for of_items, bias in self._blocks:
            within = (met >= start) & (met < start + len(bias))
            known = np.stack([places[within], met[within] - start], axis=1).astype(np.int32)
            best = self._function(vectors, biases, of_items, bias, known, np.int32(start), *best)
            start += len(bias)
        scores, items = best
        return np.asarray(items), np.asarray(scores)


def _trace() -> Any:
    import tensorflow as tf

    def run(
        users: Any, of_users: Any, items: Any, of_items: Any, seen: Any, start: Any, best: Any, who: Any
    ) -> Any:
        scores = tf.matmul(users, items, transpose_b=True) + of_users + of_items
        never = tf.fill([tf.shape(seen)[0]], tf.constant(float("-inf")))
        scores = tf.tensor_scatter_nd_update(scores, seen, never)
        # What comes first wins among equals: the items of the blocks before have lower numbers.
        together = tf.concat([best, scores], axis=1)
        numbers = tf.range(start, start + tf.shape(items)[0])
        everyone = tf.concat([who, tf.tile(numbers[None], [USERS, 1])], axis=1)
        values, places = tf.math.top_k(together, tf.shape(best)[1])
        return values, tf.gather(everyone, places, batch_dims=1)

    numbers = [tf.float32] * 4
    shapes: list[list[int | None]] = [[USERS, None], [USERS, 1], [None, None], [None]]
    signature = [tf.TensorSpec(shape, kind) for shape, kind in zip(shapes, numbers, strict=True)]
    signature += [tf.TensorSpec([None, 2], tf.int32), tf.TensorSpec([], tf.int32)]
    signature += [tf.TensorSpec([USERS, None], tf.float32), tf.TensorSpec([USERS, None], tf.int32)]
    return tf.function(run, input_signature=signature, autograph=False)
