"""How good predictions are, in the metrics by which importance is told."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn import metrics

from headrace_workers.engine.data.target import ClassTarget, NumberTarget
from headrace_workers.engine.evaluation import scores

LOWER_IS_BETTER = frozenset({"log_loss", "mae", "rmse"})


def measure(
    target: ClassTarget | NumberTarget, truth: NDArray[Any], values: NDArray[Any]
) -> dict[str, float]:
    """Return each metric of the predictions ``values``; ``truth`` and they are as encoded by ``target``.

    The first is the one that scikit-learn measures by where nothing is said.
    """
    if isinstance(target, ClassTarget):
        p = values / values.sum(axis=1, keepdims=True, dtype=np.float64)
        return {
            "accuracy": float(np.mean(p.argmax(axis=1) == truth)),
            "log_loss": float(scores.log_losses(scores.of_truth(p, truth)).mean()),
        }
    actual, predicted = target.decode(truth), target.decode(values)
    return {
        "r2": float(metrics.r2_score(actual, predicted)) if len(actual) > 1 else 0.0,
        "mae": float(metrics.mean_absolute_error(actual, predicted)),
        "rmse": float(metrics.root_mean_squared_error(actual, predicted)),
    }


def as_gains(found: dict[str, float]) -> dict[str, float]:
    """Return the metrics so that higher is better in all."""
    return {name: -value if name in LOWER_IS_BETTER else value for name, value in found.items()}
