"""Anomaly: how badly a row can be made again by what has learned from the others, and whether too badly.

A learner gives what it gives for an embedding. The score is the error of the row made again; a row is an
anomaly where that is above the threshold, which the fraction ``contamination`` (a param) of the training rows
is above. A target is never learned from. Where there is one, of these rows the normal ones are known: false,
0, or, of a category, the most frequent among the training rows; all others are anomalies to be found.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from headrace.errors import BadData
from headrace.specs.base import ColumnType
from headrace_workers.engine.algorithms.unlabelled_params import CONTAMINATION
from headrace_workers.engine.data import split
from headrace_workers.engine.data.arrow_types import ARROW_TYPES
from headrace_workers.engine.data.target import Target
from headrace_workers.engine.tasks.base import Evaluation
from headrace_workers.engine.tasks.embedding import FIGURES
from headrace_workers.engine.tasks.unlabelled import UnlabelledTask

if TYPE_CHECKING:
    from headrace_workers.engine.predictor import Predictor
    from headrace_workers.engine.training.pipeline import Training
    from headrace_workers.engine.training.rows import Rows

JSON = dict[str, Any]
SCORE, ANOMALY = "anomaly_score", "anomaly"
NORMAL: dict[ColumnType | None, bool | int] = {"boolean": False, "integer": 0}


class AnomalyTarget(Target):
    """``threshold``: the highest score of a row that is none. ``normal``: the label of such rows."""

    task: Literal["anomaly"] = "anomaly"
    threshold: float = 0.0
    contamination: float = 0.0
    normal: bool | int | str | None = None


class Anomaly(UnlabelledTask[AnomalyTarget]):
    """Values are the last figures of a learner, shape (n, 2): the score, and the distance from the mean."""

    target_class = AnomalyTarget

    def finish(self, training: Training, predictor: Predictor, rows: Rows) -> AnomalyTarget:
        """Return the target with the threshold of all training ``rows``."""
        scores = np.concatenate(
            [predictor.learner.predict(inputs)[:, -FIGURES] for inputs, _ in rows.blocks()]
        )
        contamination = getattr(training.params, "contamination", None) or CONTAMINATION
        threshold = float(np.quantile(scores.astype(np.float64), 1 - contamination))
        target: AnomalyTarget = predictor.target
        return target.model_copy(
            update={
                "threshold": threshold,
                "contamination": contamination,
                "normal": _normal(training, target),
            }
        )

    def decode(self, target: AnomalyTarget, values: NDArray[Any]) -> NDArray[Any]:
        """See `Task.decode`."""
        return values[:, -FIGURES:].astype(np.float64)

    def outputs(self, target: AnomalyTarget) -> list[JSON]:
        """See `Task.outputs`."""
        return [{"name": SCORE, "type": "number"}, {"name": ANOMALY, "type": "boolean"}]

    def arrays(
        self, target: AnomalyTarget, values: NDArray[Any], names: Sequence[str], bad: NDArray[np.bool_]
    ) -> dict[str, pa.Array]:
        """See `Task.arrays`."""
        found = {
            SCORE: pa.array(values[:, 0], pa.float64(), mask=bad),
            ANOMALY: pa.array(values[:, 0] > target.threshold, pa.bool_(), mask=bad),
        }
        return {name: found[name] for name in names}

    def answers(self, target: AnomalyTarget, values: NDArray[Any]) -> list[JSON]:
        """Return ``{"anomaly_score", "anomaly"}`` for each row."""
        return [{SCORE: score, ANOMALY: score > target.threshold} for score in values[:, 0].tolist()]

    def check(self, target: AnomalyTarget, schema: pa.Schema) -> None:
        """Raise `BadData` where the column with labels cannot be compared with the normal one."""
        if target.column in schema.names:
            found, wanted = schema.field(target.column).type, ARROW_TYPES[target.type or "category"]
            if found != wanted:
                raise BadData(f"Column {target.column!r} holds {found}, the labels were {target.type}.")

    def usable(self, target: AnomalyTarget, truth: pa.Array) -> NDArray[np.bool_]:
        """See `Task.usable`: with labels, the rows that have one."""
        known: NDArray[np.bool_] = truth.is_valid().to_numpy(zero_copy_only=False)
        return known

    def evaluation(self, predictor: Predictor, slices: Sequence[str], seed: int) -> Evaluation:
        """See `Task.evaluation`."""
        from headrace_workers.engine.evaluation.anomalies import Anomalies

        return Anomalies(predictor.target, slices, seed)


def _normal(training: Training, target: AnomalyTarget) -> bool | int | str | None:
    if target.column is None or target.type in NORMAL:
        return NORMAL.get(target.type)
    counts: Counter[str] = Counter()
    for batch in training.batches(split.TRAINING, columns=[target.column]):
        for entry in pc.value_counts(batch.column(0).drop_null()).to_pylist():
            counts[entry["values"]] += entry["counts"]
    return min(counts, key=lambda label: (-counts[label], label), default=None)


TASK = Anomaly()
