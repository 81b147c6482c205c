"""Regression: the target's number."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from headrace_workers.engine.data.target import NumberTarget
from headrace_workers.engine.tasks.base import PREDICTION, Evaluation, Goal
from headrace_workers.engine.tasks.labelled import LabelledTask

if TYPE_CHECKING:
    from headrace_workers.engine.predictor import Predictor

JSON = dict[str, Any]


class Regression(LabelledTask[NumberTarget]):
    """Values are numbers in the target's units, shape (n,)."""

    target_class = NumberTarget

    def goal(self, target: NumberTarget) -> Goal:
        """See `Task.goal`."""
        return Goal(target.outputs, target.scale, dtype=target.dtype)

    def keep(self, old: NumberTarget, new: NumberTarget) -> NumberTarget:
        """Return ``new`` with the mean and scale of ``old``."""
        return new.model_copy(update={"mean": old.mean, "scale": old.scale})

    def decode(self, target: NumberTarget, values: NDArray[Any]) -> NDArray[Any]:
        """See `Task.decode`."""
        return target.decode(values)

    def outputs(self, target: NumberTarget) -> list[JSON]:
        """See `Task.outputs`."""
        return [{"name": PREDICTION, "type": "number"}]

    def arrays(
        self, target: NumberTarget, values: NDArray[Any], names: Sequence[str], bad: NDArray[np.bool_]
    ) -> dict[str, pa.Array]:
        """See `Task.arrays`."""
        return {name: pa.array(values, pa.float64(), mask=bad) for name in names}

    def answers(self, target: NumberTarget, values: NDArray[Any]) -> list[JSON]:
        """Return ``{"value"}`` for each row."""
        return [{"value": float(value)} for value in values]

    def usable(self, target: NumberTarget, truth: pa.Array) -> NDArray[np.bool_]:
        """See `Task.usable`."""
        finite = pc.fill_null(pc.is_finite(truth), False).to_numpy(zero_copy_only=False)
        known: NDArray[np.bool_] = truth.is_valid().to_numpy(zero_copy_only=False) & finite
        return known

    def evaluation(self, predictor: Predictor, slices: Sequence[str], seed: int) -> Evaluation:
        """See `Task.evaluation`."""
        from headrace_workers.engine.evaluation import regression

        return regression.WithPicture(predictor, slices, seed)


TASK = Regression()
