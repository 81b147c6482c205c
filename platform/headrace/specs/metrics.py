"""The metrics of each task, and whether more of them is better.

These are the names in ``metrics`` of an evaluation (`headrace_workers.engine.evaluation`). A network also
reports curves, epoch by epoch: `CURVES` are those of validation rows.
"""

from __future__ import annotations

from headrace.specs.base import TaskType

METRICS: dict[TaskType, dict[str, bool]] = {
    "classification": {
        "accuracy": True,
        "balanced_accuracy": True,
        "precision_macro": True,
        "precision_weighted": True,
        "recall_macro": True,
        "recall_weighted": True,
        "f1_macro": True,
        "f1_weighted": True,
        "log_loss": False,
        "brier_score": False,
        "roc_auc": True,
        "pr_auc": True,
    },
    "regression": {"rmse": False, "mae": False, "median_absolute_error": False, "r2": True},
    "forecast": {"mase": False, "smape": False, "mae": False, "rmse": False, "width": False},
    "recommendation": {
        "rmse": False,
        "mae": False,
        "precision_at_10": True,
        "recall_at_10": True,
        "ndcg_at_10": True,
        "coverage_at_10": True,
    },
    "clustering": {
        "silhouette": True,
        "inertia": False,
        "explained_variance": True,
        "adjusted_rand": True,
        "mutual_information": True,
    },
    "embedding": {"reconstruction_error": False, "explained_variance": True},
    "anomaly": {
        "pr_auc": True,
        "roc_auc": True,
        "precision": True,
        "recall": True,
        "reconstruction_error": False,
        "explained_variance": True,
    },
}
"""By task, each metric with whether a higher value is better."""

CURVES: dict[TaskType, dict[str, bool]] = {
    "classification": {"val_loss": False, "val_accuracy": True},
    "regression": {"val_loss": False, "val_mae": False},
    "forecast": {"val_loss": False, "val_scaled_mae": False},
    "recommendation": {"val_loss": False, "val_mae": False, "val_auc": True},
    "embedding": {"val_loss": False, "val_reconstruction_error": False},
    "anomaly": {"val_loss": False, "val_reconstruction_error": False},
}
"""By task, each curve of validation rows, in the same way."""

VALIDATION = "val_"
"""What may stand before a metric that is measured on validation rows."""


def on_validation_rows(task: TaskType) -> dict[str, bool]:
    """Return the names under which something is known of validation rows: metrics, plain or with `VALIDATION`
    before them, and curves; each with whether a higher value is better.
    """
    known = METRICS.get(task, {})
    prefixed = {VALIDATION + name: higher for name, higher in known.items()}
    return known | prefixed | CURVES.get(task, {})
