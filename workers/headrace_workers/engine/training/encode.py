"""One part of a dataset, encoded once, for training to read again and again."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from headrace_workers.engine.data.preprocessing import Preprocessing
from headrace_workers.engine.data.target import ClassTarget, NumberTarget
from headrace_workers.engine.training.rows import Rows


@dataclass(frozen=True)
class EncodedPart:
    """``bad`` rows could not be encoded; ``problem`` is the reason of the first of them."""

    rows: Rows
    bad: int = 0
    problem: str | None = None


def encode(
    batches: Iterable[pa.RecordBatch],
    count: int,
    columns: Preprocessing,
    target: ClassTarget | NumberTarget,
    file: Path,
) -> EncodedPart:
    """Return the rows of ``batches``, ``count`` at most, without the bad ones and those of unknown classes.

    ``file`` is where they go when they do not fit in memory.
    """
    rows = Rows.allocate(count, columns.inputs, target.dtype, file)
    bad, problem = 0, None
    for batch in batches:
        encoded = columns.encode(batch)
        targets = target.encode(batch.column(target.column))
        keep = target.known(targets)
        if encoded.problems:
            bad += len(encoded.problems)
            problem = problem or next(iter(encoded.problems.values()))
            keep[list(encoded.problems)] = False
        if keep.all():
            rows.append(encoded.inputs, targets)
        else:
            kept = np.flatnonzero(keep)
            rows.append({name: values[kept] for name, values in encoded.inputs.items()}, targets[kept])
    return EncodedPart(rows, bad, problem)
