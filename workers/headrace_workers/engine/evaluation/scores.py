"""Metrics of predicted probabilities: what each row costs, and how well rows are ranked.

scikit-learn ranks one set of rows per call; a bootstrap has hundreds of weightings of the same rows. Tests
hold these to its ``roc_auc_score``, ``average_precision_score``, ``log_loss`` and ``brier_score_loss``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

EPSILON = float(np.finfo(np.float64).eps)
"""Probabilities are cut here before the logarithm, as scikit-learn does."""


def of_truth(probabilities: NDArray[np.floating], truth: NDArray[np.integer]) -> NDArray[np.float64]:
    """Return the probability of each row's true class, 0 for a class that has no column."""
    known = truth < probabilities.shape[1]
    found = probabilities[np.arange(len(truth)), np.where(known, truth, 0)].astype(np.float64)
    return np.where(known, found, 0.0)


def log_losses(of_truth: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the log loss of each row."""
    return -np.log(np.clip(of_truth, EPSILON, 1 - EPSILON))


def brier_scores(
    probabilities: NDArray[np.floating], of_truth: NDArray[np.float64], *, two_classes: bool
) -> NDArray[np.float64]:
    """Return the squared distance of each row's probabilities from the truth; with two classes half of it.

    ``probabilities`` are those of each row, or one row of them that holds for all.
    """
    squares = np.square(probabilities, dtype=np.float64).sum(axis=-1)
    found: NDArray[np.float64] = squares - 2 * of_truth + 1
    return found / 2 if two_classes else found


def areas(
    scores: NDArray[np.floating], positive: NDArray[np.bool_], weights: NDArray[Any]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the areas under the ROC curve and under the precision-recall curve (average precision).

    One of each for every weighting of the rows: ``weights`` has the shape (weightings, rows). The first is
    NaN where all the weight is of one kind, the second where none is positive.
    """
    order = np.argsort(-scores, kind="stable")
    ranked, positive = scores[order], positive[order]
    first = np.flatnonzero(np.r_[True, ranked[1:] != ranked[:-1]])
    every = weights[:, order]
    right = every * positive
    if len(first) < len(ranked):
        # Rows of equal score form one step of the curves.
        every, right = np.add.reduceat(every, first, axis=1), np.add.reduceat(right, first, axis=1)
    up_to = np.cumsum(every, axis=1)
    right_up_to = np.cumsum(right, axis=1)
    positives = right_up_to[:, -1].astype(np.float64)
    negatives = up_to[:, -1] - positives
    below = negatives[:, None] - (up_to - right_up_to) + (every - right) / 2
    with np.errstate(invalid="ignore", divide="ignore"):
        roc = (right * below).sum(axis=1) / (positives * negatives)
        precision = np.divide(right_up_to, up_to, out=np.zeros_like(up_to), where=up_to > 0)
        pr = np.einsum("ij,ij->i", right, precision) / positives
    return roc, pr
