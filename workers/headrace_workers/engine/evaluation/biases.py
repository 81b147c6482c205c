"""Ratings by the habits of users and items alone: the trivial answer that a recommender must beat."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from headrace_workers.engine.training.rows import Rows

OF_ITEMS, OF_USERS = 25.0, 10.0
"""How many ratings at the mean each item and user is thought to have besides (Koren 2010, Factor in the
neighbors, section 2.1)."""


def fit(rows: Rows, users: int, items: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return by how much the targets of each of ``users`` and ``items`` are above their mean, 0.

    Items first: the users' are of what is left then.
    """
    sums, counts = np.zeros(items), np.zeros(items)
    for inputs, targets in rows.blocks():
        sums += np.bincount(inputs["item"], targets.astype(np.float64), items)
        counts += np.bincount(inputs["item"], minlength=items)
    of_item = sums / (counts + OF_ITEMS)
    sums, counts = np.zeros(users), np.zeros(users)
    for inputs, targets in rows.blocks():
        sums += np.bincount(inputs["user"], targets - of_item[inputs["item"]], users)
        counts += np.bincount(inputs["user"], minlength=users)
    return sums / (counts + OF_USERS), of_item
