"""What the tasks share whose target is one column: it is fitted and encoded beside the features."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from headrace_workers.engine.data.preprocessing import Preprocessing
from headrace_workers.engine.data.target import ClassTarget, NumberTarget, TargetFitting, check_target
from headrace_workers.engine.tasks.base import Task, fit_rows

if TYPE_CHECKING:
    from headrace_workers.engine.training.pipeline import Training

T = TypeVar("T", bound=ClassTarget | NumberTarget)


class LabelledTask(Task[T]):
    """A task of one target per row."""

    def fit(self, training: Training) -> tuple[Preprocessing, T]:
        """See `Task.fit`."""
        name, task = training.target, training.spec.task
        assert name is not None, "a submission without target is refused"
        assert task is not None, "the task is resolved when the job is submitted"
        fitting = TargetFitting(name, training.reader.types[name], task)
        columns = fit_rows(training, also=lambda batch: fitting.add(batch.column(name)))
        target = fitting.target()
        assert isinstance(target, self.target_class), "fitted for this very task"
        return columns, target

    def encode_target(self, target: T, batch: pa.RecordBatch) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """See `Task.encode_target`."""
        encoded = target.encode(batch.column(target.column))
        return encoded, target.known(encoded)

    def check(self, target: T, schema: pa.Schema) -> None:
        """See `Task.check`."""
        super().check(target, schema)
        check_target(schema.field(target.column).type, target)
