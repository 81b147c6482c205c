"""Evaluate a version on every row of a dataset."""

from __future__ import annotations

from headrace.errors import BadData
from headrace.specs.jobs import EvaluateSpec
from headrace.specs.task import Done, Task
from headrace_workers.engine.context import Context
from headrace_workers.engine.data.reader import Reader
from headrace_workers.engine.data.selection import Selection
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
    what, target = predictor.task, predictor.target
    predictor.preprocessing.check(reader.schema)
    what.check(target, reader.schema)
    every = Selection(reader, told=lambda fraction: context.progress(fraction, "evaluating"))
    evaluation = what.evaluate(predictor, every, slices, package.manifest.seed)
    if not evaluation["rows"]:
        where = f" with a value in {target.column!r}" if what.learns_target else ""
        raise BadData(f"The dataset has no row{where} that could be predicted.")
    collect.write(evaluation, context.out / EVALUATION_FILE)
    return Done(result={"metrics": evaluation["metrics"]}, outputs={"evaluation": EVALUATION_FILE})
