"""A histogram of a stream whose range is not known beforehand, with exact counts in bounded memory."""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

FINE_BINS: Final = 256
SHOWN_BINS: Final = 20
_FINEST = -1000


class Histogram:
    """Counts in bins of equal width, a power of two, aligned to its multiples.

    When values outgrow `FINE_BINS` bins, the width doubles (as often as needed, in one step) and each pair of
    bins becomes one, so that no count is ever estimated. ``integers`` keeps the width at 1 or more.
    """

    def __init__(self, *, integers: bool = False) -> None:
        self._least = 0 if integers else _FINEST
        self._exponent: int | None = None
        self._start = 0
        self._counts = np.zeros(FINE_BINS, np.int64)

    def update(self, values: NDArray[np.float64]) -> None:
        """Count ``values``: float64, finite, one dimension."""
        if not len(values):
            return
        low, high = float(values.min()), float(values.max())
        if self._exponent is None:
            self._exponent = max(self._least, _first_exponent(low, high))
            self._start = self._bin(low)
        self._make_room(low, high)
        places = np.floor(np.ldexp(values, -self._exponent)) - float(self._start)
        self._counts += np.bincount(places.astype(np.int64), minlength=FINE_BINS)

    def as_json(self) -> dict[str, Any] | None:
        """Return ``{"edges": […], "counts": […]}`` of at most `SHOWN_BINS` bins, or None without values."""
        if self._exponent is None:
            return None
        first, last = self._used()
        group = -(-(last - first + 1) // SHOWN_BINS)
        bins = -(-(last - first + 1) // group)
        counts = np.zeros(bins * group, np.int64)
        counts[: last - first + 1] = self._counts[first : last + 1]
        limit = np.finfo(np.float64).max
        edges = [self._edge(self._start + first + i * group, limit) for i in range(bins + 1)]
        return {"edges": edges, "counts": counts.reshape(bins, group).sum(axis=1).tolist()}

    def _edge(self, place: int, limit: float) -> float:
        assert self._exponent is not None
        try:
            return math.ldexp(place, self._exponent)
        except OverflowError:
            return math.copysign(limit, place)

    def _bin(self, value: float) -> int:
        assert self._exponent is not None
        # In whole numbers, which do not overflow.
        mantissa, exponent = math.frexp(value)
        shift = exponent - 53 - self._exponent
        whole = int(math.ldexp(mantissa, 53))
        return whole << shift if shift >= 0 else whole >> -shift

    def _used(self) -> tuple[int, int]:
        used = np.flatnonzero(self._counts)
        return int(used[0]), int(used[-1])

    def _make_room(self, low: float, high: float) -> None:
        """Widen or move the bins until ``low`` and ``high`` have one."""
        first, last = self._bin(low), self._bin(high)
        if self._counts.any():
            used_first, used_last = self._used()
            first, last = min(first, self._start + used_first), max(last, self._start + used_last)
        # At least so many doublings are needed, and one more where the ends fall unluckily.
        times = max(0, (last - first).bit_length() - FINE_BINS.bit_length())
        while (last >> times) - (first >> times) >= FINE_BINS:
            times += 1
        if times:
            self._double(times)
        first, last = first >> times, last >> times
        if first < self._start or last >= self._start + FINE_BINS:
            self._counts = np.roll(self._counts, (self._start - first) % FINE_BINS)
            self._start = first

    def _double(self, times: int) -> None:
        assert self._exponent is not None
        # The bins that end up in the first one, which may be all of them.
        rest = min((1 << times) - self._start % (1 << times), FINE_BINS)
        width = min(1 << times, FINE_BINS)
        places = (np.arange(FINE_BINS) - rest) // width + 1
        merged = np.zeros(FINE_BINS, np.int64)
        np.add.at(merged, places, self._counts)
        self._counts = merged
        self._start >>= times
        self._exponent += times


def _first_exponent(low: float, high: float) -> int:
    """Return the exponent of a width that puts ``low`` to ``high`` into at most half of the bins."""
    if low == high:
        return max(_FINEST, math.frexp(low)[1] - 40)
    # Halves, since the difference of two large values may overflow.
    return max(_FINEST, math.frexp(high / 2 - low / 2)[1] + 1 - (FINE_BINS.bit_length() - 2))
