"""From streamed predictions to an evaluation."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from headrace_workers.engine.data.row_sample import RowSample
from headrace_workers.engine.data.target import ClassTarget
from headrace_workers.engine.evaluation import fit_curve
from headrace_workers.engine.evaluation.classification import Classification
from headrace_workers.engine.evaluation.regression import Regression
from headrace_workers.engine.predictor import Predictor

JSON = dict[str, Any]
Numbered = tuple[NDArray[np.int64], pa.RecordBatch]
"""Rows, and the number of each in its dataset, from 0."""


def evaluate(
    predictor: Predictor, batches: Iterable[Numbered], *, slices: Sequence[str] = (), seed: int = 0
) -> JSON:
    """Return the evaluation of ``predictor`` on ``batches``: its features, its target, the ``slices``.

    Rows whose target is missing are left out; rows that cannot be predicted are counted as ``bad_rows``.
    """
    target = predictor.target
    kept: Classification | Regression
    if isinstance(target, ClassTarget):
        kept = Classification(target, slices, seed)
    else:
        kept = Regression(target, slices, seed)
    drawn = None
    if not isinstance(target, ClassTarget) and fit_curve.applies(predictor):
        drawn = RowSample(fit_curve.MAX_ROWS, seed)
    features = predictor.preprocessing.columns
    rows = bad = 0
    for numbers, batch in batches:
        found = predictor.outputs(batch)
        truth = batch.column(target.column)
        usable = truth.is_valid().to_numpy(zero_copy_only=False)
        if not isinstance(target, ClassTarget):
            usable = usable & pc.fill_null(pc.is_finite(truth), False).to_numpy(zero_copy_only=False)
        unpredicted = found.bad()
        bad += int((unpredicted & usable).sum())
        usable = usable & ~unpredicted
        if not usable.any():
            continue
        rows += int(usable.sum())
        values = found.values
        if not usable.all():
            values, numbers, batch = values[usable], numbers[usable], batch.filter(pa.array(usable))
        kept.add(values, batch.column(target.column), numbers, batch.select(_distinct(features, slices)))
        if drawn is not None:
            drawn.update(batch.select(_distinct(features, [target.column])))
    if not rows:
        return empty(predictor, bad)
    report: JSON = {"task": target.task, "rows": rows, "bad_rows": bad}
    with np.errstate(over="ignore", invalid="ignore"):
        report |= kept.report()
        drawable = drawn and drawn.rows()
        if drawable and (fit := fit_curve.draw(predictor, drawable)):
            report["fit"] = fit
    return {name: _finite(part) for name, part in report.items()}


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


def _distinct(names: Sequence[str], more: Sequence[str]) -> list[str]:
    return list(dict.fromkeys([*names, *more]))


def _finite(value: Any) -> Any:
    """Return ``value`` without entries that are no finite number; in lists they are None."""
    if isinstance(value, dict):
        return {name: _finite(item) for name, item in value.items() if not _is_infinite(item)}
    if isinstance(value, list):
        return [None if _is_infinite(item) else _finite(item) for item in value]
    return value


def _is_infinite(value: Any) -> bool:
    return isinstance(value, float) and not math.isfinite(value)
