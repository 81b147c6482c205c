"""The areas under the ROC and the precision-recall curves, one class against the rest, and their mean."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from headrace_workers.engine.evaluation import scores
from headrace_workers.engine.evaluation.intervals import Interval, Resamples

RESAMPLES, MIN_RESAMPLES = 400, 100
MAX_AREAS = 8000
"""Classes times resamples; with more classes there are fewer resamples."""

NAMES = ("roc_auc", "pr_auc")


@dataclass(frozen=True)
class Ranking:
    """``metrics``: the means over classes. ``per_class``: by the number of each class that has an area."""

    metrics: dict[str, float]
    intervals: dict[str, Interval | None]
    per_class: dict[int, dict[str, float]]
    resamples: int


def measure(
    probabilities: NDArray[np.floating],
    truth: NDArray[np.integer],
    classes: NDArray[np.integer],
    rng: np.random.Generator,
) -> Ranking:
    """Return the areas of ``classes``, the numbers of those that ``truth`` has.

    Empty where there is but one class: a class against nothing has no area. Classes beyond the columns of
    ``probabilities`` have probability 0.
    """
    if len(classes) < 2:
        return Ranking({}, {}, {}, 0)
    every = np.ones((1, len(truth)))
    found = [_areas(probabilities, truth, k, every) for k in classes]
    values = {name: np.array([pair[i][0] for pair in found]) for i, name in enumerate(NAMES)}
    metrics = {name: float(values[name].mean()) for name in NAMES}
    resamples = int(np.clip(MAX_AREAS // len(classes), MIN_RESAMPLES, RESAMPLES))
    again = Resamples(len(truth), resamples, rng)
    centres, resampled = _resampled(probabilities[again.rows], truth[again.rows], classes, again.weights)
    return Ranking(
        metrics,
        {name: again.interval(metrics[name], resampled[i], centres[i]) for i, name in enumerate(NAMES)},
        {int(k): {name: float(values[name][i]) for name in NAMES} for i, k in enumerate(classes)},
        resamples,
    )


def _areas(
    probabilities: NDArray[np.floating], truth: NDArray[np.integer], number: int, weights: NDArray[Any]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    known = number < probabilities.shape[1]
    column = probabilities[:, number] if known else np.zeros(len(truth))
    return scores.areas(column, truth == number, weights)


def _resampled(
    probabilities: NDArray[np.floating],
    truth: NDArray[np.integer],
    classes: NDArray[np.integer],
    weights: NDArray[np.float32],
) -> tuple[list[float], list[NDArray[np.float64]]]:
    """Return the mean areas of all rows as they are, and of each resample; over the classes that have one."""
    whole = np.concatenate([np.ones((1, len(truth)), np.float32), weights])
    sums, counts = np.zeros((2, len(whole))), np.zeros((2, len(whole)))
    for number in classes:
        for i, values in enumerate(_areas(probabilities, truth, number, whole)):
            defined = np.isfinite(values)
            sums[i, defined] += values[defined]
            counts[i] += defined
    with np.errstate(invalid="ignore"):
        means = sums / counts
    return [float(row[0]) for row in means], [row[1:] for row in means]
