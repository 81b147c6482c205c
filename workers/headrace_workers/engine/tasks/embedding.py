"""Embedding: a row as few numbers from which most of it can be made again.

A learner gives, shape (n, d + 2): the d numbers; the error of what is made again of them, squared, the mean
over encoded values; and the same error where the training rows' mean is put in the place of every row.
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
    from headrace_workers.engine.training.pipeline import Training
    from headrace_workers.engine.training.rows import Rows

JSON = dict[str, Any]
ERROR = "reconstruction_error"
FIGURES = 2
"""Columns of a learner's values behind the embedding."""


class EmbeddingTarget(Target):
    """``width``: how many numbers an embedding has, 0 before the fit."""

    task: Literal["embedding"] = "embedding"
    width: int = 0


class Embedding(UnlabelledTask[EmbeddingTarget]):
    """Values are a learner's."""

    target_class = EmbeddingTarget

    def finish(self, training: Training, predictor: Predictor, rows: Rows) -> EmbeddingTarget:
        """See `Task.finish`."""
        inputs, _ = rows.take(np.arange(1))
        width = predictor.learner.predict(inputs).shape[1] - FIGURES
        target: EmbeddingTarget = predictor.target
        return target.model_copy(update={"width": width})

    def outputs(self, target: EmbeddingTarget) -> list[JSON]:
        """See `Task.outputs`."""
        return [{"name": name, "type": "number"} for name in [*_columns(target), ERROR]]

    def default_outputs(self, target: EmbeddingTarget) -> list[str]:
        """See `Task.default_outputs`."""
        return _columns(target)

    def arrays(
        self, target: EmbeddingTarget, values: NDArray[Any], names: Sequence[str], bad: NDArray[np.bool_]
    ) -> dict[str, pa.Array]:
        """See `Task.arrays`."""
        places = {name: i for i, name in enumerate([*_columns(target), ERROR])}
        return {
            name: pa.array(values[:, places[name]].astype(np.float64), pa.float64(), mask=bad)
            for name in names
        }

    def answers(self, target: EmbeddingTarget, values: NDArray[Any]) -> list[JSON]:
        """Return ``{"embedding", "reconstruction_error"}`` for each row."""
        width = target.width
        return [{"embedding": row[:width], ERROR: row[width]} for row in values.astype(np.float64).tolist()]

    def evaluation(self, predictor: Predictor, slices: Sequence[str], seed: int) -> Evaluation:
        """See `Task.evaluation`."""
        from headrace_workers.engine.evaluation.reconstruction import Reconstruction

        return Reconstruction(slices, seed)


def _columns(target: EmbeddingTarget) -> list[str]:
    return [f"embedding_{i}" for i in range(target.width)]


TASK = Embedding()
