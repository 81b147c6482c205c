"""Permutation importance: what it costs when a feature's raw values are shuffled between rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from sklearn.inspection import permutation_importance

from headrace_workers.engine.explanation import changed, scoring
from headrace_workers.engine.explanation.rows import Drawn
from headrace_workers.engine.predictor import Predictor

JSON = dict[str, Any]
LEVEL = 0.95

BLOCK_ROWS = 4096
"""Rows that are put together, and predicted, at once."""


class Measured(Protocol):
    """Rows of which any feature can be shuffled."""

    rows: int

    def measure(self, x: NDArray[np.int32]) -> dict[str, float]:
        """Return the metrics of the rows ``x``: ``x[i, j]`` is the row from which row i takes feature j."""


class Rows:
    """The drawn rows of a dataset. Each is encoded only once, where its features have places of their own."""

    def __init__(self, predictor: Predictor, drawn: Drawn, features: Sequence[int]) -> None:
        self.rows = len(drawn)
        self._predictor = predictor
        self._drawn = drawn
        self._features = features

    def measure(self, x: NDArray[np.int32]) -> dict[str, float]:
        """See `Measured`."""
        found = []
        for start in range(0, len(x), BLOCK_ROWS):
            stop = min(start + BLOCK_ROWS, len(x))
            part = x[start:stop]
            moved = np.flatnonzero((part != np.arange(start, stop)[:, None]).any(axis=0)).tolist()
            taken = {self._features[j]: part[:, j] for j in moved}
            inputs = changed.shuffled(self._predictor, self._drawn, start, stop, taken)
            found.append(self._predictor.learner.predict(inputs))
        return scoring.measure(self._predictor, self._drawn.truth, np.concatenate(found))


class _Estimator:
    """Rows as scikit-learn's `permutation_importance` takes a model: their numbers are what is shuffled."""

    def fit(self) -> None:
        """Be an estimator, as scikit-learn sees it: one has this method."""


def importance(
    measured: Measured,
    features: Sequence[Mapping[str, Any]],
    *,
    repeats: int,
    seed: int,
    progress: Callable[[float], None],
) -> JSON:
    """Return how much worse each metric gets by each of ``features``, columns of a signature.

    Per metric the mean over ``repeats`` shuffles, their standard deviation, and Student's interval of the
    mean: what it tells is the chance of the shuffling, not that of the rows. Positive is worse.
    """
    calls = len(features) * repeats + 2
    done = 0

    def plain(x: NDArray[np.int32]) -> dict[str, float]:
        nonlocal done
        found = measured.measure(x)
        done += 1
        progress(done / calls)
        return found

    def score(_estimator: _Estimator, x: NDArray[np.int32], _truth: None) -> dict[str, float]:
        return scoring.as_gains(plain(x))

    every = np.repeat(np.arange(measured.rows, dtype=np.int32)[:, None], len(features), axis=1)
    found = permutation_importance(
        _Estimator(), every, None, scoring=score, n_repeats=repeats, random_state=seed
    )
    entries: list[JSON] = [
        {
            "feature": feature["name"],
            "type": feature["type"],
            "metrics": {name: _told(found[name].importances[place]) for name in found},
        }
        for place, feature in enumerate(features)
    ]
    metrics = plain(every)
    first = next(iter(metrics))
    entries.sort(key=lambda entry: -entry["metrics"][first]["mean"])
    return {"metrics": metrics, "repeats": repeats, "level": LEVEL, "features": entries}


def _told(costs: NDArray[np.float64]) -> JSON:
    mean, error = float(costs.mean()), float(stats.sem(costs))
    ends = stats.t.interval(LEVEL, len(costs) - 1, mean, error) if error > 0 else (mean, mean)
    return {"mean": mean, "std": float(costs.std()), "interval": [float(end) for end in ends]}
