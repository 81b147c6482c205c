"""What is drawn of a classifier: ROC and precision-recall curves, and how far its probabilities hold."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.calibration import calibration_curve
from sklearn.metrics import precision_recall_curve, roc_curve

JSON = dict[str, Any]

MAX_POINTS = 100
MAX_CURVES = 10
"""Of more classes the most frequent have curves."""

BINS = 10


def roc(label: Any, scores: NDArray[np.floating], positive: NDArray[np.bool_]) -> JSON:
    """Return the ROC curve of one class against the rest: points (false, true positive rate)."""
    false, true, _ = roc_curve(positive, scores)
    return {"label": label, "points": _thinned(false, true)}


def precision_recall(label: Any, scores: NDArray[np.floating], positive: NDArray[np.bool_]) -> JSON:
    """Return the precision-recall curve of one class against the rest: points (recall, precision)."""
    precision, recall, _ = precision_recall_curve(positive, scores, drop_intermediate=True)
    return {"label": label, "points": _thinned(recall[::-1], precision[::-1])}


def calibration(probability: NDArray[np.floating], happened: NDArray[np.bool_]) -> list[JSON]:
    """Return, for each tenth that probabilities fall into, their mean and the share that it happened in."""
    probability = np.clip(probability.astype(np.float64), 0.0, 1.0)
    observed, predicted = calibration_curve(happened, probability, pos_label=True, n_bins=BINS)
    edges = np.linspace(0.0, 1.0, BINS + 1)
    rows = np.bincount(np.searchsorted(edges[1:-1], probability), minlength=BINS)
    return [
        {"predicted": float(p), "observed": float(o), "rows": int(n)}
        for p, o, n in zip(predicted, observed, rows[rows > 0], strict=True)
    ]


def _thinned(x: NDArray[np.floating], y: NDArray[np.floating]) -> list[list[float]]:
    """Return the points, at most `MAX_POINTS`, evenly along the curve, its ends among them."""
    points = np.column_stack([x, y]).astype(np.float64)
    if len(points) > MAX_POINTS:
        way = np.concatenate([[0.0], np.abs(np.diff(points, axis=0)).sum(axis=1).cumsum()])
        chosen = np.searchsorted(way, np.linspace(0.0, way[-1], MAX_POINTS - 1))
        points = points[np.unique([*np.minimum(chosen, len(points) - 1), len(points) - 1])]
    found: list[list[float]] = points.round(6).tolist()
    return found
