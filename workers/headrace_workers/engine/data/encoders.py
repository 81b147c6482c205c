"""How one column becomes numbers. Each encoder is plain data, fitted once on training rows, kept as JSON.

A fitting takes the column's training values batch by batch and ends in an encoder.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from headrace.errors import BadData, BadSpec
from headrace.specs.base import ColumnType

MAX_DEVIATIONS = 1e4
"""Standardised values are cut here: far beyond any that a model has learned from, and finite in float32."""

MAX_LEVELS = 1000
"""A category's rarer levels count as unseen."""

MAX_DISTINCT = 100_000


class Encoder(BaseModel, ABC):
    """A fitted column: ``width`` float32 values per row."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    column: str
    type: ColumnType

    @property
    @abstractmethod
    def width(self) -> int:
        """How many values a row gets."""

    @abstractmethod
    def encode(self, values: pa.Array, out: NDArray[np.float32]) -> None:
        """Write the encoded ``values`` into ``out``, shape (n, width)."""


class NumberEncoder(Encoder):
    """Standardised; a missing value is the mean, with a flag where training rows had missing values too.

    ``nan``: a missing value is NaN instead, and there is no flag.
    """

    kind: Literal["number"] = "number"
    mean: float
    scale: float
    flag: bool
    nan: bool = False

    @property
    def width(self) -> int:
        """See `Encoder.width`."""
        return 2 if self.flag else 1

    def encode(self, values: pa.Array, out: NDArray[np.float32]) -> None:
        """See `Encoder.encode`."""
        numbers = to_floats(values)
        missing = np.isnan(numbers)
        with np.errstate(over="ignore"):
            deviations = np.clip((numbers - self.mean) / self.scale, -MAX_DEVIATIONS, MAX_DEVIATIONS)
        out[:, 0] = np.where(missing, np.nan if self.nan else 0.0, deviations)
        if self.flag:
            out[:, 1] = missing


class CategoryEncoder(Encoder):
    """Levels in sorted order, then one for a missing value, then one for a level that was not seen."""

    kind: Literal["category"] = "category"
    levels: list[str]
    one_hot: bool

    @property
    def codes(self) -> int:
        """How many level numbers there are."""
        return len(self.levels) + 2

    @property
    def width(self) -> int:
        """See `Encoder.width`."""
        return self.codes if self.one_hot else 1

    def encode(self, values: pa.Array, out: NDArray[np.float32]) -> None:
        """See `Encoder.encode`."""
        found = pc.index_in(pc.cast(values, pa.string()), pa.array(self.levels, pa.string()))
        unseen = len(self.levels) + 1
        codes = pc.fill_null(found, unseen).to_numpy(zero_copy_only=False).astype(np.int64)
        codes[values.is_null().to_numpy(zero_copy_only=False)] = len(self.levels)
        if self.one_hot:
            out[:] = 0
            out[np.arange(len(codes)), codes] = 1
        else:
            out[:, 0] = codes


class TimestampEncoder(Encoder):
    """Standardised days since 1970, and sine and cosine of the time of day, day of week and day of year."""

    kind: Literal["timestamp"] = "timestamp"
    days: NumberEncoder

    @property
    def width(self) -> int:
        """See `Encoder.width`."""
        return self.days.width + 6

    def encode(self, values: pa.Array, out: NDArray[np.float32]) -> None:
        """See `Encoder.encode`."""
        days = to_days(values)
        self.days.encode(pa.array(days, from_pandas=True), out[:, : self.days.width])
        known = np.where(np.isnan(days), 0.0, days)
        year_start = known.astype("datetime64[D]").astype("datetime64[Y]").astype("datetime64[D]")
        # 1 January 1970 was a Thursday.
        turns = (known % 1, (known + 3) % 7 / 7, (known - year_start.astype(np.float64)) / 366)
        for i, turn in enumerate(turns):
            angle = 2 * np.pi * turn
            column = self.days.width + 2 * i
            out[:, column] = np.where(np.isnan(days), 0.0, np.sin(angle))
            out[:, column + 1] = np.where(np.isnan(days), 0.0, np.cos(angle))


class Fitting(ABC):
    """A column's training values, as far as they were seen."""

    def __init__(self, column: str, type: ColumnType) -> None:
        self.column = column
        self.type = type

    @abstractmethod
    def add(self, values: pa.Array) -> None:
        """Take note of more values."""

    @abstractmethod
    def encoder(self) -> Any:
        """Return the fitted encoder."""


