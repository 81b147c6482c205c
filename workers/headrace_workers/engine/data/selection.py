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
        """Yield ``columns`` of the rows, in their order."""
        for start, batch in self.reader.batches(columns, batch_rows):
            end = start + batch.num_rows
            chosen = np.ones(batch.num_rows, np.bool_) if self.wanted is None else self.wanted[start:end]
            if chosen.any():
                yield (
                    start + np.flatnonzero(chosen),
                    batch if chosen.all() else batch.filter(pa.array(chosen)),
                )
            self.told(end / self.reader.rows)
