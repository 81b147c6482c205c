"""Clusters around centres."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from headrace.errors import BadSpec
from headrace.specs.algorithms import Algorithm, Params
from headrace_workers.engine.algorithms.base import Arrays, Monitor
from headrace_workers.engine.algorithms.estimator import Estimator

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from headrace_workers.engine.training.rows import Rows


class KMeansParams(Params):
    """Params of `kmeans`."""

    clusters: Annotated[int, Field(ge=2, le=1000, description="How many clusters there are to be.")] = 8
    restarts: Annotated[
        int, Field(ge=1, le=1000, description="How often it begins anew; the clusters nearest to rows stay.")
    ] = 10
    iterations: Annotated[
        int, Field(ge=1, le=10_000, description="How often centres move at most, each time it begins.")
    ] = 300


class KMeans(Estimator):
    """scikit-learn's, from centres drawn by k-means++."""

    params_class = KMeansParams
    alternative = "autoencoder"

    def train(self, training: Rows, validation: Rows | None, monitor: Monitor) -> Any:
        """See `Estimator.train`. Raises `BadSpec` for more clusters than rows."""
        import numpy as np
        from sklearn import cluster
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        p = self.params
        if p.clusters > training.count:
            raise BadSpec(f"clusters: {p.clusters} are more than the {training.count} training rows.")
        table, _ = self.all_rows(training)
        model = cluster.KMeans(
            p.clusters, n_init=p.restarts, max_iter=p.iterations, random_state=self.problem.seed
        )
        # The first step only keeps the rows' mean, the one centre to compare with.
        fitted = make_pipeline(StandardScaler(with_std=False), model).fit(table)
        # The clusters of the training rows would be saved.
        model.labels_ = np.empty(0, np.int32)
        return fitted

    def block(self, table: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return distances, as `engine.tasks.clustering` has them."""
        import numpy as np
        from scipy.spatial.distance import cdist

        mean, centres = self._points()
        return np.asarray(cdist(table - mean, np.vstack([centres, np.zeros_like(mean)])))

    def learned(self) -> Arrays:
        """Return the centres, and the mean that they are seen from."""
        mean, centres = self._points()
        return {"mean": mean, "centres": centres}

    def _points(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        (_, scaler), (_, model) = self.model.steps
        return scaler.mean_, model.cluster_centers_


ALGORITHM = Algorithm(
    name="kmeans",
    title="k-means",
    summary="Tables and images to clusters of rows that are near each other, without labels.",
    source="Lloyd 1982, Least squares quantization in PCM; Arthur, Vassilvitskii 2007, k-means++",
    tasks=("clustering",),
    features=("number", "integer", "boolean", "category", "timestamp", "image"),
    params=KMeansParams,
    code="headrace_workers.engine.algorithms.kmeans:KMeans",
    runtime="plain",
    trial={"clusters": 3},
)
