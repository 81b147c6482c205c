"""From a task to a model that has learned: what every kind of job shares that trains."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from headrace.errors import BadData, BadSpec
from headrace.specs.jobs import TrainSpec
from headrace.specs.task import Task
from headrace_workers.engine import environment, package
from headrace_workers.engine.algorithms.base import Learner, Problem
from headrace_workers.engine.context import Context
from headrace_workers.engine.data import preprocessing, split
from headrace_workers.engine.data.preprocessing import Preprocessing
from headrace_workers.engine.data.reader import BATCH_ROWS, Reader
from headrace_workers.engine.data.target import ClassTarget, NumberTarget, TargetFitting
from headrace_workers.engine.package import Package
from headrace_workers.engine.predictor import Predictor
from headrace_workers.engine.training import checkpoint, determinism
from headrace_workers.engine.training.checkpoint import Checkpoints, Curve
from headrace_workers.engine.training.encode import EncodedPart, encode
from headrace_workers.engine.training.rows import Rows

PREPARED, FITTED = 0.1, 0.9
"""The job's progress when each stage ends."""

MAX_BAD_ROWS = 0.1
"""The fraction of training and validation rows that may be unusable: images that cannot be read."""

MAX_SIGNATURE_BYTES = 200_000
"""What a job's last message has room for."""


class Training:
    """One attempt: the resolved spec, the open data, which row is for what, and the environment.

    Raises `BadSpec` and `BadData`, here and in `learn`, for what only reading the data could show.
    """

    def __init__(self, task: Task, context: Context) -> None:
        assert task.code is not None, "a train task names the learner's code"
        context.progress(0.0, "reading")
        self.task = task
        self.context = context
        self.code = task.code
        self.spec = TrainSpec.model_validate(task.spec)
        self.learner_class = package.learner_class(self.code)
        self.params = self.learner_class.params_class.model_validate(self.spec.params)
        self.threads = determinism.threads(self.spec.threads, deterministic=self.spec.deterministic)
        self.reader = Reader(context.input("data"), task.columns)
        self.features = list(self.spec.features or [])
        self.reader.require(self.features, "features")
        self.reader.require([self.spec.target], "target")
        self.parts = split.divide(self.reader, self.spec.split, self.features, self.spec.target)
        self.rows = split.counts(self.parts)
        self.base: Predictor | None = None
        self.environment = environment.describe(self.threads, self.learner_class)

    def learn(self) -> Predictor:
        """Fit columns, target and learner, going on from a checkpoint where there is one.

        With a base, its columns are kept, and its target where that knows all classes of the training rows.
        """
        if self.spec.base is not None:
            self.base = Package.load(self.context.input("base"), threads=self.threads).predictor
        columns, target = self._fit_columns()
        rows, validation = self._encode(columns, target)
        circumstances = self._circumstances()
        files = [self.context.scratch / path for path in self.task.checkpoints]
        learner, curve = checkpoint.resume(files, circumstances, lambda: self._learner(columns, target))
        predictor = Predictor(columns, learner, target)
        _check_signature(predictor)
        checkpoints = Checkpoints(self.context, circumstances, self.task.checkpoint_s)
        try:
            learner.fit(rows, validation, _Monitor(self.context, checkpoints, curve))
        finally:
            for part in (rows, validation):
                if part is not None:
                    part.close()
        return predictor

    def batches(
        self, part: int, batch_rows: int = BATCH_ROWS, columns: Sequence[str] | None = None
    ) -> Iterator[pa.RecordBatch]:
        """Yield ``columns`` (features and target) of the rows of one part, a number of `split`."""
        wanted_columns = [*self.features, self.spec.target] if columns is None else list(columns)
        for start, batch in self.reader.batches(wanted_columns, batch_rows):
            wanted = self.parts[start : start + batch.num_rows] == part
            if wanted.any():
                yield batch if wanted.all() else batch.filter(pa.array(wanted))

    def _fit_columns(self) -> tuple[Preprocessing, ClassTarget | NumberTarget]:
        name = self.spec.target
        assert self.spec.task is not None, "the task is resolved when the job is submitted"
        fitting = TargetFitting(name, self.reader.types[name], self.spec.task)
        if self.base is not None:
            for batch in self.batches(split.TRAINING, columns=[name]):
                fitting.add(batch.column(name))
            return self.base.preprocessing, _base_target(self.base.target, fitting.target())
        columns = preprocessing.fit(
            self.batches(split.TRAINING),
            self.features,
            self.reader.types,
            self.learner_class.encoding(self.params),
            also=lambda batch: fitting.add(batch.column(name)),
        )
        return columns, fitting.target()

    def _encode(self, columns: Preprocessing, target: ClassTarget | NumberTarget) -> tuple[Rows, Rows | None]:
        training = self._encode_part(split.TRAINING, columns, target)
        validation = self._encode_part(split.VALIDATION, columns, target)
        bad = training.bad + validation.bad
        rows = self.rows["train"] + self.rows["validation"]
        if bad > MAX_BAD_ROWS * rows or not training.rows.count:
            reason = training.problem or validation.problem
            raise BadData(f"{bad} of {rows} training and validation rows cannot be used: {reason}.")
        self.rows |= {"train": training.rows.count, "validation": validation.rows.count, "bad": bad}
        self.context.progress(PREPARED, "fitting")
        return training.rows, validation.rows if validation.rows.count else None

    def _encode_part(
        self, part: int, columns: Preprocessing, target: ClassTarget | NumberTarget
    ) -> EncodedPart:
        batches = self.batches(part, columns.batch_rows)
        file = self.context.scratch / f"{split.NAMES[part]}.rows"
        return encode(batches, int(np.count_nonzero(self.parts == part)), columns, target, file)

    def _learner(self, columns: Preprocessing, target: ClassTarget | NumberTarget) -> Learner:
        learner = self.learner_class(
            self.params,
            Problem(
                task=target.task,
                inputs=columns.inputs,
                outputs=target.outputs,
                scale=target.scale,
                seed=self.spec.seed,
                threads=self.threads,
                deterministic=self.spec.deterministic,
            ),
        )
        if self.base is not None:
            learner.start_from(self.base.learner)
        return learner

    def _circumstances(self) -> dict[str, Any]:
        """Return what a checkpoint must have been made under to be of use here."""
        columns = [column.model_dump() for column in self.task.columns]
        found = {
            "spec": self.task.spec,
            "dataset": {"lineage": self.task.lineage, "columns": columns, "rows": self.rows},
        }
        return found | ({"environment": self.environment} if self.spec.deterministic else {})


