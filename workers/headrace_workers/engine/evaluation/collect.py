"""From streamed predictions to an evaluation."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headrace_workers.engine.data.target import ClassTarget
from headrace_workers.engine.evaluation import classification, regression
from headrace_workers.engine.predictor import Predictor

JSON = dict[str, Any]


def evaluate(predictor: Predictor, batches: Iterable[pa.RecordBatch]) -> JSON:
    """Return the evaluation of ``predictor`` on ``batches``, which hold its features and its target.

    Rows whose target is missing are left out; rows that cannot be predicted are counted as ``bad_rows``.
    """
    target = predictor.target
    outputs: list[Any] = []
    truths: list[Any] = []
    bad = 0
    for batch in batches:
        found = predictor.outputs(batch)
        truth = batch.column(target.column)
        usable = truth.is_valid().to_numpy(zero_copy_only=False)
        if not isinstance(target, ClassTarget):
            usable = usable & pc.fill_null(pc.is_finite(truth), False).to_numpy(zero_copy_only=False)
        unpredicted = found.bad()
        bad += int((unpredicted & usable).sum())
        usable = usable & ~unpredicted
        outputs.append(found.values[usable])
        truths.append(truth.filter(pa.array(usable)))
    rows = sum(len(truth) for truth in truths)
    if not rows:
        return empty(predictor, bad)
    head: JSON = {"task": target.task, "rows": rows, "bad_rows": bad}
    values = np.concatenate(outputs)
    truth = pa.concat_arrays(truths)
    if isinstance(target, ClassTarget):
        return head | classification.report(target, truth, values)
    return head | regression.report(target, truth, values)


def empty(predictor: Predictor, bad: int = 0) -> JSON:
    """Return the evaluation on no row."""
    return {
        "task": predictor.target.task,
        "rows": 0,
        "bad_rows": bad,
        "metrics": {},
        "note": "There are no test rows, so nothing is known of how good the model is.",
    }
