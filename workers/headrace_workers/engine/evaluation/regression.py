"""Evaluation of a regression."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from sklearn import metrics

from headrace_workers.engine.data.encoders import to_floats
from headrace_workers.engine.data.row_sample import RowSample
from headrace_workers.engine.data.target import NumberTarget
from headrace_workers.engine.evaluation import fit_curve, intervals, slices, verdict
from headrace_workers.engine.evaluation.intervals import Interval, Resamples
from headrace_workers.engine.evaluation.worst import Worst
from headrace_workers.engine.predictor import Predictor

JSON = dict[str, Any]
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)

MAX_ROWS = 1_000_000
"""Rows that are kept at most; of more a uniform sample is."""

MAX_POINTS = 500
"""Points that are drawn at most."""

UNBOUNDED = float("inf")


class Regression:
    """What is kept of the rows of a regression's evaluation: truth and prediction, in the target's units."""

    def __init__(self, target: NumberTarget, slice_columns: Sequence[str], seed: int) -> None:
        self._target = target
        self._slices = list(slice_columns)
        self._rng = np.random.default_rng([seed, 1])
        self._sample = RowSample(MAX_ROWS, seed)
        self._total = 0
        self._worst = Worst()

    def add(
        self, values: NDArray[np.floating], truth: pa.Array, numbers: NDArray[np.int64], batch: pa.RecordBatch
    ) -> None:
        """Take the next rows: predictions (n,), true values, row numbers from 0, and the rows themselves."""
        actual = to_floats(truth)
        self._total += len(actual)
        self._worst.update(
            np.abs(actual - values),
            numbers,
            batch,
            lambda row: {"truth": float(actual[row]), "prediction": float(values[row])},
        )
        kept = {"truth": pa.array(actual), "predicted": pa.array(values.astype(np.float64))}
        kept |= {f"slice {i}": batch.column(name) for i, name in enumerate(self._slices)}
        self._sample.update(pa.record_batch(kept))

    def report(self) -> JSON:
        """Return the parts of an evaluation. There was at least one row."""
        rows = self._sample.rows()
        assert rows is not None, "there was at least one row"
        actual, predicted = rows.column("truth").to_numpy(), rows.column("predicted").to_numpy()
        residuals = actual - predicted
        found = _measured(actual, predicted)
        mean = np.full_like(actual, self._target.mean)
        baseline = {"predicts": self._target.mean, "metrics": _measured(actual, mean)}
        weighted = Resamples(len(actual), intervals.RESAMPLES, self._rng)
        between, gains = _intervals(weighted, actual, predicted, mean, found)
        parts: JSON = {
            "metrics": found,
            "intervals": intervals.as_json(
                between, resamples=len(weighted.weights), most_rows_resampled=intervals.MAX_ROWS
            ),
            "baseline": baseline,
            "verdict": verdict.of_regression(found, between, baseline, gains),
            "residuals": _residuals(residuals),
            "predictions": {"points": _points(actual, predicted, self._rng)},
            "worst": self._worst.as_json(),
            "slices": [
                {"column": name, "groups": self._groups(rows.column(f"slice {i}"), actual, predicted)}
                for i, name in enumerate(self._slices)
            ],
        }
        if len(rows) < self._total:
            parts["sample"] = {
                "rows": len(rows),
                "of": self._total,
                "note": "All figures are of a uniform sample of the rows.",
            }
        return parts

    def _groups(
        self, values: pa.Array, actual: NDArray[np.float64], predicted: NDArray[np.float64]
    ) -> list[JSON]:
        overall = float(metrics.mean_absolute_error(actual, predicted))
        entries = []
        for group in slices.groups(values):
            errors = np.abs(actual - predicted)[group.rows]
            weighted = Resamples(len(errors), slices.RESAMPLES, self._rng)
            found = {"mae": float(errors.mean()), "rmse": float(np.sqrt(np.square(errors).mean()))}
            chosen = errors[weighted.rows]
            centres = (float(chosen.mean()), float(np.sqrt(np.square(chosen).mean())))
            between = {
                "mae": weighted.interval(found["mae"], weighted.means(errors), centres[0]),
                "rmse": weighted.interval(
                    found["rmse"], np.sqrt(weighted.means(np.square(errors))), centres[1]
                ),
            }
            bounds = dict.fromkeys(found, UNBOUNDED)
            entry = slices.described(group, found, intervals.bounded(between, bounds))
            entries.append(slices.compare(entry, "mae", overall, higher_is_better=False))
        return entries


class WithPicture:
    """A regression's evaluation and, of a table, what it makes of one feature; see `fit_curve`."""

    def __init__(self, predictor: Predictor, slice_columns: Sequence[str], seed: int) -> None:
        self._predictor = predictor
        self._kept = Regression(predictor.target, slice_columns, seed)
        self._drawn = RowSample(fit_curve.MAX_ROWS, seed) if fit_curve.applies(predictor) else None

    def add(
        self, values: NDArray[np.floating], truth: pa.Array, numbers: NDArray[np.int64], batch: pa.RecordBatch
    ) -> None:
        """See `Regression.add`."""
        self._kept.add(values, truth, numbers, batch)
        if self._drawn is not None:
            features = batch.select(self._predictor.preprocessing.columns)
            self._drawn.update(features.append_column(self._predictor.target.column, truth))

    def report(self) -> JSON:
        """See `Regression.report`."""
        parts = self._kept.report()
        rows = self._drawn and self._drawn.rows()
        if rows and (fit := fit_curve.draw(self._predictor, rows)):
            parts["fit"] = fit
        return parts


