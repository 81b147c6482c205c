"""A random forest for tables, by scikit-learn."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from headrace.errors import BadSpec
from headrace.specs.algorithms import Algorithm, Params
from headrace_workers.engine.algorithms.base import Arrays, Encoding, Learner, Monitor, Problem

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from headrace_workers.engine.training.rows import Rows

MODEL_FILE = "model.skops"
MAX_BYTES = 2 * 1024**3
TREE_ARRAYS = ("children_left", "children_right", "feature", "threshold", "value")


class RandomForestParams(Params):
    """Params of `random_forest`."""

    trees: Annotated[int, Field(ge=1, le=10_000, description="How many trees.")] = 200
    max_depth: Annotated[
        int | None, Field(ge=1, le=1000, description="Levels of a tree at most; null: no limit.")
    ] = None
    min_samples_leaf: Annotated[
        int, Field(ge=1, le=1_000_000, description="Training rows that each leaf holds at least.")
    ] = 1
    max_features: Annotated[
        Literal["auto", "sqrt", "log2", "all"],
        Field(description="Features tried at each split; auto: sqrt for classes, all for numbers."),
    ] = "auto"


class RandomForest(Learner):
    """scikit-learn's forest. It cannot be cut, so an interrupted fit restarts whole, to the same bits."""

    params_class = RandomForestParams

    def __init__(self, params: Params, problem: Problem, forest: Any = None) -> None:
        super().__init__(params, problem)
        assert isinstance(params, RandomForestParams)
        self.params = params
        self._forest = forest

    @classmethod
    def encoding(cls, params: Params) -> Encoding:
        """Return level numbers: trees need no column per level."""
        return Encoding(categories="codes")

    def fit(self, training: Rows, validation: Rows | None, monitor: Monitor) -> None:
        """Grow the trees from all training rows at once. Raises `BadSpec` for too many."""
        from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

        size = training.count * training.row_bytes
        if size > MAX_BYTES:
            raise BadSpec(
                f"random_forest holds all training rows in memory: these take {size / 1024**3:.1f} GiB, "
                f"the limit is {MAX_BYTES // 1024**3}; mlp has no such limit."
            )
        classify = self.problem.task == "classification"
        auto = "sqrt" if classify else None
        features = {"auto": auto, "all": None}.get(self.params.max_features, self.params.max_features)
        make = RandomForestClassifier if classify else RandomForestRegressor
        self._forest = make(
            n_estimators=self.params.trees,
            max_depth=self.params.max_depth,
            min_samples_leaf=self.params.min_samples_leaf,
            max_features=features,
            random_state=self.problem.seed,
            # Each tree draws from a seed of its own, so that threads do not change the bits.
            n_jobs=self.problem.threads,
        )
        inputs, targets = training.all()
        self._forest.fit(inputs["table"], targets)
        # Sums over trees in the order in which threads end would differ in their last bits.
        self._forest.n_jobs = 1
        monitor.progress(1.0, f"grew {self.params.trees} trees")

    def predict(self, inputs: Arrays) -> NDArray[np.float64]:
        """Return probabilities or values; see `Learner.predict`."""
        import numpy as np

        table = inputs["table"]
        if self.problem.task == "regression":
            return np.asarray(self._forest.predict(table))
        probabilities = np.zeros((len(table), self.problem.outputs))
        probabilities[:, self._forest.classes_] = self._forest.predict_proba(table)
        return probabilities

    def learned(self) -> Arrays:
        """Return the nodes of all trees, one array for each of their properties."""
        import numpy as np

        trees = [estimator.tree_ for estimator in self._forest.estimators_]
        nodes = {name: np.concatenate([getattr(tree, name) for tree in trees]) for name in TREE_ARRAYS}
        return {"node_count": np.array([tree.node_count for tree in trees], np.int64), **nodes}

    def save(self, folder: Path) -> None:
        """Write the forest as a skops file."""
        from headrace_workers.engine.training.skops_file import save

        save(self._forest, folder / MODEL_FILE)

    @classmethod
    def load(cls, folder: Path, params: Params, problem: Problem) -> RandomForest:
        """Return the forest that `save` wrote."""
        from headrace_workers.engine.training.skops_file import load

        return cls(params, problem, load(folder / MODEL_FILE))


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
