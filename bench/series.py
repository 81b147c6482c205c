"""Time series for `bench/quality.py`: our forecasts beside a peer's and beside the seasonal naive ones.

The last fifth of a series is tested. The peer forecasts from every origin there, with all values before it,
as our job's evaluation does; the error of the difference is that of forecasts from origins a horizon apart,
each paired with the peer's of the same step. Params are chosen on the series as it was before the test part:
at its end, and one and two seasons earlier, with three seeds each, because a network of so few windows is as
much chance as it is its params.
"""

from __future__ import annotations

import csv
import tempfile
import warnings
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from bench.deployment import TIMEOUT_S, succeed, upload
from bench.quality_row import Params, Result, Row, Score
from numpy.typing import NDArray
from statsmodels.tsa.holtwinters import ExponentialSmoothing

from headrace.client import Client

TEST, VALIDATION = 0.2, 0.1
CUTS = 3
SEEDS = (0, 1, 2)
Values = NDArray[np.float64]


class MonthlySeries(NamedTuple):
    """A monthly series from the month ``start`` on."""

    name: str
    start: str
    values: Values
    horizon: int = 12
    season: int = 12

    def origins(self) -> range:
        """Return the steps from which a whole horizon lies in the test part."""
        test = max(round(len(self.values) * TEST), self.horizon)
        return range(len(self.values) - test, len(self.values) - self.horizon + 1)

    def cuts(self) -> list[MonthlySeries]:
        """Return the series as it was before the test part, and seasons earlier."""
        end = self.origins()[0]
        return [
            self._replace(name=f"{self.name}-{back}", values=self.values[: end - back * self.season])
            for back in range(CUTS)
        ]


Forecaster = Callable[[Values, int], Values]
"""From a series and a horizon to the next steps."""


TRIED: list[Params] = [
    {},
    {"window": 48},
    {"units": 32},
    {"units": 128},
    {"dropout": 0.3},
    {"learning_rate": 0.001},
    {"schedule": "cosine"},
    {"early_stopping": 40, "epochs": 200},
    {"calendar": False},
]
"""Params of `forecast` found by hand, and its own."""


def rows(make: Callable[[], MonthlySeries], season: Literal["add", "mul"], peer_is: str) -> list[Row]:
    """Return the row of `forecast` on the series that ``make`` returns; it is called once, when needed.

    The peer is Holt's and Winters' exponential smoothing with a trend, and a ``season`` that is added or
    multiplied.
    """
    series = cache(make)

    def peer(values: Values, horizon: int) -> Values:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = ExponentialSmoothing(values, trend="add", seasonal=season, seasonal_periods=12)
            ahead: Values = model.fit().forecast(horizon)
        return ahead

    def compare(client: Client) -> Result:
        found = series()
        [evaluation] = _evaluations(client, [found], {}, SEEDS[:1])
        errors = np.array([_errors(found, origin, peer) for origin in found.origins()])
        return Result(
            metric="MAE",
            ours=evaluation["metrics"]["mae"],
            peer=float(np.abs(errors).mean()),
            error=_error(found, evaluation, peer),
            peer_is=peer_is,
            better="lower",
            least=evaluation["baseline"]["metrics"]["mae"],
            also={
                "RMSE": (evaluation["metrics"]["rmse"], float(np.sqrt(np.square(errors).mean()))),
                "MAE beside that of the seasonal naive": (
                    evaluation["metrics"]["mae"],
                    evaluation["baseline"]["metrics"]["mae"],
                ),
                f"coverage of {len(found.origins()) * found.horizon} forecasts beside the level": (
                    evaluation["metrics"]["coverage"],
                    0.9,
                ),
            },
        )

    def score(client: Client, params: Params) -> Score:
        found = _evaluations(client, series().cuts(), params, SEEDS)
        ratios = [each["metrics"]["mae"] / each["baseline"]["metrics"]["mae"] for each in found]
        return Score("MAE ÷ seasonal naive's, before the test, three seeds", float(np.mean(ratios)), "lower")

    return [Row("forecast", compare, score, TRIED)]


def _errors(series: MonthlySeries, origin: int, peer: Forecaster) -> Values:
    ahead = peer(series.values[:origin], series.horizon)
    return series.values[origin : origin + series.horizon] - ahead


def _error(series: MonthlySeries, evaluation: dict[str, Any], peer: Forecaster) -> float:
    points = evaluation["forecast"]["series"][0]["points"]
    ours = np.abs([point["truth"] - point["prediction"] for point in points])
    first, horizon = series.origins()[0], series.horizon
    theirs = [_errors(series, first + start, peer) for start in range(0, len(points), horizon)]
    difference = ours - np.abs(np.concatenate(theirs))
    return float(difference.std(ddof=1) / np.sqrt(len(difference)))


def _evaluations(
    client: Client, many: Sequence[MonthlySeries], params: Params, seeds: Sequence[int]
) -> list[dict[str, Any]]:
    """Return the evaluations of our jobs, one for each series and seed."""
    jobs = []
    for series in many:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder, f"{series.name}.csv")
            _write(file, series)
            upload(client, series.name, file)
        jobs += [
            client.submit("train", _spec(series, params, seed), timeout_s=TIMEOUT_S)["id"] for seed in seeds
        ]
    found = []
    for job in jobs:
        trained = succeed(client, job)["result"]
        found.append(client.evaluation(trained["model"], trained["version"]))
    return found


def _write(path: Path, series: MonthlySeries) -> None:
    with path.open("w", newline="") as out:
        write = csv.writer(out)
        write.writerow(["month", "value"])
        first = np.datetime64(series.start, "M")
        write.writerows([f"{first + i}-01", value] for i, value in enumerate(series.values.tolist()))


def _spec(series: MonthlySeries, params: Params, seed: int) -> dict[str, Any]:
    return {
        "model": series.name,
        "dataset": series.name,
        "algorithm": "forecast",
        "target": "value",
        "params": {"time": "month", "horizon": series.horizon, **params},
        "split": {"test": TEST, "validation": VALIDATION},
        "seed": seed,
    }
