"""Clustering: which of the groups that were found a row is nearest to.

A learner gives distances, shape (n, clusters + 1): to the centre of each cluster, and to the training rows'
mean, which is what one cluster for all would give.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from headrace_workers.engine.data.target import Target
from headrace_workers.engine.tasks.base import Evaluation
from headrace_workers.engine.tasks.unlabelled import UnlabelledTask

if TYPE_CHECKING:
    from headrace_workers.engine.predictor import Predictor

JSON = dict[str, Any]
CLUSTER, DISTANCE = "cluster", "distance"


class ClusterTarget(Target):
    """Nothing is kept besides the column to evaluate by."""

    task: Literal["clustering"] = "clustering"


class Clustering(UnlabelledTask[ClusterTarget]):
    """Values are a learner's distances."""

    target_class = ClusterTarget

    def outputs(self, target: ClusterTarget) -> list[JSON]:
        """See `Task.outputs`. The distance is that to the cluster's centre, in encoded columns."""
        return [{"name": CLUSTER, "type": "integer"}, {"name": DISTANCE, "type": "number"}]

    def arrays(
        self, target: ClusterTarget, values: NDArray[Any], names: Sequence[str], bad: NDArray[np.bool_]
    ) -> dict[str, pa.Array]:
        """See `Task.arrays`."""
        found = {
            CLUSTER: pa.array(nearest(values), pa.int64(), mask=bad),
            DISTANCE: pa.array(distance(values), pa.float64(), mask=bad),
        }
        return {name: found[name] for name in names}

    def answers(self, target: ClusterTarget, values: NDArray[Any]) -> list[JSON]:
        """Return ``{"cluster", "distance"}`` for each row."""
        pairs = zip(nearest(values).tolist(), distance(values).tolist(), strict=True)
        return [{CLUSTER: number, DISTANCE: away} for number, away in pairs]

    def evaluation(self, predictor: Predictor, slices: Sequence[str], seed: int) -> Evaluation:
        """See `Task.evaluation`."""
        from headrace_workers.engine.evaluation.clusters import Clusters

        return Clusters(predictor, slices, seed)


def nearest(values: NDArray[Any]) -> NDArray[np.int64]:
    """Return the number of each row's cluster, the first of equally near ones."""
    found: NDArray[np.int64] = values[:, :-1].argmin(axis=1)
    return found


def distance(values: NDArray[Any]) -> NDArray[np.float64]:
    """Return how far each row is from the centre of its cluster."""
    found: NDArray[np.float64] = values[:, :-1].min(axis=1).astype(np.float64)
    return found


TASK = Clustering()
