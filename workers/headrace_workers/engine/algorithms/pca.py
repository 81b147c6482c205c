"""Principal components: the directions in which rows differ most."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from headrace.errors import BadSpec
from headrace.specs.algorithms import Algorithm
from headrace_workers.engine.algorithms.base import Arrays, Monitor
from headrace_workers.engine.algorithms.estimator import Estimator
from headrace_workers.engine.algorithms.unlabelled_params import EMBEDDED, ComponentsParams

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from sklearn.decomposition import PCA

    from headrace_workers.engine.training.rows import Rows

VARIANCE = 0.95
"""The share of it that the components of usual rows hold."""


class PcaParams(ComponentsParams):
    """Params of `pca`."""


class Pca(Estimator):
    """scikit-learn's, by the full singular value decomposition."""

    params_class = PcaParams
    alternative = "autoencoder"

    def train(self, training: Rows, validation: Rows | None, monitor: Monitor) -> Any:
        """See `Estimator.train`. Raises `BadSpec` for more components than rows or encoded columns."""
        from sklearn.decomposition import PCA

        table, _ = self.all_rows(training)
        components = self.params.components
        if components is None:
            if self.problem.task == "anomaly":
                return _of_usual_rows(table)
            components = EMBEDDED
        for what, most in (("training rows", len(table)), ("encoded columns", table.shape[1])):
            if components > most:
                raise BadSpec(f"components: {components} are more than the {most} {what}.")
        return PCA(components, svd_solver="full").fit(table)

    def block(self, table: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return what `engine.tasks.embedding` has of a learner."""
        import numpy as np

        centred = table - self.model.mean_
        embedded = centred @ self.model.components_.T
        left = centred - embedded @ self.model.components_
        errors = [np.square(each).mean(axis=1, keepdims=True) for each in (left, centred)]
        return np.concatenate([embedded, *errors], axis=1)

    def learned(self) -> Arrays:
        """Return the mean, the components and how much each explains."""
        return {
            "mean": self.model.mean_,
            "components": self.model.components_,
            "explained_variance": self.model.explained_variance_,
        }


def _of_usual_rows(table: NDArray[np.float64]) -> PCA:
    """Return the components that hold `VARIANCE`, less than all: what is left tells anomalies."""
    from sklearn.decomposition import PCA

    most = min(table.shape) - 1
    if most < 1:
        raise BadSpec("components: of one encoded column, or one row, nothing is left to tell anomalies by.")
    found = PCA(VARIANCE, svd_solver="full").fit(table)
    return found if found.n_components_ <= most else PCA(most, svd_solver="full").fit(table)


ALGORITHM = Algorithm(
    name="pca",
    title="Principal components",
    summary="Tables and images to few numbers, or to how unlike the others a row is, without labels.",
    source="Pearson 1901, On lines and planes of closest fit to systems of points in space",
    tasks=("embedding", "anomaly"),
    features=("number", "integer", "boolean", "category", "timestamp", "image"),
    params=PcaParams,
    code="headrace_workers.engine.algorithms.pca:Pca",
    runtime="plain",
    random=False,
)
