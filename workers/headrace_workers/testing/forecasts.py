"""What forecasts must be: the same from a package, alone or among others, in order, and refused in words."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq

from headrace.errors import BadData
from headrace_workers.engine.package import Package
from headrace_workers.engine.predictor import Predictor
from headrace_workers.engine.tasks.forecast import ahead
from headrace_workers.testing.trials import TARGET, Trial

Problems = Iterator[str]


def problems(trial: Trial, fitted: Predictor, package: Package, output: Path | None) -> Problems:
    """Yield what is wrong with the forecasts of a model that was fitted here and one that was loaded.

    ``output`` is what a predict job made of all series in another process.
    """
    loaded = package.predictor
    series = loaded.preprocessing.read(trial.table)  # type: ignore[attr-defined]
    times, values = ahead(loaded, series)
    if not np.array_equal(ahead(fitted, series)[1], values):
        yield "forecasts something else after it was saved and loaded"
    if not np.isfinite(values).all():
        yield "forecasts what is not finite"
        return
    if not (np.diff(values, axis=2) >= 0).all():
        yield "gives intervals that the forecast is not in"
    for place, each in enumerate(series):
        if not np.array_equal(ahead(loaded, [each])[1][0], values[place]):
            yield f"forecasts series {place + 1} otherwise alone than among {len(series)}"
    if output is not None:
        job = pq.read_table(output)
        found = np.stack([job[name].to_numpy() for name in ("lower", "prediction", "upper")], axis=1)
        if not np.array_equal(found, values.reshape(-1, 3)):
            yield "forecasts something else in a job of another process"
        micros = pc.cast(job[trial.params["time"]], "int64").to_numpy()
        if not np.array_equal(micros, times.ravel()):
            yield "forecasts other times in a job of another process"
    for name in trial.table.column_names:
        try:
            loaded.preprocessing.check(trial.table.drop_columns([name]).schema)
        except BadData as error:
            if repr(name) not in error.detail:
                yield f"does not name column {name!r}, which is missing: {error.detail}"
        else:
            what = "the target" if name == TARGET else f"column {name!r}"
            yield f"forecasts although {what} is missing"