def _base_target(
    old: ClassTarget | NumberTarget, new: ClassTarget | NumberTarget
) -> ClassTarget | NumberTarget:
    """Return ``new`` with the classes or the scale of ``old``, so that outputs go on to mean the same."""
    if isinstance(old, NumberTarget) and isinstance(new, NumberTarget):
        return new.model_copy(update={"mean": old.mean, "scale": old.scale})
    if isinstance(old, ClassTarget) and isinstance(new, ClassTarget) and old.type == new.type:
        counts = dict(zip(new.classes, new.counts, strict=True))
        if counts.keys() <= set(old.classes):
            kept = [counts.get(each, 0) for each in old.classes]
            return new.model_copy(update={"classes": old.classes, "counts": kept})
    return new


def _check_signature(predictor: Predictor) -> None:
    size = len(json.dumps(predictor.signature))
    if size > MAX_SIGNATURE_BYTES:
        raise BadSpec(
            f"features: the names of {len(predictor.preprocessing.columns)} columns and their classes take "
            f"{size} bytes in the model's signature, the limit is {MAX_SIGNATURE_BYTES}."
        )


class _Monitor:
    """Passes on how the fit goes, its progress as a share of the job's, and keeps the curve for checkpoints.

    An attempt that goes on from a checkpoint reports the ``curve`` up to there again: a job's curves are
    those of its last attempt.
    """

    def __init__(self, context: Context, checkpoints: Checkpoints, curve: Curve) -> None:
        self._context = context
        self._checkpoints = checkpoints
        self._curve: Curve = []
        for point in curve:
            self.metric(*point)

    def progress(self, fraction: float, message: str = "") -> None:
        self._context.progress(PREPARED + fraction * (FITTED - PREPARED), message)

    def metric(self, name: str, step: int, value: float) -> None:
        self._context.metric(name, step, value)
        if math.isfinite(value):
            self._curve.append((name, int(step), float(value)))

    def cut(self, learner: Learner, position: str) -> None:
        self._checkpoints.offer(learner, self._curve, position)
