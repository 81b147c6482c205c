"""Items that stand for all that a user did not choose, drawn anew for each row in each epoch.

What a row gets is a function of the seed, the epoch and the row's number alone, so that neither the order of
rows, nor how they are divided into batches and calls, nor where an attempt was cut changes a bit of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headrace_workers.engine.data.hashing import mix
from headrace_workers.engine.training.determinism import NEGATIVES

INPUT = "negatives"
"""The name of the input that they come by."""

VALIDATION = 2**32
"""Stands for an epoch: validation rows have the same negatives after every one."""


@dataclass(frozen=True)
class Negatives:
    """Draws ``count`` of ``items`` items for each row, uniformly."""

    seed: int
    items: int
    count: int

    def draw(self, epoch: int, rows: NDArray[np.int64]) -> NDArray[np.int32]:
        """Return the numbers of the items that ``rows`` get in ``epoch``, shape (n, count)."""
        stream = np.zeros(1, np.uint64)
        for part in (self.seed, NEGATIVES, epoch):
            stream = mix(stream ^ np.uint64(part))
        first = rows[:, None] * self.count
        places = (first + np.arange(self.count)).astype(np.uint64)
        # The remainder favours the first items by less than one in 2^32.
        drawn = mix(mix(places) ^ stream) % np.uint64(self.items)
        found: NDArray[np.int32] = drawn.astype(np.int32)
        return found


def all_items(count: int) -> Any:
    """Return a Keras layer that gives the numbers from 0 to below ``count``, whatever it is called with.

    A constant would be none of the model's tensors: what layers make of it would never change.
    """
    from keras import Layer, ops

    class AllItems(Layer):  # type: ignore[misc]
        def call(self, inputs: Any) -> Any:
            return ops.arange(count, dtype="int32")

    return AllItems(name="all_items")
