"""Metrics that follow from a confusion matrix, of many matrices at once.

scikit-learn measures one matrix per call, from rows; a bootstrap has a thousand. Tests hold these to its
``precision_recall_fscore_support`` and ``balanced_accuracy_score``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest

from headrace_workers.engine.evaluation.intervals import RESAMPLES, Interval, percentiles, resamples_of


@dataclass(frozen=True)
class Counts:
    """The margins of confusion matrices, each of shape (…, classes).

    ``right``: rows of the class that were predicted as such. ``rows``: rows of the class. ``predicted``: rows
    that were predicted to be of it.
    """

    right: NDArray[Any]
    rows: NDArray[Any]
    predicted: NDArray[Any]

    @classmethod
    def of(cls, matrix: NDArray[Any]) -> Counts:
        """Return the margins of one matrix: rows are the truth, columns the prediction."""
        return cls(np.diagonal(matrix), matrix.sum(axis=1), matrix.sum(axis=0))

    @classmethod
    def of_rows(cls, truth: NDArray[np.integer], predicted: NDArray[np.integer], classes: int) -> Counts:
        """Return the margins of rows, given by the number of their true and of their predicted class."""
        right = np.bincount(truth[truth == predicted], minlength=classes)
        return cls(right, np.bincount(truth, minlength=classes), np.bincount(predicted, minlength=classes))

    def always(self, number: int) -> Counts:
        """Return the margins where every row is predicted to be of class ``number``."""
        right, predicted = np.zeros_like(self.rows), np.zeros_like(self.rows)
        right[..., number] = self.rows[..., number]
        predicted[..., number] = self.rows.sum(axis=-1)
        return Counts(right, self.rows, predicted)

    def per_class(self) -> dict[str, NDArray[np.float64]]:
        """Return precision, recall and F1 of each class, 0 where they are not defined."""
        return {
            "precision": _ratio(self.right, self.predicted),
            "recall": _ratio(self.right, self.rows),
            "f1": _ratio(2 * self.right, self.rows + self.predicted),
        }

    def metrics(self) -> dict[str, NDArray[np.float64]]:
        """Return each metric, shape (…).

        ``macro`` is the mean over the classes that occur, in truth or prediction; ``weighted`` that over the
        classes by their rows. ``balanced_accuracy`` is the mean recall of the classes that have rows.
        """
        found = self.per_class()
        total = self.rows.sum(axis=-1)
        occurs = (self.rows + self.predicted) > 0
        metrics = {
            "accuracy": _ratio(self.right.sum(axis=-1), total),
            "balanced_accuracy": _mean(found["recall"], self.rows > 0),
        }
        for name, values in found.items():
            metrics[f"{name}_macro"] = _mean(values, occurs)
            metrics[f"{name}_weighted"] = _ratio((values * self.rows).sum(axis=-1), total)
        return metrics


def resample(
    truth: NDArray[np.integer],
    predicted: NDArray[np.integer],
    classes: int,
    rng: np.random.Generator,
    most: int = RESAMPLES,
) -> Counts:
    """Return the margins of ``most`` resamples of rows, given by the numbers of their classes, at most."""
    pairs, cells = np.unique(truth.astype(np.int64) * classes + predicted, return_counts=True)
    return resample_cells(pairs // classes, pairs % classes, cells, classes, rng, most)


def resample_cells(
    truth: NDArray[np.int64],
    predicted: NDArray[np.int64],
    cells: NDArray[np.int64],
    classes: int,
    rng: np.random.Generator,
    most: int = RESAMPLES,
) -> Counts:
    """Return the margins of resamples of the rows behind the cells of a matrix: (resamples, classes)."""
    total = int(cells.sum())
    drawn = rng.multinomial(total, cells / total, size=min(most, resamples_of(len(cells))))
    return Counts(
        _grouped(np.where(truth == predicted, drawn, 0), truth, classes),
        _grouped(drawn, truth, classes),
        _grouped(drawn, predicted, classes),
    )


def accuracy_interval(right: int, rows: int) -> Interval:
    """Return Wilson's interval of a share: unlike the bootstrap's it has a width also where all is right."""
    found = binomtest(right, rows).proportion_ci(method="wilson")
    return [float(found.low), float(found.high)]


def intervals(resampled: dict[str, NDArray[np.float64]]) -> dict[str, Interval | None]:
    """Return the interval of each metric."""
    return {name: percentiles(values) for name, values in resampled.items()}


def _grouped(drawn: NDArray[np.int64], groups: NDArray[np.int64], classes: int) -> NDArray[np.int64]:
    order = np.argsort(groups, kind="stable")
    present, starts = np.unique(groups[order], return_index=True)
    sums = np.zeros((len(drawn), classes), np.int64)
    sums[:, present] = np.add.reduceat(drawn[:, order], starts, axis=1)
    return sums


def _ratio(part: NDArray[Any], whole: NDArray[Any]) -> NDArray[np.float64]:
    found: NDArray[np.float64] = np.divide(
        part, whole, out=np.zeros(np.shape(part)), where=np.asarray(whole) > 0
    )
    return found


def _mean(values: NDArray[np.float64], counted: NDArray[np.bool_]) -> NDArray[np.float64]:
    return _ratio((values * counted).sum(axis=-1), counted.sum(axis=-1))