def _measured(actual: NDArray[np.float64], predicted: NDArray[np.float64]) -> dict[str, float]:
    found = {
        "mae": metrics.mean_absolute_error(actual, predicted),
        "rmse": metrics.root_mean_squared_error(actual, predicted),
        "median_absolute_error": metrics.median_absolute_error(actual, predicted),
    }
    # One value has no variance to explain.
    if len(actual) > 1:
        found["r2"] = metrics.r2_score(actual, predicted)
    return {name: float(value) for name, value in found.items()}


def _intervals(
    weighted: Resamples,
    actual: NDArray[np.float64],
    predicted: NDArray[np.float64],
    mean: NDArray[np.float64],
    found: dict[str, float],
) -> tuple[dict[str, Interval], dict[str, Interval | None]]:
    """Return the interval of each metric, and of how much lower than the baseline's the errors are."""
    rows = weighted.rows
    centre = _measured(actual[rows], predicted[rows])
    own, theirs = _resampled(weighted, actual, predicted), _resampled(weighted, actual, mean)
    between = {name: weighted.interval(found[name], own[name], centre[name]) for name in found}
    trivial, trivial_centre = _measured(actual, mean), _measured(actual[rows], mean[rows])
    gains = {
        name: weighted.interval(
            trivial[name] - found[name], theirs[name] - own[name], trivial_centre[name] - centre[name]
        )
        for name in ("mae", "rmse")
    }
    r2 = between.pop("r2", None)
    ends = intervals.bounded(between, dict.fromkeys(between, UNBOUNDED))
    return (ends | {"r2": [r2[0], min(r2[1], 1.0)]} if r2 else ends), gains


def _resampled(
    weighted: Resamples, actual: NDArray[np.float64], predicted: NDArray[np.float64]
) -> dict[str, NDArray[np.float64]]:
    errors = np.abs(actual - predicted)
    squares = weighted.means(np.square(errors))
    # From the mean, lest the difference of two large squares be all rounding.
    shifted = actual - actual.mean()
    variances = weighted.means(np.square(shifted)) - np.square(weighted.means(shifted))
    with np.errstate(invalid="ignore", divide="ignore"):
        r2 = np.where(variances > 0, 1 - squares / variances, np.nan)
    return {
        "mae": weighted.means(errors),
        "rmse": np.sqrt(squares),
        "median_absolute_error": _medians(errors[weighted.rows], weighted.weights),
        "r2": r2,
    }


def _medians(values: NDArray[np.float64], weights: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the median of each resample: half of its weight is below."""
    order = np.argsort(values)
    half = weights[:, order].cumsum(axis=1) >= len(values) / 2
    medians: NDArray[np.float64] = values[order][half.argmax(axis=1)]
    return medians


def _residuals(residuals: NDArray[np.float64]) -> JSON:
    quantiles = np.quantile(residuals, QUANTILES).tolist()
    counts, edges = np.histogram(residuals, bins=min(30, max(5, len(residuals) // 10)))
    return {
        "mean": float(residuals.mean()),
        "quantiles": {str(q): value for q, value in zip(QUANTILES, quantiles, strict=True)},
        "histogram": {"edges": edges.tolist(), "counts": counts.tolist()},
    }


def _points(
    actual: NDArray[np.float64], predicted: NDArray[np.float64], rng: np.random.Generator
) -> list[list[float]]:
    """Return pairs of truth and prediction, of `MAX_POINTS` rows at most."""
    pairs = np.column_stack([actual, predicted])
    if len(pairs) > MAX_POINTS:
        pairs = pairs[np.sort(rng.choice(len(pairs), MAX_POINTS, replace=False))]
    found: list[list[float]] = pairs.tolist()
    return found
