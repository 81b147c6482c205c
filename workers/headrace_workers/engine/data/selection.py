"""Some rows of a file, as an evaluation goes through them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from headrace_workers.engine.data.reader import BATCH_ROWS, Reader

Numbered = tuple[NDArray[np.int64], pa.RecordBatch]
"""Rows, and the number of each in its dataset, from 0."""


def _ignore(fraction: float) -> None:
    pass


@dataclass(frozen=True)
class Selection:
    """The rows of ``reader`` at which ``wanted``, shape (rows,), is true; all of them where it is None.

    ``told`` hears which fraction of the file has been read.
    """

    reader: Reader
    wanted: NDArray[np.bool_] | None = None
    told: Callable[[float], None] = _ignore

    @property
    def count(self) -> int:
        """How many rows there are."""
        return self.reader.rows if self.wanted is None else int(np.count_nonzero(self.wanted))

    def batches(self, columns: Sequence[str], batch_rows: int = BATCH_ROWS) -> Iterator[Numbered]:
        """Yield ``columns`` of the rows, in their order, in batches as large as the reader's.

        What filtering leaves is put together: a network answers in blocks, a half empty one costs it as much.
        """
        numbers: NDArray[np.int64] = np.zeros(0, np.int64)
        held: list[pa.RecordBatch] = []
        size = 0
        for start, batch in self.reader.batches(columns, batch_rows):
            end = start + batch.num_rows
            size = max(size, batch.num_rows)
            chosen = np.ones(batch.num_rows, np.bool_) if self.wanted is None else self.wanted[start:end]
            if chosen.any():
                numbers = np.concatenate([numbers, start + np.flatnonzero(chosen)])
                held.append(batch if chosen.all() else batch.filter(pa.array(chosen)))
            while len(numbers) >= size:
                whole = pa.concat_batches(held)
                yield numbers[:size], whole.slice(0, size)
                numbers, held = numbers[size:], [whole.slice(size)]
            self.told(end / self.reader.rows)
        if len(numbers):
            yield numbers, pa.concat_batches(held)
