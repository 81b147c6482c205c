"""From a task to a model that has learned: what every kind of job shares that trains."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import pyarrow as pa

from headrace.errors import BadData, BadSpec
from headrace.specs.jobs import TrainSpec
from headrace.specs.task import Task
from headrace_workers.engine import environment, package, tasks
from headrace_workers.engine.algorithms.base import Encoding, Learner
from headrace_workers.engine.backbones import package as backbones
from headrace_workers.engine.committee import Committee
from headrace_workers.engine.context import Context
from headrace_workers.engine.data import split
from headrace_workers.engine.data.preprocessing import Preprocessing
from headrace_workers.engine.data.reader import BATCH_ROWS, Reader
from headrace_workers.engine.data.target import ClassTarget, Target
from headrace_workers.engine.out_of_fold import OutOfFold
from headrace_workers.engine.package import Package
from headrace_workers.engine.predictor import Predictor
from headrace_workers.engine.training import checkpoint, determinism
from headrace_workers.engine.training.checkpoint import Checkpoints, Curve
from headrace_workers.engine.training.encode import EncodedPart
from headrace_workers.engine.training.rows import Rows

PREPARED, FITTED = 0.1, 0.9
"""The job's progress when each stage ends."""

MAX_BAD_ROWS = 0.1
"""The fraction of training and validation rows that may be unusable: images that cannot be read."""

BACKBONE = "backbone"
"""The input that is the package of an uploaded network."""

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
        assert self.spec.task is not None, "the task is resolved when the job is submitted"
        self.what = tasks.task(self.spec.task)
        self.learner_class = package.learner_class(self.code)
        self.params = self.learner_class.params_class.model_validate(self.spec.params)
        self.threads = determinism.threads(self.spec.threads, deterministic=self.spec.deterministic)
        self.reader = Reader(context.input("data"), task.columns)
        self.features = list(self.spec.features or [])
        self.reader.require(self.features, "features")
        if self.spec.target is not None:
            self.reader.require([self.spec.target], "target")
        self.base: Predictor | None = None
        self.backbone: Any = None
        self.committee: Committee | None = None
        self.out_of_fold: OutOfFold | None = None
        self.parts = self.what.divide(self)
        self.rows = split.counts(self.parts)
        self.environment = environment.describe(self.threads, self.learner_class)

    @property
    def target(self) -> str | None:
        """The column that is learned; None where the task learns none."""
        return self.spec.target if self.what.learns_target else None

    def learn(self) -> Predictor:
        """Fit columns, target and learner, going on from a checkpoint where there is one.

        With a base, its columns are kept, and of its target what fits the training rows; with a backbone, its
        images' size.
        """
        if BACKBONE in self.task.inputs:
            determinism.configure(self.threads, deterministic=self.spec.deterministic)
            self.backbone = backbones.load(self.context.input(BACKBONE))
        elif self.spec.base is not None:
            self.base = Package.load(self.context.input("base"), threads=self.threads).predictor
        self.committee = self._committee()
        if self.committee is not None:
            inputs = {name: self.context.input(name) for name in self.task.inputs}
            self.out_of_fold = OutOfFold.of(self.committee, inputs)
        columns, target = self.what.fit(self)
        if self.base is not None:
            target = self.what.keep(self.base.target, target)
        if self.committee is not None:
            target = _of_members(self.what.keep(self.committee.target, target), self.committee)
        rows, validation = self._encode(columns, target)
        circumstances = self._circumstances()
        files = [self.context.scratch / path for path in self.task.checkpoints]
        learner, curve = checkpoint.resume(files, circumstances, lambda: self._learner(columns, target))
        predictor = Predictor(columns, learner, target)
        _check_signature(predictor)
        checkpoints = Checkpoints(self.context, circumstances, self.task.checkpoint_s)
        try:
            learner.fit(rows, validation, _Monitor(self.context, checkpoints, curve))
            whole = Predictor(columns, learner, self.what.finish(self, predictor, rows))
            _check_signature(whole)
        finally:
            for part in (rows, validation):
                if part is not None:
                    part.close()
        return whole

    def batches(
        self, part: int, batch_rows: int = BATCH_ROWS, columns: Sequence[str] | None = None
    ) -> Iterator[pa.RecordBatch]:
        """Yield ``columns`` (all that the task needs) of the rows of one part, a number of `split`."""
        if not (self.parts == part).any():
            return
        wanted_columns = self.what.columns(self) if columns is None else list(columns)
        for start, batch in self.reader.batches(wanted_columns, batch_rows):
            wanted = self.parts[start : start + batch.num_rows] == part
            if wanted.any():
                yield batch if wanted.all() else batch.filter(pa.array(wanted))

    def encoding(self) -> Encoding:
        """Return how columns are to be encoded: as the algorithm wants it, and as a backbone takes them."""
        encoding = self.learner_class.encoding(self.params)
        if self.backbone is None or "image" not in self.backbone.input:
            return encoding
        _, height, width, channels = self.backbone.input["image"].shape
        size = (height, width) if height and width else encoding.image_size
        return replace(encoding, image_size=size, channels=channels or encoding.channels)

    def _committee(self) -> Committee | None:
        names = sorted((name for name in self.task.inputs if name.startswith("member_")), key=_number)
        if not names:
            return None
        files = [self.context.input(name) for name in names]
        return Committee.of([Package.load(file, threads=self.threads).predictor for file in files], files)

    def _encode(self, columns: Preprocessing, target: Target) -> tuple[Rows, Rows | None]:
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

    def _encode_part(self, part: int, columns: Preprocessing, target: Target) -> EncodedPart:
        file = self.context.scratch / f"{split.NAMES[part]}.rows"
        if part == split.TRAINING and self.params.folds_of_members() is not None:
            assert self.out_of_fold is not None, "a training that combines so is given what was held out"
            return self.out_of_fold.encode(self, target, file)
        return self.what.encode(self, part, columns, target, file)

    def _learner(self, columns: Preprocessing, target: Target) -> Learner:
        problem = self.what.problem(
            target,
            columns.inputs,
            seed=self.spec.seed,
            threads=self.threads,
            deterministic=self.spec.deterministic,
        )
        learner = self.learner_class(self.params, problem)
        if self.backbone is not None:
            learner.adopt(self.backbone)
        elif self.base is not None:
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


def _number(name: str) -> int:
    return int(name.rpartition("_")[2])


def _of_members(target: Target, committee: Committee) -> Target:
    """Return ``target``. Raises `BadSpec` where rows have classes that the members do not know."""
    known = committee.target
    if isinstance(target, ClassTarget) and isinstance(known, ClassTarget) and target.classes != known.classes:
        unknown = [str(label) for label in target.classes if label not in known.classes]
        raise BadSpec(
            f"params.models: no member knows the classes {', '.join(unknown[:10])}, which training rows have."
        )
    return target


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
