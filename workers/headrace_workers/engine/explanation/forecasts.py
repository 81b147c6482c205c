"""Forecasts whose features are shuffled: between the rows of the dataset, before windows are made of them."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from headrace.errors import BadData
from headrace.specs.jobs import ExplainSpec, Split
from headrace_workers.engine.data.reader import Reader
from headrace_workers.engine.evaluation import forecast
from headrace_workers.engine.forecasting import windows
from headrace_workers.engine.forecasting.windows import Windowing
from headrace_workers.engine.package import Package
from headrace_workers.engine.tasks.forecast import load

METRICS = ("mase", "mae", "rmse", "smape")


class Forecasts:
    """The forecasts of a dataset; of more than ``spec.rows`` evenly spaced ones.

    ``rows`` are those of the dataset. Raises `BadData` where there is no forecast whose end is known.
    """

    def __init__(self, package: Package, reader: Reader, spec: ExplainSpec, features: Sequence[str]) -> None:
        self._predictor = package.predictor
        columns = package.predictor.preprocessing
        assert isinstance(columns, Windowing), "what forecasts are made from"
        self._columns = columns
        self._features = features
        self._table = load(reader, columns.roles.all)
        self.rows = self._table.num_rows
        wanted = None
        if spec.part == "test":
            rule = Split.model_validate(package.manifest.lineage["split"])
            wanted = package.predictor.task.tested(reader, rule, columns, package.predictor.target)
        every = [forecast.origins_of(each, columns, wanted) for each in columns.read(self._table)]
        self.of = sum(map(len, every))
        if not self.of:
            raise BadData(
                f"There is no forecast to explain: no series has {columns.window} steps and, behind them, "
                f"{columns.horizon} whose values are known."
            )
        assert spec.rows is not None, "the number of rows is resolved when the job is submitted"
        left = np.zeros(self.of, np.bool_)
        left[windows.thinned(np.arange(self.of), spec.rows / self.of)] = True
        ends = np.cumsum([len(own) for own in every])[:-1]
        self._origins = [own[kept] for own, kept in zip(every, np.split(left, ends), strict=True)]
        self.used = int(left.sum())

    def measure(self, x: NDArray[np.int32]) -> dict[str, float]:
        """See `permutation.Measured`."""
        table = self._table
        for j, name in enumerate(self._features):
            if (x[:, j] != np.arange(self.rows)).any():
                place = table.schema.get_field_index(name)
                table = table.set_column(place, name, table[name].take(pa.array(x[:, j])))
        found = forecast.measure(self._predictor, self._columns, self._columns.read(table), self._origins)
        return {name: found[name] for name in METRICS if math.isfinite(found[name])}