class NumberFitting(Fitting):
    """Mean and variance, batch by batch (Chan, Golub, LeVeque 1979)."""

    def __init__(self, column: str, type: ColumnType, *, nan: bool = False) -> None:
        super().__init__(column, type)
        self._nan = nan
        self._moments = Moments()
        self._missing = False

    def add(self, values: pa.Array) -> None:
        """See `Fitting.add`."""
        self.add_floats(to_floats(values))

    def add_floats(self, numbers: NDArray[np.float64]) -> None:
        """Take note of more values, NaN where missing."""
        known = numbers[~np.isnan(numbers)]
        self._missing |= len(known) < len(numbers)
        self._moments.add(known)

    def encoder(self) -> NumberEncoder:
        """See `Fitting.encoder`. Raises `BadData` for values that floats cannot average."""
        mean, scale = self._moments.mean_and_scale(self.column)
        return NumberEncoder(
            column=self.column,
            type=self.type,
            mean=mean,
            scale=scale,
            flag=self._missing and not self._nan,
            nan=self._nan,
        )


class TimestampFitting(Fitting):
    """As `NumberFitting`, of days."""

    def __init__(self, column: str, type: ColumnType, *, nan: bool = False) -> None:
        super().__init__(column, type)
        self._days = NumberFitting(column, type, nan=nan)

    def add(self, values: pa.Array) -> None:
        """See `Fitting.add`."""
        self._days.add_floats(to_days(values))

    def encoder(self) -> TimestampEncoder:
        """See `Fitting.encoder`."""
        return TimestampEncoder(column=self.column, type=self.type, days=self._days.encoder())


class CategoryFitting(Fitting):
    """Counts of levels."""

    def __init__(self, column: str, type: ColumnType, *, one_hot: bool) -> None:
        super().__init__(column, type)
        self._one_hot = one_hot
        self._counts: Counter[str] = Counter()

    def add(self, values: pa.Array) -> None:
        """See `Fitting.add`. Raises `BadSpec` for a column that is no category."""
        # Numbers too are levels, where the spec says so.
        for entry in pc.value_counts(pc.cast(values.drop_null(), pa.string())).to_pylist():
            self._counts[entry["values"]] += entry["counts"]
        if len(self._counts) > MAX_DISTINCT:
            raise BadSpec(
                f"features: column {self.column!r} has more than {MAX_DISTINCT:,} distinct values, "
                "too many for a category; leave it out of the features."
            )

    def encoder(self) -> CategoryEncoder:
        """See `Fitting.encoder`."""
        by_count = sorted(self._counts, key=lambda level: (-self._counts[level], level))
        levels = sorted(by_count[:MAX_LEVELS])
        return CategoryEncoder(column=self.column, type=self.type, levels=levels, one_hot=self._one_hot)


class Moments:
    """Count, mean and sum of squared deviations of numbers, batch by batch."""

    def __init__(self) -> None:
        self._count = 0
        self._mean = 0.0
        self._squares = 0.0

    def add(self, numbers: NDArray[np.float64]) -> None:
        """Take note of more finite numbers."""
        if not len(numbers):
            return
        with np.errstate(over="ignore", invalid="ignore"):
            mean = float(numbers.mean())
            shift = mean - self._mean
            total = self._count + len(numbers)
            self._squares += (
                float(np.square(numbers - mean).sum()) + shift * shift * self._count * len(numbers) / total
            )
        self._mean += shift * len(numbers) / total
        self._count = total

    def mean_and_scale(self, column: str) -> tuple[float, float]:
        """Return mean and standard deviation; the latter 1 for constants. Raises `BadData` on overflow."""
        deviation = float(np.sqrt(self._squares / max(self._count, 1)))
        if not (np.isfinite(self._mean) and np.isfinite(deviation)):
            raise BadData(f"Column {column!r} has numbers too large to average (beyond 1e150).")
        # What is left of a constant after rounding is no deviation.
        constant = deviation <= 1e-12 * abs(self._mean)
        return self._mean, 1.0 if constant else deviation


def to_floats(values: pa.Array) -> NDArray[np.float64]:
    """Return numbers or booleans as float64, NaN where missing or infinite."""
    if pa.types.is_boolean(values.type):
        values = pc.cast(values, pa.uint8())
    numbers = pc.cast(values, pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    return np.where(np.isfinite(numbers), numbers, np.nan)


def to_days(values: pa.Array) -> NDArray[np.float64]:
    """Return timestamps as days since 1970 in UTC, NaN where missing."""
    micros = pc.cast(pc.cast(values, pa.timestamp("us", "UTC"), safe=False), pa.int64())
    days: NDArray[np.float64] = to_floats(micros) / 86_400_000_000
    return days
