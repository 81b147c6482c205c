"""Explain what the predictions of a version rest on, on some rows of a dataset."""

from __future__ import annotations

import json
from typing import Any

from headrace.errors import BadSpec
from headrace.specs.jobs import ExplainSpec
from headrace.specs.task import Done, Task
from headrace_workers.engine.context import Context
from headrace_workers.engine.data.reader import Reader
from headrace_workers.engine.explanation import permutation
from headrace_workers.engine.explanation.rows import Drawn, draw
from headrace_workers.engine.package import Package

JSON = dict[str, Any]

EXPLANATION_FILE = "explanation.json"
DRAWN, EXPLAINED = 0.1, 0.9
"""The job's progress when each stage ends."""

MOST_NAMED = 10


def run(task: Task, context: Context) -> Done:
    """Run one attempt of an explain job. Raises `BadData` or `BadSpec` when dataset or spec do not fit."""
    spec = ExplainSpec.model_validate(task.spec)
    reader = Reader(context.input("data"), task.columns)
    context.progress(0.0, "loading the model")
    package = Package.load(context.input("package"))
    columns = package.predictor.preprocessing
    columns.check(reader.schema)
    drawn = draw(
        reader,
        package,
        spec,
        columns.columns[:0],
        with_truth=spec.method == "permutation",
        progress=lambda share: context.progress(share * DRAWN, "drawing rows"),
    )
    explanation = _head(spec, package, drawn) | _permuted(spec, package, drawn, context)
    strongest = explanation.pop("strongest")
    text = json.dumps(explanation, ensure_ascii=False, allow_nan=False)
    (context.out / EXPLANATION_FILE).write_text(text, encoding="utf-8")
    context.progress(1.0, "done")
    return Done(
        result={"rows": len(drawn), "strongest": strongest[:MOST_NAMED]},
        outputs={"explanation": EXPLANATION_FILE},
    )


def _head(spec: ExplainSpec, package: Package, drawn: Drawn) -> JSON:
    target = package.predictor.target
    return {
        "method": spec.method,
        "model": spec.model,
        "dataset": spec.dataset,
        "task": target.task,
        "target": target.column,
        "seed": spec.seed,
        "rows": {"used": len(drawn), "of": drawn.of, "part": spec.part, "bad": drawn.bad},
    }


def _permuted(spec: ExplainSpec, package: Package, drawn: Drawn, context: Context) -> JSON:
    columns = package.predictor.preprocessing.columns
    wanted = columns if spec.features is None else spec.features
    unknown = [name for name in wanted if name not in columns]
    if unknown:
        raise BadSpec(f"features: {unknown[0][:100]!r} is no feature of the model.")
    found = permutation.importance(
        package.predictor,
        drawn,
        [columns.index(name) for name in wanted],
        repeats=spec.repeats,
        seed=spec.seed,
        progress=lambda share: context.progress(
            DRAWN + share * (EXPLAINED - DRAWN), "shuffling one feature after the other"
        ),
    )
    first = next(iter(found["metrics"]))
    strongest = [
        {"feature": entry["feature"], "weight": entry["metrics"][first]["mean"]}
        for entry in found["features"]
    ]
    return {"importance": found, "strongest": strongest}
