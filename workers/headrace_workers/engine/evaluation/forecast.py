"""Evaluation of forecasts: each origin in the test part is forecast from, all steps of the horizon count.

Beside every forecast stands the seasonal naive one. MASE is the absolute error in units of what the seasonal
naive forecast of the next season misses before the first origin (Hyndman, Koehler 2006); sMAPE is twice the
absolute error over the sum of the absolute values, from 0 to 2 (Makridakis 1993). Resamples draw steps of
series, each with all forecasts that were made of it: these fail together.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from headrace_workers.engine.evaluation import collect, intervals, verdict
from headrace_workers.engine.evaluation.intervals import Interval, Resamples
from headrace_workers.engine.forecasting import series as series_module
from headrace_workers.engine.forecasting import steps, windows
from headrace_workers.engine.forecasting.series import Series
from headrace_workers.engine.forecasting.windows import BASE, Windowing

if TYPE_CHECKING:
    from headrace_workers.engine.predictor import Predictor

JSON = dict[str, Any]
Floats = NDArray[np.float64]

MAX_WINDOWS = 20_000
"""Origins at most; of more, evenly spaced ones."""

DRAWN_SERIES, DRAWN_STEPS, DRAWN_SEASONS = 6, 400, 2
WORST = 20

SUMS = (
    *("count", "mae", "squares", "smape", "coverage", "width", "mase", "scaled"),
    *("base_mae", "base_squares", "base_smape", "base_mase"),
)
"""What is summed of every forecast of a value; ``scaled`` counts those that have a MASE."""


class Values(NamedTuple):
    """Forecasts of known values, one behind the other: of which series and step, and how far ahead."""

    series: NDArray[np.int64]
    step: NDArray[np.int64]
    ahead: NDArray[np.int64]
    sums: Floats


def evaluate(
    predictor: Predictor,
    columns: Windowing,
    found: Sequence[Series],
    wanted: NDArray[np.bool_] | None,
    told: Callable[[float], None],
    seed: int,
) -> JSON:
    """Return the evaluation of the horizons that lie in rows that are ``wanted``, all where it is None."""
    origins = [origins_of(each, columns, wanted) for each in found]
    total = sum(map(len, origins))
    if not total:
        return collect.empty(predictor)
    share = MAX_WINDOWS / total
    kept: list[Values] = []
    drawn: list[JSON] = []
    for number, (each, own) in enumerate(zip(found, origins, strict=True)):
        chosen = windows.thinned(own, share)
        if not len(chosen):
            continue
        kept += _forecasts(predictor, columns, each, chosen, number)
        if len(drawn) < DRAWN_SERIES:
            drawn.append(_drawing(predictor, columns, each, own))
        told((number + 1) / len(found))
    every = Values(*(np.concatenate(part) for part in zip(*kept, strict=True)))
    report = _report(every, columns, found, seed, predictor.target.level)
    report["forecast"] = {
        "step": str(columns.step),
        "season": columns.season,
        "level": predictor.target.level,
        "series": drawn,
    }
    if share < 1:
        note = "All figures are of evenly spaced origins."
        report["sample"] = {"rows": sum(len(windows.thinned(o, share)) for o in origins), "of": total} | {
            "note": note
        }
    whole: JSON = collect.finite({"task": "forecast", "rows": len(every.series), "bad_rows": 0} | report)
    return whole


def measure(
    predictor: Predictor,
    columns: Windowing,
    found: Sequence[Series],
    origins: Sequence[NDArray[np.int64]],
) -> dict[str, float]:
    """Return the metrics of the forecasts from ``origins`` of each series, at least one in all."""
    kept = [
        values.sums
        for number, (each, own) in enumerate(zip(found, origins, strict=True))
        if len(own)
        for values in _forecasts(predictor, columns, each, own, number)
    ]
    return _floats(_metrics(np.concatenate(kept).sum(axis=0))[0])


def origins_of(series: Series, columns: Windowing, wanted: NDArray[np.bool_] | None) -> NDArray[np.int64]:
    """Return the steps of ``series`` from which on a whole horizon is ``wanted``."""
    flags = series.rows >= 0
    if wanted is not None:
        flags = flags & wanted[series.rows]
    return windows.origins(series, flags, columns.window, columns.horizon)


def _forecasts(
    predictor: Predictor, columns: Windowing, series: Series, origins: NDArray[np.int64], number: int
) -> list[Values]:
    scale = _scale(series, int(origins[0]), columns.season)
    found = []
    for start in range(0, len(origins), columns.batch_rows):
        block = origins[start : start + columns.batch_rows]
        given = columns.windows(series, block)
        values = columns.restored(predictor.learner.predict(given.inputs), given)
        base = columns.restored(given.inputs[BASE], given)
        step = block[:, None] + np.arange(columns.horizon)
        truth = series.values[step]
        known = np.isfinite(truth)
        ahead = np.broadcast_to(np.arange(columns.horizon), truth.shape)[known]
        sums = _sums(truth[known], values[known], base[known], scale)
        found.append(Values(np.full(len(ahead), number), step[known], ahead, sums))
    return found


def _scale(series: Series, first: int, season: int) -> float:
    """Return the unit of MASE; NaN where nothing was missed, or nothing is known."""
    before = series.values[:first]
    missed = np.abs(before[season:] - before[:-season])
    missed = missed[np.isfinite(missed)]
    mean = float(missed.mean()) if len(missed) else 0.0
    return mean if mean > 0 else np.nan


def _sums(truth: Floats, values: Floats, base: Floats, scale: float) -> Floats:
    """Return the columns of `SUMS`."""
    lower, middle, upper = values.T
    error, trivial = np.abs(truth - middle), np.abs(truth - base)
    scaled = np.isfinite(scale)

    def smape(size: Floats, other: Floats) -> Floats:
        whole = np.abs(truth) + np.abs(other)
        return np.asarray(np.divide(2 * size, whole, out=np.zeros_like(size), where=whole > 0))

    ones = np.ones_like(truth)
    return np.stack(
        [
            ones,
            error,
            np.square(error),
            smape(error, middle),
            ((lower <= truth) & (truth <= upper)).astype(np.float64),
            upper - lower,
            error / scale if scaled else 0 * ones,
            ones * scaled,
            trivial,
            np.square(trivial),
            smape(trivial, base),
            trivial / scale if scaled else 0 * ones,
        ],
        axis=1,
    )


def _metrics(sums: Floats) -> tuple[dict[str, Floats], dict[str, Floats]]:
    """Return the metrics of sums, shape (..., columns), and those of the baseline."""
    of = dict(zip(SUMS, np.moveaxis(sums, -1, 0), strict=True))
    with np.errstate(invalid="ignore", divide="ignore"):
        own = {name: of[name] / of["count"] for name in ("mae", "smape", "coverage", "width")}
        own |= {"mase": of["mase"] / of["scaled"], "rmse": np.sqrt(of["squares"] / of["count"])}
        base = {name: of[f"base_{name}"] / of["count"] for name in ("mae", "smape")}
        base |= {"mase": of["base_mase"] / of["scaled"], "rmse": np.sqrt(of["base_squares"] / of["count"])}
    return own, base


def _grouped(group: NDArray[np.int64], sums: Floats) -> Floats:
    """Return ``sums`` added up by ``group``, numbers from 0."""
    count = int(group.max()) + 1
    return np.stack([np.bincount(group, column, count) for column in sums.T], axis=1)


def _report(every: Values, columns: Windowing, found: Sequence[Series], seed: int, level: float) -> JSON:
    own, base = (_floats(part) for part in _metrics(every.sums.sum(axis=0)))
    units = np.unique(np.stack([every.series, every.step], axis=1), axis=0, return_inverse=True)[1].ravel()
    weighted = Resamples(int(units.max()) + 1, intervals.RESAMPLES, np.random.default_rng([seed, 1]))
    between, gain = _intervals(weighted, _grouped(units, every.sums), own, base)
    baseline = {"predicts": "what was one season before", "metrics": base}
    return {
        "metrics": own,
        "intervals": intervals.as_json(
            between, resamples=len(weighted.weights), most_rows_resampled=intervals.MAX_ROWS
        ),
        "baseline": baseline,
        "verdict": verdict.of_forecast(own, between, baseline, gain, level),
        "by_step": _by_step(every),
        "worst_series": _worst(every, columns, found),
    }


def _intervals(
    weighted: Resamples, sums: Floats, own: Mapping[str, float], base: Mapping[str, float]
) -> tuple[dict[str, Interval], Interval | None]:
    """Return the interval of each metric, and of by how much the MAE is below the baseline's."""
    chosen = sums[weighted.rows]
    drawn, trivial = _metrics(weighted.weights @ chosen)
    centre, centre_base = _metrics(chosen.sum(axis=0))
    between = {name: weighted.interval(own[name], drawn[name], float(centre[name])) for name in own}
    gain = weighted.interval(
        base["mae"] - own["mae"], trivial["mae"] - drawn["mae"], float(centre_base["mae"] - centre["mae"])
    )
    bounds = {"coverage": 1.0, "smape": 2.0}
    return intervals.bounded(between, {name: bounds.get(name, np.inf) for name in own}), gain


