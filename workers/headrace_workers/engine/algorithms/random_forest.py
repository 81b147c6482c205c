"""A random forest for tables, by scikit-learn."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from headrace.specs.algorithms import Algorithm, Params
from headrace.specs.base import TaskType
from headrace_workers.engine.algorithms.base import Arrays, Encoding, Monitor
from headrace_workers.engine.algorithms.estimator import Estimator
from headrace_workers.engine.algorithms.params import (
    ClassWeight,
    MaxDepth,
    MinSamplesLeaf,
    Trees,
    class_weight_misfits,
)

if TYPE_CHECKING:
    from headrace_workers.engine.training.rows import Rows

TREE_ARRAYS = ("children_left", "children_right", "feature", "threshold", "value")


class RandomForestParams(Params):
    """Params of `random_forest`."""

    trees: Trees = 200
    max_depth: MaxDepth = None
    min_samples_leaf: MinSamplesLeaf = 1
    max_features: Annotated[
        Literal["auto", "sqrt", "log2", "all"],
        Field(description="Features tried at each split; auto: sqrt for classes, all for numbers."),
    ] = "auto"
    class_weight: ClassWeight = None

    def misfits(self, task: TaskType) -> dict[str, str]:
        """See `Params.misfits`."""
        return class_weight_misfits(self.class_weight, task)


class RandomForest(Estimator):
    """scikit-learn's forest."""

    params_class = RandomForestParams
    params: RandomForestParams

    @classmethod
    def encoding(cls, params: Params) -> Encoding:
        """Return level numbers: trees need no column per level."""
        return Encoding(categories="codes")

    def train(self, training: Rows, validation: Rows | None, monitor: Monitor) -> Any:
        """Grow the trees; see `Estimator.train`."""
        from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

        p = self.params
        classify = self.problem.task == "classification"
        auto = "sqrt" if classify else None
        options: dict[str, Any] = {
            "n_estimators": p.trees,
            "max_depth": p.max_depth,
            "min_samples_leaf": p.min_samples_leaf,
            "max_features": {"auto": auto, "all": None}.get(p.max_features, p.max_features),
            "random_state": self.problem.seed,
            # Each tree draws from a seed of its own, so that threads do not change the bits.
            "n_jobs": self.problem.threads,
        }
        if classify:
            forest = RandomForestClassifier(**options, class_weight=p.class_weight)
        else:
            forest = RandomForestRegressor(**options)
        forest.fit(*self.all_rows(training))
        # Sums over trees in the order in which threads end would differ in their last bits.
        forest.n_jobs = 1
        return forest

    def learned(self) -> Arrays:
        """Return the nodes of all trees, one array for each of their properties."""
        import numpy as np

        trees = [estimator.tree_ for estimator in self.model.estimators_]
        nodes = {name: np.concatenate([getattr(tree, name) for tree in trees]) for name in TREE_ARRAYS}
        return {"node_count": np.array([tree.node_count for tree in trees], np.int64), **nodes}


ALGORITHM = Algorithm(
    name="random_forest",
    title="Random forest",
    summary="Tables to classes or numbers, by many trees; all training rows have to fit in memory (2 GiB).",
    source="Breiman 2001, Random forests",
    tasks=("classification", "regression"),
    features=("number", "integer", "boolean", "category", "timestamp"),
    params=RandomForestParams,
    code="headrace_workers.engine.algorithms.random_forest:RandomForest",
    runtime="plain",
    trial={"trees": 20},
)
