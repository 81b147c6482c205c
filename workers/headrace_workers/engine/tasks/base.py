"""The protocol of every task, with what most of them share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, NamedTuple, Protocol, TypeVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from headrace.errors import BadData
from headrace.specs.jobs import PredictSpec, Split
from headrace_workers.engine.algorithms.base import Arrays, Problem, TensorSpec
from headrace_workers.engine.data import folds, preprocessing, split
from headrace_workers.engine.data.preprocessing import Preprocessing
from headrace_workers.engine.data.reader import Reader
from headrace_workers.engine.data.selection import Selection
from headrace_workers.engine.data.split import Parts
from headrace_workers.engine.data.target import Target
from headrace_workers.engine.training.encode import EncodedPart, encode

if TYPE_CHECKING:
    from headrace_workers.engine.predictor import Predictor
    from headrace_workers.engine.training.pipeline import Training
    from headrace_workers.engine.training.rows import Rows

JSON = dict[str, Any]
Values = NDArray[Any]
"""What a learner made of rows, decoded: the rows are the first axis."""

PREDICTION = "prediction"
"""The output column that most tasks have."""


class Goal(NamedTuple):
    """What a learner is to give and to learn from.

    ``outputs`` and ``scale`` are those of `Problem`. ``shape`` and ``dtype`` are one encoded target's; shape
    (0,) where there is none.
    """

    outputs: int
    scale: float = 1.0
    shape: tuple[int, ...] = ()
    dtype: str = "float32"


class Evaluation(Protocol):
    """Takes the rows of an evaluation as they come; keeps no more of them than it bounds."""

    def add(
        self, values: Values, truth: pa.Array | None, numbers: NDArray[np.int64], batch: pa.RecordBatch
    ) -> None:
        """Take the next rows: what was predicted, the target's values where it has a column, row numbers
        from 0, and the rows themselves: features and slices."""

    def report(self) -> JSON:
        """Return the parts of an evaluation, as in ``engine.evaluation``. There was at least one row."""


class Predictions(NamedTuple):
    """A predict job's output where that is not one row per row: its columns, and its rows as they come."""

    schema: pa.Schema
    batches: Iterator[pa.RecordBatch]


T = TypeVar("T", bound=Target)


