"""From streamed predictions to an evaluation."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from headrace_workers.engine.data.selection import Selection
from headrace_workers.engine.predictor import Predictor

JSON = dict[str, Any]


def evaluate(
    predictor: Predictor, selection: Selection, *, slices: Sequence[str] = (), seed: int = 0
) -> JSON:
    """Return the evaluation of ``predictor`` on the rows of ``selection``, by the task's accumulator.

    Rows whose target is missing are left out; rows that cannot be predicted are counted as ``bad_rows``.
    """
    task, target = predictor.task, predictor.target
    kept = task.evaluation(predictor, slices, seed)
    features = predictor.preprocessing.columns
    known = selection.reader.schema.names
    truths = [target.column] if target.column in known else []
    rows = bad = 0
    names = [*features, *truths, *slices]
    for numbers, batch in selection.batches(names, predictor.preprocessing.batch_rows):
        found = predictor.outputs(batch)
        usable = np.ones(batch.num_rows, np.bool_)
        if truths:
            usable = task.usable(target, batch.column(target.column))
        unpredicted = found.bad()
        bad += int((unpredicted & usable).sum())
        usable = usable & ~unpredicted
        if not usable.any():
            continue
        rows += int(usable.sum())
        values = found.values
        if not usable.all():
            values, numbers, batch = values[usable], numbers[usable], batch.filter(pa.array(usable))
        truth = batch.column(target.column) if truths else None
        kept.add(values, truth, numbers, batch.select(list(dict.fromkeys([*features, *slices]))))
    if not rows:
        return empty(predictor, bad)
    report: JSON = {"task": target.task, "rows": rows, "bad_rows": bad}
    with np.errstate(over="ignore", invalid="ignore"):
        report |= kept.report()
    return {name: finite(part) for name, part in report.items()}


def empty(predictor: Predictor, bad: int = 0) -> JSON:
    """Return the evaluation on no row."""
    return {
        "task": predictor.target.task,
        "rows": 0,
        "bad_rows": bad,
        "metrics": {},
        "note": "There are no test rows, so nothing is known of how good the model is.",
    }


def write(evaluation: JSON, path: Path) -> None:
    """Write an evaluation to a file."""
    path.write_text(json.dumps(evaluation, ensure_ascii=False, allow_nan=False), encoding="utf-8")


def finite(value: Any) -> Any:
    """Return ``value`` without entries that are no finite number; in lists they are None."""
    if isinstance(value, dict):
        return {name: finite(item) for name, item in value.items() if not _is_infinite(item)}
    if isinstance(value, list):
        return [None if _is_infinite(item) else finite(item) for item in value]
    return value


def _is_infinite(value: Any) -> bool:
    return isinstance(value, float) and not math.isfinite(value)
