"""Evaluation of a regression."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from sklearn import metrics

from headrace_workers.engine.data.encoders import to_floats
from headrace_workers.engine.data.target import NumberTarget

JSON = dict[str, Any]
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


def report(target: NumberTarget, truth: pa.Array, predicted: NDArray[np.float64]) -> JSON:
    """Return the parts of an evaluation for true and ``predicted`` values, in their own units."""
    actual = to_floats(truth)
    residuals = actual - predicted
    quantiles = np.quantile(residuals, QUANTILES).tolist()
    return {
        "metrics": _metrics(actual, predicted),
        "baseline": {
            "predicts": target.mean,
            "metrics": _metrics(actual, np.full_like(actual, target.mean)),
        },
        "residuals": {
            "mean": float(residuals.mean()),
            "quantiles": {str(q): value for q, value in zip(QUANTILES, quantiles, strict=True)},
        },
    }


def _metrics(actual: NDArray[np.float64], predicted: NDArray[np.float64]) -> dict[str, float]:
    found = {
        "mae": metrics.mean_absolute_error(actual, predicted),
        "rmse": metrics.root_mean_squared_error(actual, predicted),
        "median_absolute_error": metrics.median_absolute_error(actual, predicted),
    }
    # One value has no variance to explain.
    if len(actual) > 1:
        found["r2"] = metrics.r2_score(actual, predicted)
    return {name: float(value) for name, value in found.items()}