def _by_step(every: Values) -> list[JSON]:
    sums = _grouped(every.ahead, every.sums)
    own, base = _metrics(sums)
    return [
        {"step": step + 1, "rows": int(sums[step, 0])}
        | {name: float(values[step]) for name, values in own.items()}
        | {"baseline_mae": float(base["mae"][step])}
        for step in range(len(sums))
        if sums[step, 0]
    ]


def _worst(every: Values, columns: Windowing, found: Sequence[Series]) -> list[JSON]:
    sums = _grouped(every.series, every.sums)
    own, base = _metrics(sums)
    there = np.flatnonzero(sums[:, 0])
    order = there[np.argsort(-np.nan_to_num(own["mase"][there], nan=-1.0), kind="stable")]
    return [
        {"series": dict(series_module.as_dict(found[i].key, columns.roles)), "rows": int(sums[i, 0])}
        | {name: float(own[name][i]) for name in ("mase", "mae", "coverage")}
        | {"baseline_mae": float(base["mae"][i])}
        for i in order[:WORST].tolist()
    ]


def _drawing(predictor: Predictor, columns: Windowing, series: Series, origins: NDArray[np.int64]) -> JSON:
    """Return a series with forecasts of it, one behind the other, as points to be drawn."""
    follow = origins[:1]
    for origin in origins[1:].tolist():
        if origin >= follow[-1] + columns.horizon and len(follow) * columns.horizon < DRAWN_STEPS:
            follow = np.append(follow, origin)
    given = columns.windows(series, follow)
    values = columns.restored(predictor.learner.predict(given.inputs), given)
    number = (follow[:, None] + np.arange(columns.horizon)).ravel()
    first = max(int(follow[0]) - max(DRAWN_SEASONS * columns.season, 2 * columns.horizon), 0)
    before = np.arange(max(first, int(follow[0]) - DRAWN_STEPS), follow[0])

    def text(numbers: NDArray[np.int64]) -> list[str]:
        return [steps.text(time) for time in columns.step.times(series.start, numbers)]

    truth = series.values[number]
    return {
        "series": dict(series_module.as_dict(series.key, columns.roles)),
        "history": [
            [time, value]
            for time, value in zip(text(before), series.values[before].tolist(), strict=True)
            if np.isfinite(value)
        ],
        "points": [
            {"time": time, "truth": actual, "lower": low, "prediction": middle, "upper": high}
            for time, actual, (low, middle, high) in zip(
                text(number), truth.tolist(), values.reshape(-1, 3).tolist(), strict=True
            )
        ],
    }


def _floats(found: Mapping[str, Any]) -> dict[str, float]:
    return {name: float(value) for name, value in found.items()}
