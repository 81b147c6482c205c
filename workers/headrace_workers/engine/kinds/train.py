"""Train a model, evaluate it on rows that training never saw, and package it."""

from __future__ import annotations

from typing import Any

from headrace.specs.task import Done, Task
from headrace_workers.engine import out_of_fold, package
from headrace_workers.engine.context import Context
from headrace_workers.engine.data import split
from headrace_workers.engine.data.findings import Findings
from headrace_workers.engine.data.selection import Selection
from headrace_workers.engine.data.target import ClassTarget
from headrace_workers.engine.evaluation import collect
from headrace_workers.engine.predictor import Predictor
from headrace_workers.engine.training.pipeline import FITTED, Training

EVALUATED = 0.95
"""The job's progress when the evaluation ends."""

PACKAGE_FILE, EVALUATION_FILE, HELD_OUT_FILE = "package.zip", "evaluation.json", "held_out.parquet"


def run(task: Task, context: Context) -> Done:
    """Run one attempt of a train job.

    Raises `BadSpec` and `BadData` for what only reading the data could show.
    """
    training = Training(task, context)
    findings = _examine(training)
    warnings = findings.warnings()
    for warning in warnings:
        print("warning: column {column!r}: {message}".format_map(warning), flush=True)
    predictor = training.learn()
    context.progress(FITTED, "evaluating")
    validation = _validate(training, predictor) if task.validation else {}
    evaluation = _evaluate(training, predictor)
    evaluation |= {"columns": findings.report(predictor.preprocessing), "warnings": warnings}
    return _finish(training, predictor, evaluation, validation, context)


def _examine(training: Training) -> Findings:
    spec = training.spec
    assert spec.task is not None, "the task is resolved when the job is submitted"
    findings = Findings(training.features, training.target, spec.task, training.reader.types)
    if findings.columns:
        findings.examine(training.batches(split.TRAINING, columns=findings.columns))
    return findings


def _validate(training: Training, predictor: Predictor) -> dict[str, Any]:
    """Return the metrics on validation rows, by which this training is compared with others."""
    held_out = training.parts == split.VALIDATION
    if not held_out.any():
        return {}
    found = training.what.validate(training, predictor, Selection(training.reader, held_out))
    return {"validation": found["metrics"]}


def _evaluate(training: Training, predictor: Predictor) -> dict[str, Any]:
    if not training.rows["test"]:
        return collect.empty(predictor)
    slices = training.spec.slices
    training.reader.require(slices, "slices")
    tested = Selection(training.reader, training.parts == split.TEST)
    return training.what.evaluate(predictor, tested, slices, training.spec.seed)


def _finish(
    training: Training,
    predictor: Predictor,
    evaluation: dict[str, Any],
    validation: dict[str, Any],
    context: Context,
) -> Done:
    context.progress(EVALUATED, "packaging")
    spec, target = training.spec, predictor.target
    manifest = package.Manifest(
        algorithm=spec.algorithm,
        code=training.code,
        params=training.params.model_dump(mode="json"),
        task=target.task,
        target=target.column,
        classes=target.classes if isinstance(target, ClassTarget) else None,
        signature=package.Signature.model_validate(predictor.signature),
        seed=spec.seed,
        threads=training.threads,
        deterministic=spec.deterministic,
        rows=training.rows,
        lineage=training.task.lineage,
        environment=training.environment,
        weights_digest=package.weights_digest(predictor.learned()),
    )
    if training.task.held_out:
        made = {"held_out": HELD_OUT_FILE}
        out_of_fold.write(training, predictor, context.out / HELD_OUT_FILE)
    else:
        made = {"package": PACKAGE_FILE}
        package.write(context.out / PACKAGE_FILE, manifest, predictor)
    collect.write(evaluation, context.out / EVALUATION_FILE)
    context.progress(1.0, "done")
    return Done(
        result={
            "metrics": evaluation["metrics"],
            **validation,
            **_smallest_class(predictor),
            "warnings": evaluation["warnings"],
            "task": target.task,
            "signature": predictor.signature,
            "weights_digest": manifest.weights_digest,
            "environment": manifest.environment,
            "rows": training.rows,
        },
        outputs={**made, "evaluation": EVALUATION_FILE},
    )


def _smallest_class(predictor: Predictor) -> dict[str, Any]:
    """Return how many training rows the smallest class has: in no more folds they can be divided."""
    target = predictor.target
    return (
        {"smallest_class": min(count for count in target.counts if count)}
        if isinstance(target, ClassTarget)
        else {}
    )
