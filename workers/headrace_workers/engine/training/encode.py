"""One part of a dataset, encoded once, for training to read again and again."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from headrace_workers.engine.data.preprocessing import Preprocessing
from headrace_workers.engine.training.rows import Rows

EncodeTargets = Callable[[pa.RecordBatch], tuple[NDArray[Any], NDArray[np.bool_]]]
"""Gives the encoded targets of rows, and which of these can be learned from."""


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
    encode_targets: EncodeTargets,
    target: tuple[str, tuple[int, ...]],
    file: Path,
) -> EncodedPart:
    """Return the rows of ``batches``, ``count`` at most, without the bad ones and those of unknown targets.

    ``target`` is the dtype and the shape of one encoded target. ``file`` is where rows go that do not fit in
    memory.
    """
    rows = Rows.allocate(count, columns.inputs, target[0], file, target_shape=target[1])
    bad, problem = 0, None
    for batch in batches:
        encoded = columns.encode(batch)
        targets, keep = encode_targets(batch)
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
