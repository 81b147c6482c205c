"""A trained model at work: raw rows in, labels or values out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from headrace_workers.engine.algorithms.base import Learner
from headrace_workers.engine.data.preprocessing import Preprocessing
from headrace_workers.engine.data.target import ARROW_TYPES, ClassTarget, NumberTarget

PREDICTION, PROBABILITY = "prediction", "probability"


Column = dict[str, Any]


@dataclass(frozen=True)
class Outputs:
    """What a learner made of a batch: probabilities (n, classes) or values (n,) in the target's units.

    ``problems``: the rows (from 0) that could not be predicted, with the reason.
    """

    values: NDArray[Any]
    problems: dict[int, str]

    def bad(self) -> NDArray[np.bool_]:
        """Return which rows could not be predicted, shape (n,)."""
        mask = np.zeros(len(self.values), np.bool_)
        mask[list(self.problems)] = True
        return mask


class Predictor:
    """Preprocessing, learner and target of one version."""

    def __init__(
        self, preprocessing: Preprocessing, learner: Learner, target: ClassTarget | NumberTarget
    ) -> None:
        self.preprocessing = preprocessing
        self.learner = learner
        self.target = target

    @cached_property
    def signature(self) -> dict[str, list[Column]]:
        """The columns that go in and come out, each with name and type."""
        inputs: list[Column] = [{"name": e.column, "type": e.type} for e in self.preprocessing.encoders]
        if isinstance(self.target, NumberTarget):
            outputs: list[Column] = [{"name": PREDICTION, "type": "number"}]
        else:
            names = [PROBABILITY, *class_columns(self.target)]
            outputs = [{"name": PREDICTION, "type": self.target.type}]
            outputs += [{"name": name, "type": "number"} for name in names]
        return {"inputs": inputs, "outputs": outputs}

    def outputs(self, batch: pa.RecordBatch | pa.Table) -> Outputs:
        """Return what the learner makes of ``batch``, whose columns the preprocessing has checked."""
        encoded = self.preprocessing.encode(batch)
        values = self.learner.predict(encoded.inputs)
        decoded = self.target.decode(values) if isinstance(self.target, NumberTarget) else values
        return Outputs(decoded, encoded.problems)

    def predict(self, table: pa.Table) -> pa.Table:
        """Return one row per row of ``table``: every column of the signature's outputs.

        A row that cannot be predicted is null. Raises `headrace.errors.BadData` when the columns do not fit.
        """
        self.preprocessing.check(table.schema)
        names = [output["name"] for output in self.signature["outputs"]]
        step = self.preprocessing.batch_rows
        blocks = [
            pa.table(self.columns(self.outputs(table.slice(start, step)), names))
            for start in range(0, max(table.num_rows, 1), step)
        ]
        return pa.concat_tables(blocks)

    def columns(self, outputs: Outputs, names: Sequence[str]) -> dict[str, pa.Array]:
        """Return the output columns called ``names``, null where a row could not be predicted."""
        bad = outputs.bad()
        if isinstance(self.target, NumberTarget):
            return {name: pa.array(outputs.values, pa.float64(), mask=bad) for name in names}
        best = outputs.values.argmax(axis=1)
        positions = {name: i for i, name in enumerate(class_columns(self.target))}
        columns = {}
        for name in names:
            if name == PREDICTION:
                columns[name] = self.target.array().take(pa.array(best, mask=bad))
            else:
                chosen = best if name == PROBABILITY else positions[name]
                probabilities = outputs.values[np.arange(len(best)), chosen]
                columns[name] = pa.array(probabilities.astype(np.float64), pa.float64(), mask=bad)
        return columns

    def schema(self, names: Sequence[str]) -> pa.Schema:
        """Return the Arrow schema of the output columns called ``names``."""
        types = {output["name"]: output["type"] for output in self.signature["outputs"]}
        return pa.schema([(name, ARROW_TYPES[types[name]]) for name in names])


def class_columns(target: ClassTarget) -> list[str]:
    """Return the name of each class's column of probabilities, in the order of the classes."""
    return [f"probability_{label_text(label)}" for label in target.classes]


def label_text(label: bool | int | str) -> str:
    """Return a class as it is written in names: booleans as in JSON."""
    return str(label).lower() if isinstance(label, bool) else str(label)
