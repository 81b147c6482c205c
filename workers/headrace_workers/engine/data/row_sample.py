"""A uniform sample of the rows of a stream, without replacement, in bounded memory."""

from __future__ import annotations

import math

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray


class RowSample:
    """At most ``size`` rows: each gets a random key, and those with the smallest keys stay.

    The same rows come out however the stream is cut into batches. Twice the sample is held before it is cut
    back, since each cut costs something for every column. Without a cut, rows keep their order.
    """

    def __init__(self, size: int, seed: int = 0) -> None:
        self._size = size
        self._random = np.random.default_rng(seed)
        self._keys: list[NDArray[np.float64]] = []
        self._rows: list[pa.RecordBatch] = []
        self._held = 0
        self._limit = math.inf

    def update(self, batch: pa.RecordBatch) -> None:
        """Take the next rows; every batch has the same columns."""
        keys = self._random.random(len(batch))
        if self._limit < math.inf:
            chosen = np.flatnonzero(keys < self._limit)
            if not len(chosen):
                return
            batch, keys = batch.take(pa.array(chosen)), keys[chosen]
        self._rows.append(batch)
        self._keys.append(keys)
        self._held += len(keys)
        if self._held > 2 * self._size:
            self._cut()

    def rows(self) -> pa.RecordBatch | None:
        """Return the sample, None where there was no batch."""
        if not self._rows:
            return None
        self._cut()
        return self._rows[0]

    def _cut(self) -> None:
        rows, keys = pa.concat_batches(self._rows), np.concatenate(self._keys)
        if len(keys) > self._size:
            kept = np.sort(np.argpartition(keys, self._size - 1)[: self._size])
            rows, keys = rows.take(pa.array(kept)), keys[kept]
            self._limit = float(keys.max())
        self._rows, self._keys, self._held = [rows], [keys], len(keys)
