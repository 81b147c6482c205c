"""The rows that are explained: drawn, encoded once, and kept in bounded memory."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from headrace.errors import BadData
from headrace.specs.jobs import ExplainSpec, Split
from headrace_workers.engine.algorithms.base import Arrays
from headrace_workers.engine.data.reader import Reader
from headrace_workers.engine.explanation import scoring
from headrace_workers.engine.package import Package

MAX_BYTES = 256 * 1024**2
"""Encoded rows that are kept at most; where they are larger there are fewer of them."""


@dataclass(frozen=True)
class Drawn:
    """Rows as a learner takes them.

    ``numbers``: those of the rows in their dataset, from 0, rising. ``truth``: their targets as `scoring`
    takes them, None where they are not needed or not known. ``raw``: the columns that were asked for, as they
    are in the dataset. ``of``: how many rows they were drawn from; ``bad``: how many of them could not be
    predicted.
    """

    inputs: Arrays
    numbers: NDArray[np.int64]
    truth: NDArray[Any] | None
    raw: pa.RecordBatch
    of: int
    bad: int

    def __len__(self) -> int:
        return len(self.numbers)


def draw(
    reader: Reader,
    package: Package,
    spec: ExplainSpec,
    raw: Sequence[str],
    *,
    with_truth: bool,
    progress: Callable[[float], None],
) -> Drawn:
    """Return ``spec.rows`` rows at most, of which the model can predict something, in their order.

    With truth: only rows whose target the model knows, where it has learned one. Raises `BadData` where there
    is no such row.
    """
    columns = package.predictor.preprocessing
    labels = scoring.labels(package.predictor, reader.schema) if with_truth else None
    eligible = _eligible(reader, package, spec, labels)
    if not len(eligible):
        raise BadData("There is no row to explain: none has a value of the target that the model knows.")
    assert spec.rows is not None, "the number of rows is resolved when the job is submitted"
    row_bytes = sum(math.prod(s.shape) * np.dtype(s.dtype).itemsize for s in columns.inputs.values())
    most = max(min(spec.rows, MAX_BYTES // max(row_bytes, 1)), 1)
    chosen = eligible
    if len(eligible) > most:
        rng = np.random.default_rng([spec.seed, 0])
        chosen = np.sort(rng.choice(eligible, most, replace=False))
    inputs: list[Arrays] = []
    numbers, truth, kept = [], [], []
    names = [*columns.columns, *([labels] if labels else []), *raw]
    for start, batch in reader.batches(names, columns.batch_rows):
        wanted = chosen[np.searchsorted(chosen, start) : np.searchsorted(chosen, start + batch.num_rows)]
        progress((start + batch.num_rows) / reader.rows)
        if not len(wanted):
            continue
        some = batch.take(pa.array(wanted - start))
        encoded = columns.encode(some)
        good = np.setdiff1d(np.arange(len(wanted)), list(encoded.problems))
        inputs.append({name: values[good] for name, values in encoded.inputs.items()})
        numbers.append(wanted[good])
        kept.append(some.select(list(raw)).take(pa.array(good)))
        if labels:
            truth.append(scoring.truth(package.predictor, some, labels)[good])
    found = np.concatenate(numbers)
    if not len(found):
        raise BadData("There is no row to explain: none of those that were drawn can be predicted.")
    known = np.concatenate(truth) if labels else None
    if known is not None and not package.predictor.task.learns_target:
        known = scoring.codes(known)
    return Drawn(
        inputs={name: np.concatenate([part[name] for part in inputs]) for name in inputs[0]},
        numbers=found,
        truth=known,
        raw=pa.concat_batches(kept),
        of=len(eligible),
        bad=len(chosen) - len(found),
    )


def _eligible(reader: Reader, package: Package, spec: ExplainSpec, labels: str | None) -> NDArray[np.int64]:
    """Return the numbers of the rows that may be explained; of a target that is learned, ``labels``, those
    that have one.
    """
    columns, target, task = package.predictor.preprocessing, package.predictor.target, package.predictor.task
    eligible = np.ones(reader.rows, np.bool_)
    if spec.part == "test":
        rule = Split.model_validate(package.manifest.lineage["split"])
        eligible = task.tested(reader, rule, columns, target)
    if labels is not None and task.learns_target:
        task.check(target, reader.schema)
        for start, batch in reader.batches([labels]):
            known = task.usable(target, batch.column(0)) & batch.column(0).is_valid().to_numpy(
                zero_copy_only=False
            )
            known &= task.encode_target(target, batch)[1]
            eligible[start : start + batch.num_rows] &= known
    return np.flatnonzero(eligible)
