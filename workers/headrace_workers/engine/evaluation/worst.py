"""The rows that a model is most wrong about, with what they hold."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from headrace_workers.engine.data.sample_rows import json_cell

JSON = dict[str, Any]

MAX_ROWS = 20
MAX_COLUMNS = 30
MAX_CHARS = 200
MAX_NUMBERS = 20


class Worst:
    """The rows of a stream that cost most, at most `MAX_ROWS`; of equal ones the first."""

    def __init__(self) -> None:
        self._found: list[tuple[float, int, JSON, pa.RecordBatch]] = []

    def update(
        self,
        cost: NDArray[np.floating],
        numbers: NDArray[np.int64],
        batch: pa.RecordBatch,
        describe: Callable[[int], JSON],
    ) -> None:
        """Take the next rows: only those whose ``cost`` is above 0 are wrong.

        ``numbers`` are those of the rows in their dataset, from 0; ``describe`` returns what was predicted
        of a row of ``batch``.
        """
        least = self._found[-1][0] if len(self._found) == MAX_ROWS else 0.0
        for row in np.argsort(-cost, kind="stable")[:MAX_ROWS]:
            if cost[row] <= least:
                break
            # Taken, not sliced: a slice would keep the whole batch in memory.
            values = batch.take(pa.array([row]))
            self._found.append((float(cost[row]), int(numbers[row]), describe(int(row)), values))
        self._found = sorted(self._found, key=lambda entry: (-entry[0], entry[1]))[:MAX_ROWS]

    def as_json(self) -> list[JSON]:
        """Return the rows, the worst first, each with its number in the dataset, counted from 1."""
        return [
            {"row": number + 1, **described, "values": shortened(values)}
            for _, number, described, values in self._found
        ]


def shortened(row: pa.RecordBatch) -> JSON:
    """Return the values of one row as JSON for people, what is long cut short, images as thumbnails."""
    return {name: _cell(row.column(i)[0].as_py()) for i, name in enumerate(row.schema.names[:MAX_COLUMNS])}


def _cell(value: Any) -> Any:
    if isinstance(value, list):
        return value if len(value) <= MAX_NUMBERS else [*value[:MAX_NUMBERS], "…"]
    shown = json_cell(value)
    if isinstance(shown, str) and len(shown) > MAX_CHARS:
        return shown[:MAX_CHARS] + "…"
    return shown
