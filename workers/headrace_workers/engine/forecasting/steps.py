"""The step between the times of a series: found in the times, counted, and what it says of the calendar."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from headrace.errors import BadData

Micros = NDArray[np.int64]
"""Microseconds since 1970, UTC."""

SECOND, HOUR, DAY = 1_000_000, 3_600_000_000, 86_400_000_000
WEEK = 7 * DAY
MAX_DAILY_SEASON = 288
"""A shorter step than five minutes has the hour as its season, not the day."""


class Step(BaseModel):
    """``count`` microseconds or calendar months.

    ``offset``, of months: how far times are from the beginning of their month, or from its end (negative).
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    unit: Literal["microsecond", "month"]
    count: int
    offset: int = 0

    def numbers(self, times: Micros, start: int) -> NDArray[np.int64]:
        """Return how many steps each of ``times`` is behind ``start``; -1 for one that is on no step."""
        if self.unit == "microsecond":
            found, rest = np.divmod(times - start, self.count)
            return np.where(rest == 0, found, -1)
        months, offsets = _months(times, end=self.offset < 0)
        found, rest = np.divmod(months - _months(np.array([start]), end=self.offset < 0)[0], self.count)
        return np.where((rest == 0) & (offsets == self.offset), found, -1)

    def times(self, start: int, numbers: NDArray[np.int64]) -> Micros:
        """Return the times that are ``numbers`` of steps behind ``start``."""
        if self.unit == "microsecond":
            return start + numbers * self.count
        end = self.offset < 0
        first = _months(np.array([start]), end=end)[0][0]
        return _beginning(first + numbers * self.count + int(end)) + self.offset

    @property
    def season(self) -> int:
        """How many steps a season has: those of a year, a week or a day; 1 where there is none."""
        if self.unit == "month":
            return 12 // self.count if 12 % self.count == 0 else 1
        if self.count % DAY == 0:
            return {DAY: 7, WEEK: 52}.get(self.count, 1)
        for whole in (DAY, HOUR):
            if self.count < whole and whole % self.count == 0 and whole // self.count <= MAX_DAILY_SEASON:
                return whole // self.count
        return 1

    def calendar(self, times: Micros) -> NDArray[np.float32]:
        """Return sine and cosine of where ``times`` are in the day, the week and the year, shape (n, width).

        Those only that are longer than a step.
        """
        days = times / DAY
        year = times.astype("datetime64[us]").astype("datetime64[Y]")
        begins = year.astype("datetime64[D]").astype(np.float64)
        ends = (year + 1).astype("datetime64[D]").astype(np.float64)
        turns = []
        if self.unit == "microsecond" and self.count < DAY:
            turns.append(days % 1)
        if self.unit == "microsecond" and self.count < WEEK:
            # 1 January 1970 was a Thursday.
            turns.append((days + 3) % 7 / 7)
        if self.unit == "microsecond" or self.count < 12:
            turns.append((days - begins) / (ends - begins))
        angles = 2 * np.pi * np.array(turns).reshape(len(turns), len(times))
        return (
            np.stack([np.sin(angles), np.cos(angles)], axis=-1)
            .transpose(1, 0, 2)
            .reshape(len(times), -1)
            .astype(np.float32)
        )

    def __str__(self) -> str:
        if self.unit == "month":
            return "a month" if self.count == 1 else f"{self.count} months"
        names = ((WEEK, "week"), (DAY, "day"), (HOUR, "hour"), (60 * SECOND, "minute"), (SECOND, "second"))
        for size, name in names:
            if self.count % size == 0:
                count = self.count // size
                return f"{'an' if name == 'hour' else 'a'} {name}" if count == 1 else f"{count} {name}s"
        return f"{self.count / SECOND:g} seconds"


def infer(series: Sequence[Micros]) -> Step:
    """Return the step of ``series``, each of them rising times.

    Raises `BadData` where there is none: all series too short, or times that are irregular.
    """
    gaps = np.concatenate([np.zeros(0, np.int64), *(np.diff(times) for times in series)])
    if not len(gaps):
        raise BadData("No series has two rows, so nothing tells the step between times.")
    usual = _most_frequent(gaps)
    odd = gaps % usual != 0
    if not odd.any():
        return Step(unit="microsecond", count=usual)
    if usual >= 28 * DAY:
        for end in (False, True):
            found = [_months(times, end=end) for times in series]
            offsets = np.unique(np.concatenate([offset for _, offset in found]))
            steps = np.concatenate([np.diff(months) for months, _ in found])
            count = _most_frequent(steps)
            if len(offsets) == 1 and count and not (steps % count).any():
                return Step(unit="month", count=count, offset=int(offsets[0]))
    times = next(times for times in series if (np.diff(times) % usual != 0).any())
    place = int(np.flatnonzero(np.diff(times) % usual != 0)[0])
    first, second = (text(times[place + i]) for i in (0, 1))
    raise BadData(
        f"The times are irregular: most are {Step(unit='microsecond', count=usual)} apart, but {first} and "
        f"{second} are not, nor whole steps. A forecast needs equal steps; rows may be missing."
    )


def text(time: int | np.int64) -> str:
    """Return a time for people."""
    return f"{np.datetime64(int(time), 'us').astype('datetime64[s]')}Z"


def _most_frequent(values: NDArray[np.int64]) -> int:
    found, counts = np.unique(values, return_counts=True)
    return int(found[counts.argmax()])


def _months(times: Micros, *, end: bool) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the month of each time, counted from 1970, and how far it is from its beginning or end."""
    months = times.astype("datetime64[us]").astype("datetime64[M]").astype(np.int64)
    return months, times - _beginning(months + int(end))


def _beginning(months: NDArray[np.int64]) -> Micros:
    return months.astype("datetime64[M]").astype("datetime64[us]").astype(np.int64)
