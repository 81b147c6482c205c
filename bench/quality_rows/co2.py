"""CO₂ in the air over Mauna Loa (Keeling et al., `co2` of statsmodels): means of 526 months from 1958 on.

Five months without any measurement are interpolated.
"""

from __future__ import annotations

import numpy as np
from bench.quality_row import Row
from bench.series import MonthlySeries
from bench.series import rows as of
from statsmodels.datasets import co2


def rows() -> list[Row]:
    """Return the rows of this data set."""
    return of(_series, "add", "ExponentialSmoothing, trend and season added")


def _series() -> MonthlySeries:
    months = co2.load_pandas().data["co2"].resample("MS").mean().interpolate()
    return MonthlySeries("co2", str(months.index[0].date())[:7], np.asarray(months, np.float64))
