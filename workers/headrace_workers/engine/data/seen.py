"""Which items each user has met in training: what is not recommended again."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray


class Seen:
    """Items by user, each once and in order, as a compressed sparse matrix without values.

    ``starts``: int64, shape (users + 1,); ``items``: int32. Those of user ``u`` are
    ``items[starts[u]:starts[u + 1]]``.
    """

    def __init__(self, starts: NDArray[np.int64], items: NDArray[np.int32]) -> None:
        self.starts = starts
        self.items = items

    def check(self, users: int, items: int) -> None:
        """Raise ValueError unless this is of so many ``users`` and ``items``."""
        starts = self.starts
        whole = starts.dtype.str == "<i8" and self.items.dtype.str == "<i4" and self.items.ndim == 1
        if not (
            whole
            and starts.shape == (users + 1,)
            and starts[0] == 0
            and starts[-1] == len(self.items)
            and (np.diff(starts) >= 0).all()
        ):
            raise ValueError("what users have seen is damaged")
        if len(self.items) and not (self.items.min() >= 0 and self.items.max() < items):
            raise ValueError("users have seen what is no item")

    @classmethod
    def collect(
        cls, pairs: Iterable[tuple[NDArray[np.int32], NDArray[np.int32]]], users: int, items: int
    ) -> Seen:
        """Return what ``pairs`` of users and items say; those that are unknown, or missing, are left out.

        Memory: 8 bytes for each pair that is another one.
        """
        found = np.empty(0, np.int64)
        for user, item in pairs:
            known = (user >= 0) & (user < users) & (item >= 0) & (item < items)
            found = np.union1d(found, user[known].astype(np.int64) * items + item[known])
        starts = np.searchsorted(found, np.arange(users + 1, dtype=np.int64) * items).astype(np.int64)
        return cls(starts, (found % max(items, 1)).astype(np.int32))

    def of(self, users: NDArray[np.integer]) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
        """Return the places in ``users`` and the items that each has seen, a pair for each; unknown users
        have seen none."""
        known = (users >= 0) & (users < len(self.starts) - 1)
        first = self.starts[np.where(known, users, 0)]
        counts = np.where(known, self.starts[np.where(known, users, 0) + 1] - first, 0)
        places = np.repeat(np.arange(len(users)), counts)
        within = np.arange(len(places)) - np.repeat(np.cumsum(counts) - counts, counts)
        return places, self.items[first[places] + within]

    def popularity(self, items: int) -> NDArray[np.int64]:
        """Return by how many users each of ``items`` items was seen, shape (items,)."""
        return np.bincount(self.items, minlength=items)

    @classmethod
    def nothing(cls, users: int) -> Seen:
        """Return that none of ``users`` has seen anything."""
        return cls(np.zeros(users + 1, np.int64), np.empty(0, np.int32))
