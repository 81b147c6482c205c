"""The linear part of a forecast, in closed form."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from headrace_workers.engine.forecasting.windows import BASE, CHANGES, HISTORY
from headrace_workers.engine.training.rows import Rows

MAX_WINDOWS = 5000
PENALTIES = np.logspace(-2, 4, 25)
SMALLEST = 1e-3


class Linear(NamedTuple):
    """``kernel``, shape (inputs, horizon), ``bias``, shape (horizon,), and ``errors``, shape (n, horizon)."""

    kernel: NDArray[np.float64]
    bias: NDArray[np.float64]
    errors: NDArray[np.float64]


def fit(parts: list[Rows], threads: int) -> Linear | None:
    """Return the ridge regression of what the seasonal naive forecast misses, on the changes from season to
    season; its penalty by generalised cross-validation (Golub, Heath, Wahba 1979).

    Of the windows that are known to their end, `MAX_WINDOWS` at most. None where there are too few.
    """
    from sklearn.linear_model import RidgeCV
    from threadpoolctl import threadpool_limits

    inputs, missed = zip(*(_read(rows, MAX_WINDOWS // len(parts)) for rows in parts), strict=True)
    x, y = np.concatenate(inputs), np.concatenate(missed)
    whole = np.isfinite(y).all(axis=1)
    x, y = x[whole].astype(np.float64), y[whole].astype(np.float64)
    if len(x) < 3:
        return None
    with threadpool_limits(threads):
        ridge = RidgeCV(alphas=PENALTIES).fit(x, y)
        errors = y - ridge.predict(x).reshape(y.shape)
    coefficients = np.atleast_2d(ridge.coef_)
    return Linear(coefficients.T, np.atleast_1d(ridge.intercept_), errors)


def read_of(inputs: dict[str, NDArray[np.float32]]) -> NDArray[np.float32]:
    """Return what the linear part reads of ``inputs``."""
    return inputs[CHANGES] if CHANGES in inputs else inputs[HISTORY]


def spreads(errors: NDArray[np.float64], level: float) -> dict[str, NDArray[np.float64]]:
    """Return, for the lower and the upper end, what gives the distances of ``level`` through a softplus."""
    below, above = np.quantile(errors, [(1 - level) / 2, (1 + level) / 2], axis=0)
    distances = {"lower": np.maximum(-below, SMALLEST), "upper": np.maximum(above, SMALLEST)}
    return {name: np.log(np.expm1(np.minimum(distance, 500.0))) for name, distance in distances.items()}


def _read(rows: Rows, most: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    count = min(rows.count, most)
    chosen = np.arange(count) * rows.count // max(count, 1)
    inputs, wanted = rows.take(chosen.astype(np.int64))
    return read_of(inputs), wanted - inputs[BASE]