class Task(ABC, Generic[T]):
    """One task. ``T`` is what it fits.

    ``learns_target``: the target's column is learned, so rows without a value in it are left out. Else a
    target is read in evaluations only, where there is one.
    """

    learns_target: ClassVar[bool] = True
    target_class: type[T]
    preprocessing_class: ClassVar[type[Preprocessing]] = Preprocessing

    # From columns to rows.

    def columns(self, training: Training) -> list[str]:
        """Return the columns that `fit` and `encode` read of every row, without repetitions."""
        target = [training.target] if training.target is not None else []
        return list(dict.fromkeys([*training.features, *target]))

    def divide(self, training: Training) -> Parts:
        """Return the part of each row, a number of `split`. Raises `BadSpec` when one is empty."""
        reader, spec = training.reader, training.spec
        if spec.fold is not None and training.target is not None:
            return folds.divide(reader, spec.fold, spec.split, training.features, training.target)
        return split.divide(reader, spec.split, training.features, training.target)

    def tested(self, reader: Reader, rule: Split, columns: Preprocessing, target: T) -> NDArray[np.bool_]:
        """Return which rows of the dataset that was learned from are the test."""
        learned = target.column if self.learns_target else None
        return np.asarray(split.divide(reader, rule, columns.columns, learned) == split.TEST)

    @abstractmethod
    def fit(self, training: Training) -> tuple[Preprocessing, T]:
        """Return what is fitted on training rows before the learner. Raises `BadSpec` and `BadData`."""

    def encode(
        self, training: Training, part: int, columns: Preprocessing, target: T, file: Path
    ) -> EncodedPart:
        """Return the rows of one part as a learner takes them; ``file`` is for those that memory is not."""
        count = int(np.count_nonzero(training.parts == part))
        goal = self.goal(target)

        def targets(batch: pa.RecordBatch) -> tuple[NDArray[Any], NDArray[np.bool_]]:
            return self.encode_target(target, batch)

        batches = training.batches(part, columns.batch_rows)
        return encode(batches, count, columns, targets, (goal.dtype, goal.shape), file)

    def encode_target(self, target: T, batch: pa.RecordBatch) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """Return the encoded targets of rows, shape (n, *goal.shape), and which a learner can learn from."""
        return np.empty((batch.num_rows, 0), np.float32), np.ones(batch.num_rows, np.bool_)

    @abstractmethod
    def goal(self, target: T) -> Goal:
        """Return what a learner is to give, and to learn from."""

    def problem(
        self, target: T, inputs: dict[str, TensorSpec], *, seed: int, threads: int, deterministic: bool
    ) -> Problem:
        """Return what a learner has to do that is given ``inputs``."""
        goal = self.goal(target)
        return Problem(
            task=target.task,
            inputs=inputs,
            outputs=goal.outputs,
            scale=goal.scale,
            target_shape=goal.shape,
            seed=seed,
            threads=threads,
            deterministic=deterministic,
        )

    def keep(self, old: T, new: T) -> T:
        """Return ``new`` with what ``old``, the target of a base, means by its outputs, where that fits."""
        return new

    def finish(self, training: Training, predictor: Predictor, rows: Rows) -> T:
        """Return the target with what only the learner, which has learned from ``rows``, could tell."""
        found: T = predictor.target
        return found

    # From a learner's values to what a user gets.

    def values(self, predictor: Predictor, inputs: Arrays) -> Values:
        """Return what the learner of ``predictor`` makes of encoded rows, decoded."""
        return self.decode(predictor.target, predictor.learner.predict(inputs))

    def decode(self, target: T, values: Values) -> Values:
        """Return what `Learner.predict` gave in the units of the target."""
        return values

    @abstractmethod
    def outputs(self, target: T) -> list[JSON]:
        """Return every column that can come out, each with ``name`` and ``type``, as in a signature."""

    def default_outputs(self, target: T) -> list[str]:
        """Return the columns of a predict job that asks for none."""
        return [column["name"] for column in self.outputs(target)]

    @abstractmethod
    def arrays(
        self, target: T, values: Values, names: Sequence[str], bad: NDArray[np.bool_]
    ) -> dict[str, pa.Array]:
        """Return the output columns called ``names``, null in rows that are ``bad``."""

    @abstractmethod
    def answers(self, target: T, values: Values) -> list[JSON]:
        """Return the online prediction of each row, as plain finite JSON."""

    def check_input(self, predictor: Predictor, schema: pa.Schema) -> None:
        """Raise `BadData` when a predict job cannot be done on a dataset of ``schema``."""
        predictor.preprocessing.check(schema)

    def predictions(
        self,
        predictor: Predictor,
        spec: PredictSpec,
        reader: Reader,
        names: Sequence[str],
        told: Callable[[float], None],
    ) -> Predictions | None:
        """Return the rows of a predict job, ``spec.keep`` and the output columns ``names``; None: one row per
        row of the dataset.

        ``told`` hears which fraction is done. Raises `BadSpec` and `BadData`.
        """
        return None

    def answer(self, predictor: Predictor, instances: Sequence[JSON]) -> JSON | None:
        """Return the answer to a request, as `online.answer` does; None: each instance is a row."""
        return None

    # How good it is.

    def check(self, target: T, schema: pa.Schema) -> None:
        """Raise `BadData` when a dataset lacks what an evaluation needs besides the features."""
        if self.learns_target and target.column not in schema.names:
            raise BadData(f"The dataset has no column {target.column!r}, the target that the model predicts.")

    def usable(self, target: T, truth: pa.Array) -> NDArray[np.bool_]:
        """Return which rows can be evaluated, by their values of the target."""
        return np.ones(len(truth), np.bool_)

    @abstractmethod
    def evaluation(self, predictor: Predictor, slices: Sequence[str], seed: int) -> Evaluation:
        """Return what takes the rows of an evaluation."""

    def validate(self, training: Training, predictor: Predictor, rows: Selection) -> JSON:
        """Return the evaluation on the validation ``rows`` of ``training``, to compare trainings by."""
        return self.evaluate(predictor, rows, [], training.spec.seed)

    def evaluate(self, predictor: Predictor, rows: Selection, slices: Sequence[str], seed: int) -> JSON:
        """Return the evaluation on ``rows``, as in ``engine.evaluation``."""
        from headrace_workers.engine.evaluation import collect

        return collect.evaluate(predictor, rows, slices=slices, seed=seed)


def fit_rows(training: Training, also: Any = lambda batch: None) -> Preprocessing:
    """Return encoders of the features fitted on training rows, those of the base that is started from, or
    the committee of the versions that are combined.

    Each batch of these rows is also given to ``also``.
    """
    ready = training.base.preprocessing if training.base is not None else training.committee
    if ready is not None:
        for batch in training.batches(split.TRAINING):
            also(batch)
        return ready
    return preprocessing.fit(
        training.batches(split.TRAINING),
        training.features,
        training.reader.types,
        training.encoding(),
        also=also,
    )
