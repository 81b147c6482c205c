"""A trained model at work: raw rows in, what its task gives out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from headrace_workers.engine import tasks
from headrace_workers.engine.algorithms.base import Arrays, Learner
from headrace_workers.engine.data.arrow_types import ARROW_TYPES
from headrace_workers.engine.data.preprocessing import Preprocessing

Column = dict[str, Any]


@dataclass(frozen=True)
class Outputs:
    """What a learner made of a batch, as its task decodes it: the rows are the first axis of ``values``.

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
    """Preprocessing, learner and target of one version. The target's class is that of its task."""

    def __init__(self, preprocessing: Preprocessing, learner: Learner, target: Any) -> None:
        self.preprocessing = preprocessing
        self.learner = learner
        self.target = target
        self.task = tasks.task(target.task)

    @cached_property
    def signature(self) -> dict[str, list[Column]]:
        """The columns that go in and come out, each with name and type."""
        return {"inputs": self.preprocessing.signature, "outputs": self.task.outputs(self.target)}

    def learned(self) -> Arrays:
        """Return everything that was learned, by a name that is the same in every run."""
        return {**self.preprocessing.learned(), **self.learner.learned()}

    def outputs(self, batch: pa.RecordBatch | pa.Table) -> Outputs:
        """Return what the learner makes of ``batch``, whose columns the preprocessing has checked."""
        encoded = self.preprocessing.encode(batch)
        return Outputs(self.task.values(self, encoded.inputs), encoded.problems)

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
        return self.task.arrays(self.target, outputs.values, names, outputs.bad())

    def schema(self, names: Sequence[str]) -> pa.Schema:
        """Return the Arrow schema of the output columns called ``names``."""
        types = {output["name"]: output["type"] for output in self.signature["outputs"]}
        return pa.schema([(name, ARROW_TYPES[types[name]]) for name in names])
