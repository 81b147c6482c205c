"""Train a model, evaluate it on rows that training never saw, and package it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from headrace.errors import BadData, BadSpec
from headrace.specs.jobs import TrainSpec
from headrace.specs.task import Done, Task
from headrace_workers.engine import environment, package
from headrace_workers.engine.algorithms.base import Learner, Problem
from headrace_workers.engine.context import Context
from headrace_workers.engine.data import preprocessing, split
from headrace_workers.engine.data.preprocessing import Preprocessing
from headrace_workers.engine.data.reader import BATCH_ROWS, Reader
from headrace_workers.engine.data.target import ClassTarget, NumberTarget, TargetFitting
from headrace_workers.engine.evaluation import collect
from headrace_workers.engine.predictor import Predictor
from headrace_workers.engine.training import determinism
from headrace_workers.engine.training.encode import EncodedPart, encode
from headrace_workers.engine.training.rows import Rows

PREPARED, FITTED, EVALUATED = 0.1, 0.9, 0.95
"""The job's progress when each stage ends."""

MAX_BAD_ROWS = 0.1
"""The fraction of training and validation rows that may be unusable: images that cannot be read."""

MAX_SIGNATURE_BYTES = 200_000
"""What a job's last message has room for."""

PACKAGE_FILE, EVALUATION_FILE = "package.zip", "evaluation.json"


def run(task: Task, context: Context) -> Done:
    """Run one attempt of a train job.

    Raises `BadSpec` and `BadData` for what only reading the data could show.
    """
    training = _Training(task, context)
    columns, target = training.fit_columns()
    rows, validation = training.encode(columns, target)
    learner = training.learner(columns, target)
    predictor = Predictor(columns, learner, target)
    _check_signature(predictor)
    try:
        learner.fit(rows, validation, _Monitor(context))
    finally:
        for part in (rows, validation):
            if part is not None:
                part.close()
    evaluation = training.evaluate(predictor)
    return training.finish(predictor, evaluation)


class _Training:
    """One attempt: the resolved spec, the open data, and which row is for what."""

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

    def batches(self, part: int, batch_rows: int = BATCH_ROWS) -> Iterator[pa.RecordBatch]:
        for start, batch in self.reader.batches([*self.features, self.spec.target], batch_rows):
            wanted = self.parts[start : start + batch.num_rows] == part
            if wanted.any():
                yield batch if wanted.all() else batch.filter(pa.array(wanted))

    def fit_columns(self) -> tuple[Preprocessing, ClassTarget | NumberTarget]:
        name = self.spec.target
        assert self.spec.task is not None, "the task is resolved when the job is submitted"
        fitting = TargetFitting(name, self.reader.types[name], self.spec.task)
        columns = preprocessing.fit(
            self.batches(split.TRAINING),
            self.features,
            self.reader.types,
            self.learner_class.encoding(self.params),
            also=lambda batch: fitting.add(batch.column(name)),
        )
        return columns, fitting.target()

    def encode(self, columns: Preprocessing, target: ClassTarget | NumberTarget) -> tuple[Rows, Rows | None]:
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

    def learner(self, columns: Preprocessing, target: ClassTarget | NumberTarget) -> Learner:
        return self.learner_class(
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

    def evaluate(self, predictor: Predictor) -> dict[str, Any]:
        self.context.progress(FITTED, "evaluating")
        if not self.rows["test"]:
            return collect.empty(predictor)
        batches = self.batches(split.TEST, predictor.preprocessing.batch_rows)
        return collect.evaluate(predictor, batches)

    def finish(self, predictor: Predictor, evaluation: dict[str, Any]) -> Done:
        self.context.progress(EVALUATED, "packaging")
        target = predictor.target
        manifest = package.Manifest(
            algorithm=self.spec.algorithm,
            code=self.code,
            params=self.params.model_dump(mode="json"),
            task=target.task,
            target=target.column,
            classes=target.classes if isinstance(target, ClassTarget) else None,
            signature=package.Signature.model_validate(predictor.signature),
            seed=self.spec.seed,
            threads=self.threads,
            deterministic=self.spec.deterministic,
            rows=self.rows,
            lineage=self.task.lineage,
            environment=environment.describe(self.threads),
            weights_digest=package.weights_digest(predictor.learner.learned()),
        )
        package.write(self.context.out / PACKAGE_FILE, manifest, predictor)
        (self.context.out / EVALUATION_FILE).write_text(
            json.dumps(evaluation, ensure_ascii=False, allow_nan=False), encoding="utf-8"
        )
        self.context.progress(1.0, "done")
        return Done(
            result={
                "metrics": evaluation["metrics"],
                "task": target.task,
                "signature": predictor.signature,
                "weights_digest": manifest.weights_digest,
                "environment": manifest.environment,
                "rows": self.rows,
            },
            outputs={"package": PACKAGE_FILE, "evaluation": EVALUATION_FILE},
        )


def _check_signature(predictor: Predictor) -> None:
    size = len(json.dumps(predictor.signature))
    if size > MAX_SIGNATURE_BYTES:
        raise BadSpec(
            f"features: the names of {len(predictor.preprocessing.columns)} columns and their classes take "
            f"{size} bytes in the model's signature, the limit is {MAX_SIGNATURE_BYTES}."
        )


class _Monitor:
    """Passes on how the fit goes, its progress as a share of the job's."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def progress(self, fraction: float, message: str = "") -> None:
        self._context.progress(PREPARED + fraction * (FITTED - PREPARED), message)

    def metric(self, name: str, step: int, value: float) -> None:
        self._context.metric(name, step, value)

    def epoch_end(self, learner: Learner) -> None:
        """Keep nothing: an interrupted attempt starts again."""
