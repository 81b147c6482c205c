"""Some rows of a file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from headrace.specs.base import Column
from headrace_workers.engine.data.reader import Reader
from headrace_workers.engine.data.selection import Selection


@pytest.mark.parametrize("share", [0.0, 0.2, 0.9, 1.0])
def test_chosen_rows_come_in_full_batches(tmp_path: Path, share: float) -> None:
    path = tmp_path / "data.parquet"
    pq.write_table(pa.table({"x": np.arange(100)}), path, row_group_size=30)
    reader = Reader(path, [Column(name="x", type="integer", nullable=False)])
    wanted = np.random.default_rng(0).random(100) < share
    batches = list(Selection(reader, wanted).batches(["x"], 8))
    assert all(len(numbers) == len(batch) == 8 for numbers, batch in batches[:-1])
    assert all(0 < len(batch) <= 8 for _, batch in batches)
    read = [value for _, batch in batches for value in batch.column(0).to_pylist()]
    assert read == np.flatnonzero(wanted).tolist()
    assert read == [number for numbers, _ in batches for number in numbers.tolist()]
