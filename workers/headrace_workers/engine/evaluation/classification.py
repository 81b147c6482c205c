"""Evaluation of a classifier."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from sklearn import metrics

from headrace_workers.engine.data.target import UNKNOWN, ClassTarget

JSON = dict[str, Any]


def report(target: ClassTarget, truth: pa.Array, probabilities: NDArray[np.floating]) -> JSON:
    """Return the parts of an evaluation for the true labels and the predicted ``probabilities`` (n, classes).

    A label that training did not see is a class of its own with probability 0.
    """
    labels, actual = _with_unseen(target, truth)
    p = np.zeros((len(actual), len(labels)))
    p[:, : target.outputs] = probabilities
    p /= p.sum(axis=1, keepdims=True)
    predicted = p.argmax(axis=1)
    majority = int(np.argmax(target.counts))
    prior = np.zeros(len(labels))
    prior[: target.outputs] = np.array(target.counts) / sum(target.counts)
    numbers = np.arange(len(labels))
    matrix = metrics.confusion_matrix(actual, predicted, labels=numbers)
    return {
        "metrics": _metrics(actual, predicted, p),
        "baseline": {
            "predicts": labels[majority],
            "metrics": _metrics(actual, np.full_like(actual, majority), np.tile(prior, (len(actual), 1))),
        },
        "confusion_matrix": {"labels": labels, "counts": matrix.tolist()},
        "per_class": _per_class(labels, actual, predicted),
    }


def _with_unseen(target: ClassTarget, truth: pa.Array) -> tuple[list[Any], NDArray[np.int64]]:
    actual = target.encode(truth).astype(np.int64)
    unseen = actual == UNKNOWN
    if not unseen.any():
        return list(target.classes), actual
    strange = truth.filter(pa.array(unseen))
    new = sorted(pc.unique(strange).to_pylist())
    actual[unseen] = target.outputs + pc.index_in(strange, pa.array(new, strange.type)).to_numpy(
        zero_copy_only=False
    )
    return [*target.classes, *new], actual


def _metrics(actual: NDArray[Any], predicted: NDArray[Any], p: NDArray[np.float64]) -> dict[str, float]:
    macro: JSON = {"average": "macro", "zero_division": 0.0}
    present = np.unique(actual)
    recalls = metrics.recall_score(actual, predicted, labels=present, average=None, zero_division=0.0)
    found = {
        "accuracy": metrics.accuracy_score(actual, predicted),
        "balanced_accuracy": np.mean(recalls),
        "precision_macro": metrics.precision_score(actual, predicted, **macro),
        "recall_macro": metrics.recall_score(actual, predicted, **macro),
        "f1_macro": metrics.f1_score(actual, predicted, **macro),
        "log_loss": metrics.log_loss(actual, p, labels=np.arange(p.shape[1])),
    }
    # One class against the others has an area only where there are both.
    areas = [
        metrics.roc_auc_score(actual == k, p[:, k]) for k in present if 0 < (actual == k).sum() < len(actual)
    ]
    if areas:
        found["roc_auc"] = np.mean(areas)
    return {name: float(value) for name, value in found.items()}


def _per_class(labels: list[Any], actual: NDArray[Any], predicted: NDArray[Any]) -> list[JSON]:
    columns = metrics.precision_recall_fscore_support(
        actual, predicted, labels=np.arange(len(labels)), average=None, zero_division=0.0
    )
    names = ("precision", "recall", "f1", "rows")
    values = zip(*(column.tolist() for column in columns), strict=True)
    return [
        {"label": label, **dict(zip(names, row, strict=True))}
        for label, row in zip(labels, values, strict=True)
    ]
