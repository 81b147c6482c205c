"""Evaluate a version on every row of a dataset."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from headrace.errors import BadData
from headrace.specs.jobs import EvaluateSpec
from headrace.specs.task import Done, Task
from headrace_workers.engine.context import Context
from headrace_workers.engine.data.reader import Reader
from headrace_workers.engine.data.target import check_target
from headrace_workers.engine.evaluation import collect
from headrace_workers.engine.package import Package

EVALUATION_FILE = "evaluation.json"


def run(task: Task, context: Context) -> Done:
    """Run one attempt of an evaluate job. Raises `BadData` when the dataset does not fit the model."""
    reader = Reader(context.input("data"), task.columns)
    slices = EvaluateSpec.model_validate(task.spec).slices
    reader.require(slices, "slices")
    context.progress(0.0, "loading the model")
    package = Package.load(context.input("package"))
    predictor = package.predictor
    columns, target = predictor.preprocessing, predictor.target
    columns.check(reader.schema)
    if target.column not in reader.schema.names:
        raise BadData(f"The dataset has no column {target.column!r}, the target that the model predicts.")
    check_target(reader.schema.field(target.column).type, target)

    def batches() -> Iterator[collect.Numbered]:
        for start, batch in reader.batches([*columns.columns, target.column, *slices], columns.batch_rows):
            yield np.arange(start, start + batch.num_rows), batch
            context.progress((start + batch.num_rows) / reader.rows, "evaluating")

    evaluation = collect.evaluate(predictor, batches(), slices=slices, seed=package.manifest.seed)
    if not evaluation["rows"]:
        raise BadData(f"The dataset has no row with a value in {target.column!r} that could be predicted.")
    collect.write(evaluation, context.out / EVALUATION_FILE)
    return Done(result={"metrics": evaluation["metrics"]}, outputs={"evaluation": EVALUATION_FILE})
