"""Predict every row of a dataset into one file: one row per row, in its order, or as its task has it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pyarrow as pa

from headrace.errors import BadData, BadSpec
from headrace.specs.jobs import PredictSpec
from headrace.specs.task import Done, Task
from headrace_workers.engine import sampling
from headrace_workers.engine.context import Context
from headrace_workers.engine.data.output import open_output
from headrace_workers.engine.data.reader import Reader
from headrace_workers.engine.package import Package
from headrace_workers.engine.predictor import Predictor
from headrace_workers.engine.tasks.base import Predictions


def run(task: Task, context: Context) -> Done:
    """Run one attempt of a predict job.

    Raises `BadData` when the dataset does not fit the model or too many rows cannot be predicted, `BadSpec`
    for columns that do not exist.
    """
    spec = PredictSpec.model_validate(task.spec)
    context.progress(0.0, "loading the model")
    predictor = Package.load(context.input("package")).predictor
    if spec.sample is not None:
        return _write(sampling.draw(predictor, spec.sample, spec.columns), spec, context)
    reader = Reader(context.input("data"), task.columns)
    predictor.task.check_input(predictor, reader.schema)
    outputs = _outputs(spec, predictor)
    _check_keep(spec, reader, outputs)
    found = predictor.task.predictions(
        predictor, spec, reader, outputs, lambda fraction: context.progress(fraction, "predicting")
    )
    if found is None:
        found = _row_by_row(predictor, spec, reader, outputs, context)
    return _write(found, spec, context)


def _write(found: Predictions, spec: PredictSpec, context: Context) -> Done:
    rows, file = 0, f"output.{spec.format}"
    with open_output(context.out / file, spec.format, found.schema) as write:
        for batch in found.batches:
            write(batch)
            rows += batch.num_rows
    return Done(result={"rows": rows, "format": spec.format}, outputs={"output": file})


def _row_by_row(
    predictor: Predictor, spec: PredictSpec, reader: Reader, outputs: Sequence[str], context: Context
) -> Predictions:
    columns = predictor.preprocessing
    kept = pa.schema([reader.schema.field(name).remove_metadata() for name in spec.keep])
    schema = pa.schema([*kept, *predictor.schema(outputs)])
    bad = _Bad(reader.rows, spec.max_bad)

    def batches() -> Iterator[pa.RecordBatch]:
        for start, batch in reader.batches([*spec.keep, *columns.columns], columns.batch_rows):
            found = predictor.outputs(batch)
            bad.add(found.problems, start)
            predicted = predictor.columns(found, outputs)
            arrays = [batch.column(name) for name in spec.keep] + [predicted[name] for name in outputs]
            yield pa.RecordBatch.from_arrays(arrays, schema=schema)
            context.progress((start + batch.num_rows) / reader.rows, "predicting")

    return Predictions(schema, batches())


class _Bad:
    """Rows that could not be predicted, as long as they are few enough."""

    def __init__(self, rows: int, fraction: float) -> None:
        self._rows = rows
        self._allowed = fraction * rows
        self._found = 0
        self._first = ""

    def add(self, problems: dict[int, str], start: int) -> None:
        """Count the ``problems`` of a batch whose first row is ``start``. Raises `BadData` for too many."""
        for row, reason in problems.items():
            self._first = self._first or f"row {start + row + 1}, {reason}"
        self._found += len(problems)
        if self._found > self._allowed:
            raise BadData(
                f"{self._found} or more of {self._rows} rows cannot be predicted, more than max_bad allows; "
                f"the first: {self._first}."
            )


def _outputs(spec: PredictSpec, predictor: Predictor) -> list[str]:
    known = [output["name"] for output in predictor.signature["outputs"]]
    if spec.columns is None:
        return predictor.task.default_outputs(predictor.target)
    unknown = [name for name in spec.columns if name not in known]
    if unknown:
        raise BadSpec(
            f"columns: the model has no output {', '.join(map(repr, unknown[:10]))}; "
            f"it has {', '.join(map(repr, known[:50]))}."
        )
    return list(dict.fromkeys(spec.columns))


def _check_keep(spec: PredictSpec, reader: Reader, outputs: list[str]) -> None:
    reader.require(spec.keep, "keep")
    for name in spec.keep:
        if name in outputs or spec.keep.count(name) > 1:
            raise BadSpec(f"keep: the output would have two columns called {name!r}.")
        if reader.types[name] in ("image", "audio") and spec.format != "parquet":
            raise BadSpec(f"keep: column {name!r} holds {reader.types[name]} files, which only parquet can.")
        if reader.types[name] == "sequence" and spec.format == "csv":
            raise BadSpec(f"keep: column {name!r} holds sequences, which the format csv cannot.")
