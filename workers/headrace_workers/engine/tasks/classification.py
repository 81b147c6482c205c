"""Classification: which of the target's classes a row is of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from headrace_workers.engine.data.target import ClassTarget
from headrace_workers.engine.tasks.base import PREDICTION, Evaluation, Goal
from headrace_workers.engine.tasks.labelled import LabelledTask

if TYPE_CHECKING:
    from headrace_workers.engine.predictor import Predictor

JSON = dict[str, Any]
PROBABILITY = "probability"


class Classification(LabelledTask[ClassTarget]):
    """Values are probabilities, shape (n, classes)."""

    target_class = ClassTarget

    def goal(self, target: ClassTarget) -> Goal:
        """See `Task.goal`."""
        return Goal(target.outputs, dtype=target.dtype)

    def keep(self, old: ClassTarget, new: ClassTarget) -> ClassTarget:
        """Return ``new`` with the classes of ``old`` where these are all that it has."""
        counts = dict(zip(new.classes, new.counts, strict=True))
        if old.type == new.type and counts.keys() <= set(old.classes):
            kept = [counts.get(each, 0) for each in old.classes]
            return new.model_copy(update={"classes": old.classes, "counts": kept})
        return new

    def outputs(self, target: ClassTarget) -> list[JSON]:
        """See `Task.outputs`."""
        numbers = [PROBABILITY, *class_columns(target)]
        columns: list[JSON] = [{"name": PREDICTION, "type": target.type}]
        return columns + [{"name": name, "type": "number"} for name in numbers]

    def default_outputs(self, target: ClassTarget) -> list[str]:
        """See `Task.default_outputs`."""
        return [PREDICTION, PROBABILITY]

    def arrays(
        self, target: ClassTarget, values: NDArray[Any], names: Sequence[str], bad: NDArray[np.bool_]
    ) -> dict[str, pa.Array]:
        """See `Task.arrays`."""
        best = values.argmax(axis=1)
        positions = {name: i for i, name in enumerate(class_columns(target))}
        columns = {}
        for name in names:
            if name == PREDICTION:
                columns[name] = target.array().take(pa.array(best, mask=bad))
            else:
                chosen = best if name == PROBABILITY else positions[name]
                probabilities = values[np.arange(len(best)), chosen]
                columns[name] = pa.array(probabilities.astype(np.float64), pa.float64(), mask=bad)
        return columns

    def answers(self, target: ClassTarget, values: NDArray[Any]) -> list[JSON]:
        """Return ``{"label", "probabilities"}`` for each row."""
        names = [label_text(label) for label in target.classes]
        best = np.argmax(values, axis=1)
        return [
            {
                "label": target.classes[index],
                "probabilities": dict(zip(names, map(float, row), strict=True)),
            }
            for index, row in zip(best, values, strict=True)
        ]

    def usable(self, target: ClassTarget, truth: pa.Array) -> NDArray[np.bool_]:
        """See `Task.usable`."""
        known: NDArray[np.bool_] = truth.is_valid().to_numpy(zero_copy_only=False)
        return known

    def evaluation(self, predictor: Predictor, slices: Sequence[str], seed: int) -> Evaluation:
        """See `Task.evaluation`."""
        from headrace_workers.engine.evaluation import classification

        return classification.Classification(predictor.target, slices, seed)


def class_columns(target: ClassTarget) -> list[str]:
    """Return the name of each class's column of probabilities, in the order of the classes."""
    return [f"probability_{label_text(label)}" for label in target.classes]


def label_text(label: bool | int | str) -> str:
    """Return a class as it is written in names: booleans as in JSON."""
    return str(label).lower() if isinstance(label, bool) else str(label)


TASK = Classification()
