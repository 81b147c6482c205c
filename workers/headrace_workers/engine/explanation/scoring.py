"""How good predictions are, in the metrics by which importance is told: those that an evaluation has, too."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from sklearn import metrics

from headrace_workers.engine.data.target import ClassTarget
from headrace_workers.engine.evaluation import scores
from headrace_workers.engine.evaluation.clusters import LABEL_METRICS
from headrace_workers.engine.predictor import Predictor
from headrace_workers.engine.tasks.anomaly import AnomalyTarget
from headrace_workers.engine.tasks.clustering import ClusterTarget, distance, nearest
from headrace_workers.engine.tasks.embedding import ERROR, EmbeddingTarget

HIGHER_IS_BETTER = frozenset(
    {"accuracy", "r2", "roc_auc", "pr_auc", "explained_variance", *LABEL_METRICS},
)


def labels(predictor: Predictor, schema: pa.Schema) -> str | None:
    """Return the column of ``schema`` that predictions are measured by; None where it is the rows alone."""
    target: Any = predictor.target
    if isinstance(target, AnomalyTarget) and target.normal is None:
        return None
    column: str | None = target.column
    return column if predictor.task.learns_target or column in schema.names else None


def truth(predictor: Predictor, batch: pa.RecordBatch, column: str) -> NDArray[Any]:
    """Return the values of the target: encoded; or labels that are not learned, of which some are None."""
    target: Any = predictor.target
    if predictor.task.learns_target:
        encoded: NDArray[Any] = predictor.task.encode_target(target, batch)[0]
        return encoded
    values = batch.column(column)
    if isinstance(target, AnomalyTarget):
        values = pc.not_equal(values, pa.scalar(target.normal, values.type))
    return np.array(values.to_pylist(), object)


def codes(labels: NDArray[Any]) -> NDArray[np.int64]:
    """Return labels as numbers in their order, from 0; -1 for None."""
    known = np.array([label is not None for label in labels], np.bool_)
    found = np.full(len(labels), -1, np.int64)
    found[known] = np.unique(labels[known], return_inverse=True)[1]
    return found


def measure(predictor: Predictor, truth: NDArray[Any] | None, values: NDArray[Any]) -> dict[str, float]:
    """Return each metric of what the learner gave; the first is that by which features are ordered.

    Of classes and numbers it is the one that scikit-learn measures by where nothing is said. ``truth``: the
    encoded target; or, of labels that are not learned, their `codes`: the rows that have one are measured.
    """
    target: Any = predictor.target
    assert truth is not None or not predictor.task.learns_target, "what was learned is what is measured by"
    if isinstance(target, ClassTarget) and truth is not None:
        p = values / values.sum(axis=1, keepdims=True, dtype=np.float64)
        return {
            "accuracy": float(np.mean(p.argmax(axis=1) == truth)),
            "log_loss": float(scores.log_losses(scores.of_truth(p, truth)).mean()),
        }
    if isinstance(target, ClusterTarget):
        found = {}
        known, labelled = _labelled(truth)
        if len(labelled) > 1:
            found = {name: float(of(labelled, nearest(values)[known])) for name, of in LABEL_METRICS.items()}
        return found | _unexplained("inertia", np.square(distance(values)), np.square(values[:, -1]))
    if isinstance(target, AnomalyTarget | EmbeddingTarget):
        error, whole = values[:, -2].astype(np.float64), values[:, -1]
        found = {}
        known, labelled = _labelled(truth)
        if 0 < labelled.sum() < len(labelled):
            roc, pr = scores.areas(error[known], labelled == 1, np.ones((1, len(labelled))))
            found = {"pr_auc": float(pr[0]), "roc_auc": float(roc[0])}
        return found | _unexplained(ERROR, error, whole)
    actual, predicted = (predictor.task.decode(target, np.asarray(each)) for each in (truth, values))
    found = {
        "mae": float(metrics.mean_absolute_error(actual, predicted)),
        "rmse": float(metrics.root_mean_squared_error(actual, predicted)),
    }
    if target.task == "recommendation":
        return found
    return {"r2": float(metrics.r2_score(actual, predicted)) if len(actual) > 1 else 0.0} | found


def _labelled(truth: NDArray[Any] | None) -> tuple[NDArray[np.bool_], NDArray[Any]]:
    """Return which rows have a label, and the codes of these."""
    if truth is None:
        return np.zeros(0, np.bool_), np.zeros(0)
    return truth >= 0, truth[truth >= 0]


def as_gains(found: dict[str, float]) -> dict[str, float]:
    """Return the metrics so that higher is better in all."""
    return {name: value if name in HIGHER_IS_BETTER else -value for name, value in found.items()}


def _unexplained(name: str, error: NDArray[Any], whole: NDArray[Any]) -> dict[str, float]:
    """Return how far rows are, on average, from what was made of them, and the share of the variance that
    this does not leave."""
    left, of = float(error.mean(dtype=np.float64)), float(whole.mean(dtype=np.float64))
    return {"explained_variance": 1 - left / of if of > 0 else 0.0, name: left}
