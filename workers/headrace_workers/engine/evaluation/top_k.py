"""How good lists of recommended items are, user by user.

An item is relevant or not: gains are 1 or 0. Precision, recall: Cleverdon 1967; normalised discounted
cumulative gain: Järvelin, Kekäläinen 2002, Cumulated gain-based evaluation of IR techniques, the discount
being log2(1 + rank).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Scores = dict[str, NDArray[np.float64]]


def scores(hits: NDArray[np.bool_], relevant: NDArray[np.integer], k: int) -> Scores:
    """Return ``precision``, ``recall`` and ``ndcg`` of the first ``k`` items of each user, shape (n,) each.

    ``hits``: whether the item at each rank is relevant, shape (n, ranks), False where a list is shorter.
    ``relevant``: how many items are, shape (n,), 1 at least. A list shorter than ``k`` is not excused.
    """
    found = hits[:, :k].astype(np.float64)
    discounts = 1 / np.log2(np.arange(2, k + 2))
    ideal = np.cumsum(discounts)[np.minimum(relevant, k) - 1]
    counted = found.sum(axis=1)
    return {
        "precision": counted / k,
        "recall": counted / relevant,
        "ndcg": found @ discounts[: found.shape[1]] / ideal,
    }


def coverage(items: NDArray[np.integer], k: int, catalogue: int) -> float:
    """Return the share of the ``catalogue`` items that are in the first ``k`` of anybody's list.

    ``items``: shape (n, ranks), -1 where a list is shorter.
    """
    shown = items[:, :k]
    return len(np.unique(shown[shown >= 0])) / catalogue
