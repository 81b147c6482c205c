"""Gradient boosted trees for tables, by scikit-learn: with categories and missing values as they are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from headrace.specs.algorithms import Algorithm, Params
from headrace.specs.base import TaskType
from headrace_workers.engine.algorithms.base import Arrays, Encoding, Monitor
from headrace_workers.engine.algorithms.estimator import Estimator
from headrace_workers.engine.algorithms.params import (
    L2,
    ClassWeight,
    MaxDepth,
    MinSamplesLeaf,
    Trees,
    class_weight_misfits,
)

if TYPE_CHECKING:
    from headrace_workers.engine.training.rows import Rows

MAX_BINS = 255
"""Of each column; a category with more levels is split by their order instead of one by one."""

TREE_ARRAYS = (
    "value",
    "count",
    "feature_idx",
    "num_threshold",
    "missing_go_to_left",
    "left",
    "right",
    "is_leaf",
    "is_categorical",
    "bitset_idx",
)


class GradientBoostingParams(Params):
    """Params of `gradient_boosting`."""

    trees: Trees = 500
    learning_rate: Annotated[float, Field(gt=0, le=1, description="What each tree counts for.")] = 0.05
    max_leaves: Annotated[int, Field(ge=2, le=10_000, description="Leaves of a tree at most.")] = 31
    max_depth: MaxDepth = None
    min_samples_leaf: MinSamplesLeaf = 20
    max_features: Annotated[
        float, Field(gt=0, le=1, description="The share of the columns tried at each split.")
    ] = 0.5
    l2: L2 = 0.0
    early_stopping: Annotated[
        int | None,
        Field(
            ge=1,
            le=10_000,
            description="Stop after so many trees by which the loss on validation rows (on training rows "
            "where there are none) did not fall; null never stops early.",
        ),
    ] = 20
    class_weight: ClassWeight = None

    def misfits(self, task: TaskType) -> dict[str, str]:
        """See `Params.misfits`."""
        return class_weight_misfits(self.class_weight, task)


class GradientBoosting(Estimator):
    """scikit-learn's trees on histograms."""

    params_class = GradientBoostingParams
    params: GradientBoostingParams

    @classmethod
    def encoding(cls, params: Params) -> Encoding:
        """Return level numbers, and missing numbers as such: the trees find out what they mean."""
        return Encoding(categories="codes", missing="nan")

    def train(self, training: Rows, validation: Rows | None, monitor: Monitor) -> Any:
        """Grow the trees; the learning curves are told when all have grown. See `Estimator.train`."""
        from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

        p = self.params
        options: dict[str, Any] = {
            "max_iter": p.trees,
            "learning_rate": p.learning_rate,
            "max_leaf_nodes": p.max_leaves,
            "max_depth": p.max_depth,
            "min_samples_leaf": p.min_samples_leaf,
            "max_features": p.max_features,
            "l2_regularization": p.l2,
            "max_bins": MAX_BINS,
            "categorical_features": self._categories(),
            "early_stopping": p.early_stopping is not None,
            "n_iter_no_change": p.early_stopping or 1,
            # Rows are set aside by the split of the spec, not here.
            "validation_fraction": None,
            "tol": 0.0,
            "random_state": self.problem.seed,
        }
        if self.problem.task == "classification":
            model = HistGradientBoostingClassifier(**options, class_weight=p.class_weight)
        else:
            model = HistGradientBoostingRegressor(**options)
        table, targets = self.all_rows(training)
        watched = {}
        if validation is not None and p.early_stopping is not None:
            watched = dict(zip(("X_val", "y_val"), self.all_rows(validation), strict=True))
        model.fit(table, targets, **watched)
        for name, scores in (("loss", model.train_score_), ("val_loss", model.validation_score_)):
            # Before the first tree there is a score already.
            for step, score in enumerate(scores[1:], 1):
                monitor.metric(name, step, -float(score))
        return model

    def learned(self) -> Arrays:
        """Return the nodes of all trees, one array for each of their properties, and where they start."""
        import numpy as np

        trees = [tree for step in self.model._predictors for tree in step]
        nodes = np.concatenate([tree.nodes for tree in trees])
        return {
            "node_count": np.array([len(tree.nodes) for tree in trees], np.int64),
            "baseline": np.asarray(self.model._baseline_prediction),
            "categories": np.concatenate([tree.raw_left_cat_bitsets for tree in trees]),
            **{name: np.ascontiguousarray(nodes[name]) for name in TREE_ARRAYS},
        }

    def _categories(self) -> list[int] | None:
        levels = self.problem.inputs["table"].levels
        return [i for i, count in enumerate(levels) if 0 < count <= MAX_BINS] or None


ALGORITHM = Algorithm(
    name="gradient_boosting",
    title="Gradient boosting",
    summary="Tables to classes or numbers, by trees that mend each other; good on most tables as it is.",
    source="Friedman 2001, Greedy function approximation; on histograms: Ke et al. 2017, LightGBM",
    tasks=("classification", "regression"),
    features=("number", "integer", "boolean", "category", "timestamp"),
    params=GradientBoostingParams,
    code="headrace_workers.engine.algorithms.gradient_boosting:GradientBoosting",
    runtime="plain",
    trial={"learning_rate": 0.2, "min_samples_leaf": 5, "trees": 60},
)
