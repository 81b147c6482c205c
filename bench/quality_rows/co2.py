"""CO₂ in the air over Mauna Loa (Keeling et al., `co2` of statsmodels): means of 526 months from 1958 on.

Five months without any measurement are interpolated.
"""

from __future__ import annotations

import warnings

import numpy as np
from bench.quality_row import Params, Row
from bench.series import MonthlySeries, Values
from bench.series import rows as of
from statsmodels.datasets import co2
from statsmodels.tsa.holtwinters import ExponentialSmoothing


def rows() -> list[Row]:
    """Return the rows of this data set."""
    tried: list[Params] = [
        {},
        {"window": 24},
        {"window": 48},
        {"units": 64},
        {"dropout": 0.3},
        {"learning_rate": 0.003},
        {"early_stopping": 20, "epochs": 200},
        {"calendar": False},
    ]
    return of(_series, _smoothed, "ExponentialSmoothing, trend and season added", tried)


def _smoothed(values: Values, horizon: int) -> Values:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = ExponentialSmoothing(values, trend="add", seasonal="add", seasonal_periods=12)
        ahead: Values = model.fit().forecast(horizon)
    return ahead


def _series() -> MonthlySeries:
    months = co2.load_pandas().data["co2"].resample("MS").mean().interpolate()
    return MonthlySeries("co2", str(months.index[0].date())[:7], np.asarray(months, np.float64))
