"""Explain what the predictions of a version rest on, on some rows of a dataset."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from headrace.errors import BadSpec
from headrace.specs.jobs import DEPENDABLE, DEPENDENT, ExplainSpec
from headrace.specs.task import Done, Task
from headrace_workers.engine.context import Context
from headrace_workers.engine.data.pairs import Pairs
from headrace_workers.engine.data.reader import Reader
from headrace_workers.engine.evaluation import collect
from headrace_workers.engine.explanation import attributions, changed, dependence, permutation
from headrace_workers.engine.explanation.forecasts import Forecasts
from headrace_workers.engine.explanation.rows import Drawn, draw
from headrace_workers.engine.forecasting.windows import Windowing
from headrace_workers.engine.package import Package

JSON = dict[str, Any]

EXPLANATION_FILE = "explanation.json"
DRAWN, EXPLAINED = 0.1, 0.8
"""The job's progress when each stage ends."""

MOST_NAMED = 10
MOST_DEPENDENCES = 3
"""So many features have a partial dependence where the spec does not say which."""


def run(task: Task, context: Context) -> Done:
    """Run one attempt of an explain job. Raises `BadData` or `BadSpec` when dataset or spec do not fit."""
    spec = ExplainSpec.model_validate(task.spec)
    reader = Reader(context.input("data"), task.columns)
    context.progress(0.0, "loading the model")
    package = Package.load(context.input("package"))
    columns = package.predictor.preprocessing
    columns.check(reader.schema)
    for field, names in (("features", spec.features), ("partial_dependence", spec.partial_dependence)):
        if unknown := [name for name in names or [] if name not in columns.columns]:
            raise BadSpec(f"{field}: {unknown[0][:100]!r} is no feature of the model.")
    if isinstance(columns, Windowing):
        explanation, strongest = _of_forecasts(spec, package, reader, context)
    else:
        explanation, strongest = _of_rows(spec, package, reader, context)
    collect.write(collect.finite(explanation), context.out / EXPLANATION_FILE)
    context.progress(1.0, "done")
    return Done(
        result={"rows": explanation["rows"]["used"], "strongest": collect.finite(strongest[:MOST_NAMED])},
        outputs={"explanation": EXPLANATION_FILE},
    )


def _of_forecasts(
    spec: ExplainSpec, package: Package, reader: Reader, context: Context
) -> tuple[JSON, list[JSON]]:
    context.progress(0.0, "making windows")
    features = _shuffled(spec, package)
    found = Forecasts(package, reader, spec, [feature["name"] for feature in features])
    importance, strongest = _permuted(spec, found, features, context)
    head = _head(spec, package, {"used": found.used, "of": found.of, "part": spec.part, "bad": 0})
    return head | importance | {"partial_dependence": []}, strongest


def _of_rows(
    spec: ExplainSpec, package: Package, reader: Reader, context: Context
) -> tuple[JSON, list[JSON]]:
    permutes = spec.method == "permutation"
    columns = package.predictor.preprocessing
    types = {column["name"]: column["type"] for column in columns.signature}
    told = DEPENDABLE if permutes else (*DEPENDABLE, "timestamp", "text")
    if changed.encodes_again(columns):
        told = tuple(types.values())
    drawn = draw(
        reader,
        package,
        spec,
        [name for name, type in types.items() if type in told],
        with_truth=permutes,
        progress=lambda share: context.progress(share * DRAWN, "drawing rows"),
    )
    if permutes:
        features = _shuffled(spec, package)
        places = [columns.columns.index(feature["name"]) for feature in features]
        rows = permutation.Rows(package.predictor, drawn, places)
        found, strongest = _permuted(spec, rows, features, context)
    else:
        found, strongest = _attributed(spec, package, drawn, context)
    head = _head(spec, package, {"used": len(drawn), "of": drawn.of, "part": spec.part, "bad": drawn.bad})
    dependences = _dependences(spec, package, drawn, context, strongest)
    return head | found | {"partial_dependence": dependences}, strongest


def _head(spec: ExplainSpec, package: Package, rows: JSON) -> JSON:
    target = package.predictor.target
    return {
        "method": spec.method,
        "model": spec.model,
        "dataset": spec.dataset,
        "task": target.task,
        "target": target.column,
        "seed": spec.seed,
        "rows": rows,
    }


def _shuffled(spec: ExplainSpec, package: Package) -> list[JSON]:
    """Return the columns of the signature that are to be shuffled."""
    columns = package.predictor.preprocessing
    wanted = columns.columns if spec.features is None else spec.features
    by_name = {column["name"]: column for column in columns.signature}
    return [by_name[name] for name in wanted]


def _permuted(
    spec: ExplainSpec, measured: permutation.Measured, features: list[JSON], context: Context
) -> tuple[JSON, list[JSON]]:
    found = permutation.importance(
        measured,
        features,
        repeats=spec.repeats,
        seed=spec.seed,
        progress=_stage(context, DRAWN, EXPLAINED, "shuffling one feature after the other"),
    )
    first = next(iter(found["metrics"]))
    strongest = [
        {"feature": entry["feature"], "weight": entry["metrics"][first]["mean"]}
        for entry in found["features"]
    ]
    return {"importance": found}, strongest


def _attributed(
    spec: ExplainSpec, package: Package, drawn: Drawn, context: Context
) -> tuple[JSON, list[JSON]]:
    found, strongest = attributions.attribute(
        package.predictor,
        drawn,
        label=spec.label,
        steps=spec.steps,
        examples=spec.examples,
        progress=_stage(context, DRAWN, EXPLAINED, "following gradients"),
    )
    return {"attributions": found}, strongest


def _dependences(
    spec: ExplainSpec, package: Package, drawn: Drawn, context: Context, strongest: list[JSON]
) -> list[JSON]:
    columns = package.predictor.preprocessing
    ids = {columns.user.column, columns.item.column} if isinstance(columns, Pairs) else set()
    able = {each["name"] for each in columns.signature if each["type"] in DEPENDABLE} - ids
    if package.predictor.target.task not in DEPENDENT:
        able = set()
    wanted = spec.partial_dependence
    if wanted is None:
        wanted = [each["feature"] for each in strongest if each["feature"] in able][:MOST_DEPENDENCES]
    step = (1.0 - EXPLAINED) / max(len(wanted), 1)
    return [
        dependence.dependence(
            package.predictor,
            drawn,
            name,
            steps=spec.grid,
            ice=spec.ice,
            progress=_stage(
                context, EXPLAINED + i * step, EXPLAINED + (i + 1) * step, "going through values"
            ),
        )
        for i, name in enumerate(wanted)
    ]


def _stage(context: Context, start: float, stop: float, message: str) -> Callable[[float], None]:
    return lambda share: context.progress(start + share * (stop - start), message)
