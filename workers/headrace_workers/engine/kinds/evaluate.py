"""Evaluate a version on every row of a dataset."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pyarrow as pa

from headrace.errors import BadData
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
    context.progress(0.0, "loading the model")
    predictor = Package.load(context.input("package")).predictor
    columns, target = predictor.preprocessing, predictor.target
    columns.check(reader.schema)
    if target.column not in reader.schema.names:
        raise BadData(f"The dataset has no column {target.column!r}, the target that the model predicts.")
    check_target(reader.schema.field(target.column).type, target)

    def batches() -> Iterator[pa.RecordBatch]:
        for start, batch in reader.batches([*columns.columns, target.column], columns.batch_rows):
            yield batch
            context.progress((start + batch.num_rows) / reader.rows, "evaluating")

    evaluation = collect.evaluate(predictor, batches())
    if not evaluation["rows"]:
        raise BadData(f"The dataset has no row with a value in {target.column!r} that could be predicted.")
    (context.out / EVALUATION_FILE).write_text(
        json.dumps(evaluation, ensure_ascii=False, allow_nan=False), encoding="utf-8"
    )
    return Done(result={"metrics": evaluation["metrics"]}, outputs={"evaluation": EVALUATION_FILE})
