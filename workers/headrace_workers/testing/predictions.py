"""What a model must make of raw rows: the same from its package, alone or among others; plain refusals."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from headrace.errors import BadData
from headrace_workers.engine.package import Package
from headrace_workers.engine.predictor import Predictor
from headrace_workers.engine.tasks.classification import PROBABILITY
from headrace_workers.testing.trials import ARROW, TARGET, Trial

Problems = Iterator[str]
PROBED = 40
ALONE = (0, 11, PROBED + 1)
"""Which rows are predicted alone; the last of them is one that the trial does not have."""

BLOCK = 7
TOLERANCE = 1e-4


def problems(trial: Trial, fitted: Predictor, package: Package, output: Path | None) -> Problems:
    """Yield what is wrong with the predictions of a model that was fitted here and one that was loaded.

    ``output`` is what a predict job made of all rows in another process.
    """
    rows = trial.table.select(list(trial.given))
    probe = pa.concat_tables([rows.slice(0, PROBED), _strange(trial)])
    together = package.predict(probe)
    if not fitted.predict(probe).equals(together):
        yield "predicts something else after it was saved and loaded"
    yield from _neighbours(package, probe, together)
    yield from _values(trial, together)
    if output is not None:
        job = pq.read_table(output)
        expected = package.predict(rows).select(job.column_names)
        if not job.equals(expected.cast(job.schema)):
            yield "predicts something else in a job of another process"
    yield from _refusals(trial, package)


def _strange(trial: Trial) -> pa.Table:
    """Return a row without any value, and one with levels, words and numbers that were never seen."""
    strange = {
        "number": 1e30,
        "integer": 10**15,
        "boolean": True,
        "category": "never seen",
        "text": "never seen",
        "image": None,
        "audio": None,
        "timestamp": 0,
        "sequence": [],
    }
    return pa.table(
        {name: pa.array([None, strange[trial.types[name]]], ARROW[trial.types[name]]) for name in trial.given}
    )


def _neighbours(package: Package, probe: pa.Table, together: pa.Table) -> Problems:
    for row in ALONE:
        if not package.predict(probe.slice(row, 1)).equals(together.slice(row, 1)):
            yield f"predicts row {row + 1} otherwise alone than among {len(probe)}"
    blocks = [package.predict(probe.slice(start, BLOCK)) for start in range(0, len(probe), BLOCK)]
    if not pa.concat_tables(blocks).equals(together):
        yield f"predicts rows otherwise in batches of {BLOCK} than of {len(probe)}"
    order = np.arange(len(probe))[::-1]
    if not package.predict(probe.take(order)).take(order).equals(together):
        yield "predicts rows otherwise when they come in another order"


def _values(trial: Trial, predicted: pa.Table) -> Problems:
    # No prediction without an image, a sound or a user.
    partial = {"image", "audio"} & set(trial.types.values()) or trial.task == "recommendation"
    known = PROBED if partial else len(predicted)
    labels = predicted.column(0).slice(0, known)
    if labels.null_count:
        yield f"has no prediction for {labels.null_count} of {known} rows"
        return
    numbers = [name for name in predicted.column_names if pa.types.is_floating(predicted[name].type)]
    if not all(np.isfinite(predicted[name].slice(0, known).to_numpy()).all() for name in numbers):
        yield "predicts numbers that are not finite"
    if trial.task != "classification":
        return
    strangers = set(labels.to_pylist()) - set(trial.table[TARGET].to_pylist())
    if strangers:
        yield f"predicts classes that there are not: {sorted(map(str, strangers))}"
    names = [name for name in predicted.column_names if name.startswith(f"{PROBABILITY}_")]
    probabilities = np.stack([predicted[name].slice(0, known).to_numpy() for name in names], axis=1)
    if not (probabilities >= 0).all():
        yield "gives probabilities that are negative"
    elif np.abs(probabilities.sum(axis=1) - 1).max() > TOLERANCE:
        yield "gives probabilities that do not add up to 1"


def _refusals(trial: Trial, package: Package) -> Problems:
    rows = trial.table.select(list(trial.given)).slice(0, 2)
    name = trial.given[0]
    wrong = pa.array([True, False]) if trial.types[name] != "boolean" else pa.array(["yes", "no"])
    for what, table in (
        ("is missing", rows.drop_columns([name]).append_column("other", pa.array([1, 2]))),
        ("has another type", rows.set_column(0, name, wrong)),
    ):
        try:
            package.predict(table)
        except BadData as error:
            if repr(name) not in error.detail:
                yield f"does not name column {name!r}, which {what}: {error.detail}"
        else:
            yield f"predicts although column {name!r} {what}"
