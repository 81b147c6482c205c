"""The target column as numbers and back. Plain data, fitted on training rows, kept as JSON."""

from __future__ import annotations

from collections import Counter
from typing import Any, ClassVar, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from headrace.errors import BadData, BadSpec
from headrace.specs.base import ColumnType, TaskType
from headrace_workers.engine.data.arrow_types import ARROW_TYPES
from headrace_workers.engine.data.encoders import Moments, to_floats

MAX_CLASSES = 1000
UNKNOWN = -1

Label = bool | int | str


class Target(BaseModel):
    """What a task has fitted on training rows; fields that JSON can hold.

    ``column`` and ``type`` are those of the target; None where the task has none.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, strict=True)

    task: TaskType
    column: str | None
    type: ColumnType | None


class _Column(Target):
    column: str
    type: ColumnType


class ClassTarget(_Column):
    """Classes in sorted order; ``counts`` are those of the training rows."""

    task: Literal["classification"] = "classification"
    classes: list[bool] | list[int] | list[str]
    counts: list[int]

    dtype: ClassVar[str] = "int32"
    scale: ClassVar[float] = 1.0

    @property
    def outputs(self) -> int:
        """How many outputs a learner has."""
        return len(self.classes)

    def array(self) -> pa.Array:
        """Return the classes as they stand in data."""
        return pa.array(self.classes, ARROW_TYPES[self.type])

    def encode(self, values: pa.Array) -> NDArray[np.int32]:
        """Return the number of each value's class, -1 for a class that was not among the training rows."""
        found = pc.index_in(pc.cast(values, ARROW_TYPES[self.type]), self.array())
        numbers = pc.fill_null(found, UNKNOWN).to_numpy(zero_copy_only=False)
        return np.asarray(numbers, np.int32)

    def known(self, encoded: NDArray[Any]) -> NDArray[np.bool_]:
        """Return which encoded values a learner can learn from."""
        return np.asarray(encoded != UNKNOWN)


class NumberTarget(_Column):
    """A standardised number."""

    task: Literal["regression"] = "regression"
    mean: float
    scale: float

    dtype: ClassVar[str] = "float32"
    outputs: ClassVar[int] = 1

    def encode(self, values: pa.Array) -> NDArray[np.float32]:
        """Return each value in standard deviations from the mean, NaN where missing."""
        return ((to_floats(values) - self.mean) / self.scale).astype(np.float32)

    def decode(self, values: NDArray[Any]) -> NDArray[np.float64]:
        """Return encoded values in the target's own units."""
        return values.astype(np.float64) * self.scale + self.mean

    def known(self, encoded: NDArray[Any]) -> NDArray[np.bool_]:
        """Return which encoded values a learner can learn from."""
        return np.asarray(np.isfinite(encoded))


class TargetFitting:
    """The target's training values, as far as they were seen."""

    def __init__(self, column: str, type: ColumnType, task: TaskType) -> None:
        self._column = column
        self._type = type
        self._task = task
        self._counts: Counter[Label] = Counter()
        self._moments = Moments()

    def add(self, values: pa.Array) -> None:
        """Take note of more values, none of them missing. Raises `BadSpec` for too many classes."""
        if self._task == "regression":
            self._moments.add(to_floats(values))
            return
        for entry in pc.value_counts(values).to_pylist():
            self._counts[entry["values"]] += entry["counts"]
        if len(self._counts) > MAX_CLASSES:
            raise BadSpec(
                f"target: column {self._column!r} has more than {MAX_CLASSES:,} classes; "
                "a number can be learned with task: regression."
            )

    def target(self) -> ClassTarget | NumberTarget:
        """Return the fitted target. Raises `BadSpec` when there is nothing to tell apart."""
        if self._task == "regression":
            mean, scale = self._moments.mean_and_scale(self._column)
            return NumberTarget(column=self._column, type=self._type, mean=mean, scale=scale)
        classes: list[Any] = sorted(self._counts)
        if len(classes) < 2:
            raise BadSpec(
                f"target: every training row has {classes[0]!r} in column {self._column!r}; "
                "a classifier needs two classes at least."
            )
        counts = [self._counts[label] for label in classes]
        return ClassTarget(column=self._column, type=self._type, classes=classes, counts=counts)


def check_target(values: pa.DataType, target: ClassTarget | NumberTarget) -> None:
    """Raise `BadData` when a column of type ``values`` cannot hold ``target``."""
    numeric = pa.types.is_integer(values) or pa.types.is_floating(values)
    fits = {
        "boolean": pa.types.is_boolean(values),
        "integer": pa.types.is_integer(values) or (numeric and target.task == "regression"),
        "number": numeric,
    }.get(target.type, pa.types.is_string(values) or pa.types.is_large_string(values))
    if not fits:
        raise BadData(f"Column {target.column!r} holds {values}, the model's target is {target.type}.")
