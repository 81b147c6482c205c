"""Permutation importance: what it costs when a feature's raw values are shuffled between rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

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


class _Shuffled:
    """A predictor as scikit-learn's `permutation_importance` takes one.

    Its rows are not values but numbers: ``x[i, j]`` is the drawn row from which row i takes feature j. So any
    raw column can be shuffled, images and texts too, and each is encoded only once.
    """

    def __init__(self, predictor: Predictor, drawn: Drawn, features: Sequence[int]) -> None:
        self._predictor = predictor
        self._drawn = drawn
        self._features = features

    def fit(self) -> None:
        """Be an estimator, as scikit-learn sees it: one has this method."""

    def predict(self, x: NDArray[np.int32]) -> NDArray[Any]:
        """Return what the learner makes of the rows ``x``."""
        found = []
        for start in range(0, len(x), BLOCK_ROWS):
            stop = min(start + BLOCK_ROWS, len(x))
            part = x[start:stop]
            moved = np.flatnonzero((part != np.arange(start, stop)[:, None]).any(axis=0)).tolist()
            taken = {self._features[j]: part[:, j] for j in moved}
            inputs = changed.shuffled(self._predictor, self._drawn, start, stop, taken)
            found.append(self._predictor.learner.predict(inputs))
        return np.concatenate(found)


def importance(
    predictor: Predictor,
    drawn: Drawn,
    features: Sequence[int],
    *,
    repeats: int,
    seed: int,
    progress: Callable[[float], None],
) -> JSON:
    """Return how much worse each metric gets by each of ``features``, numbers of columns of the model.

    Per metric the mean over ``repeats`` shuffles, their standard deviation, and Student's interval of the
    mean: what it tells is the chance of the shuffling, not that of the rows. Positive is worse.
    """
    assert drawn.truth is not None, "importance is measured on rows whose target is known"
    target, calls = predictor.target, len(features) * repeats + 1
    done = 0

    def score(estimator: _Shuffled, x: NDArray[np.int32], truth: NDArray[Any]) -> dict[str, float]:
        nonlocal done
        measured = scoring.measure(target, truth, estimator.predict(x))
        done += 1
        progress(done / calls)
        return scoring.as_gains(measured)

    estimator = _Shuffled(predictor, drawn, features)
    every = np.repeat(np.arange(len(drawn), dtype=np.int32)[:, None], len(features), axis=1)
    found = permutation_importance(
        estimator, every, drawn.truth, scoring=score, n_repeats=repeats, random_state=seed
    )
    columns = predictor.preprocessing.signature
    entries: list[JSON] = [
        {
            "feature": columns[feature]["name"],
            "type": columns[feature]["type"],
            "metrics": {name: _told(found[name].importances[place]) for name in found},
        }
        for place, feature in enumerate(features)
    ]
    plain = scoring.measure(target, drawn.truth, estimator.predict(every))
    first = next(iter(plain))
    entries.sort(key=lambda entry: -entry["metrics"][first]["mean"])
    return {"metrics": plain, "repeats": repeats, "level": LEVEL, "features": entries}


def _told(costs: NDArray[np.float64]) -> JSON:
    mean, error = float(costs.mean()), float(stats.sem(costs))
    ends = stats.t.interval(LEVEL, len(costs) - 1, mean, error) if error > 0 else (mean, mean)
    return {"mean": mean, "std": float(costs.std()), "interval": [float(end) for end in ends]}
