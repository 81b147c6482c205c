"""What is kept of one column while its values stream past: one class per family of types.

Each has ``update(values)`` for an Arrow array of its type, and ``as_json()`` with what its type has beyond
``count`` and ``missing``. Memory is bounded by the budgets given, never by the number of rows.
"""

from __future__ import annotations

import hashlib
import io
import math
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from PIL import Image

from headrace_workers.engine.data.audio_profile import AudioProfile
from headrace_workers.engine.data.histogram import Histogram
from headrace_workers.engine.data.sample_rows import rfc3339

SHOWN_VALUES: Final = 20
SHOWN_CHARS: Final = 200
QUANTILES: Final = (0.05, 0.25, 0.5, 0.75, 0.95)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class ColumnProfile(Protocol):
    """What is kept of one column."""

    def update(self, values: pa.Array) -> None:
        """Take the next values, none of them null and at least one."""

    def as_json(self) -> dict[str, Any]:
        """Return what was found. All numbers are finite."""


class DistinctValues:
    """The number of distinct values, exact up to ``budget``, then only "at least"."""

    def __init__(self, budget: int) -> None:
        self._budget = budget
        self._seen: pa.Array | None = None
        self.count = 0

    def update(self, values: pa.Array) -> None:
        """Take the next values, none of them null."""
        # In slices, since of a column without repetition the first will do.
        for start in range(0, len(values), 2 * self._budget):
            if self.count > self._budget:
                self._seen = None
                return
            new = pc.unique(values.slice(start, 2 * self._budget))
            self._seen = new if self._seen is None else pc.unique(pa.concat_arrays([self._seen, new]))
            self.count = len(self._seen)

    def as_json(self) -> dict[str, Any]:
        """Return ``distinct``, or None there and ``distinct_at_least``."""
        return _distinct(self.count, self._budget)


class NumberProfile:
    """Numbers, integers or timestamps: moments (Chan et al., 1979, merged per block), range and histogram.

    Quantiles are not kept here: they come from the sample of rows.
    """

    def __init__(self, budget: int, *, type_: pa.DataType) -> None:
        self._distinct = DistinctValues(budget)
        self._is_time = pa.types.is_timestamp(type_)
        self._histogram = Histogram(integers=not pa.types.is_floating(type_))
        self._count, self._mean, self._squares = 0, 0.0, 0.0
        self._min: Any = None
        self._max: Any = None

    def update(self, values: pa.Array) -> None:
        """Take the next values, none of them null and at least one."""
        if self._is_time:
            values = values.cast(pa.int64())
        self._distinct.update(values)
        exact = values.to_numpy()
        # Before they are made floats, since the ends of the range of integers would be rounded.
        low, high = exact.min().item(), exact.max().item()
        self._min = low if self._min is None else min(self._min, low)
        self._max = high if self._max is None else max(self._max, high)
        floats = exact.astype(np.float64, copy=False)
        self._histogram.update(floats)
        with np.errstate(over="ignore", invalid="ignore"):
            mean = float(floats.mean())
            squares = float(np.square(floats - mean).sum())
            count = self._count + len(floats)
            apart = mean - self._mean
            self._squares += squares + apart * apart * self._count * len(floats) / count
            self._mean += apart * len(floats) / count
        self._count = count

    def as_json(self) -> dict[str, Any]:
        """Return the figures; None for those too large for a float."""
        show = self.show
        found: dict[str, Any] = self._distinct.as_json()
        if self._count:
            found |= {"min": show(self._min), "max": show(self._max), "mean": show(self._mean)}
            if not self._is_time:
                std = math.sqrt(self._squares / (self._count - 1)) if self._count > 1 else 0.0
                found["std"] = std if math.isfinite(std) else None
        histogram = self._histogram.as_json()
        if histogram is not None:
            histogram["edges"] = [show(edge) for edge in histogram["edges"]]
        return found | {"histogram": histogram}

    def show(self, value: float) -> Any:
        """Return ``value`` (of a timestamp: microseconds since 1970) as JSON."""
        if not math.isfinite(value):
            return None
        if not self._is_time:
            return value
        try:
            return rfc3339(_EPOCH + timedelta(microseconds=round(value)))
        except OverflowError:
            return None


class BooleanProfile:
    """How many are true."""

    def __init__(self) -> None:
        self._counts = Counter[bool]()

    def update(self, values: pa.Array) -> None:
        """Take the next values, none of them null and at least one."""
        self._counts[True] += values.true_count
        self._counts[False] += values.false_count

    def as_json(self) -> dict[str, Any]:
        """Return the mean (the share of true), and both values with their counts."""
        counts = +self._counts
        mean = counts[True] / counts.total() if counts else None
        return {"distinct": len(counts), "mean": mean, "top": _top(counts)}


class StringProfile:
    """Categories or text: counts of values while there are few, and lengths.

    Values longer than `SHOWN_CHARS` are kept as their beginning and a digest, so that they still count apart.
    Beyond ``budget`` distinct values counting stops, and ``top`` is that of the first ``top_rows`` values.
    """

    def __init__(self, budget: int) -> None:
        self._budget = budget
        self._counts = Counter[str | tuple[str, bytes]]()
        self._counted = 0
        self._count = 0
        self._chars = 0
        self._shortest: int | None = None
        self._longest = 0

    @property
    def distinct(self) -> int:
        """The number of distinct values; more than ``budget`` means at least so many."""
        return len(self._counts)

    def update(self, values: pa.Array) -> None:
        """Take the next values, none of them null and at least one."""
        lengths = pc.utf8_length(values)
        ends = pc.min_max(lengths).as_py()
        self._shortest = ends["min"] if self._shortest is None else min(self._shortest, ends["min"])
        self._longest = max(self._longest, ends["max"])
        self._chars += pc.sum(lengths).as_py()
        self._count += len(values)
        if len(self._counts) > self._budget:
            return
        self._counted += len(values)
        found = pc.value_counts(values)
        # One more than the budget is enough to know that it is exceeded.
        left = self._budget + 1 if len(found) > self._budget else len(found)
        for value, count in zip(
            found.field("values")[:left].to_pylist(), found.field("counts")[:left].to_pylist(), strict=True
        ):
            self._counts[_key(value)] += count

    def as_json(self) -> dict[str, Any]:
        """Return distinct, top values and lengths in characters."""
        found = _distinct(self.distinct, self._budget)
        found["top"] = _top(Counter({_shown(key): count for key, count in self._counts.items()}))
        if self._counted < self._count:
            found["top_rows"] = self._counted
        if self._count:
            mean = self._chars / self._count
            found["length"] = {"min": self._shortest, "max": self._longest, "mean": mean}
        return found


class ImageProfile:
    """Images: sizes, modes, formats, and lengths of their files in bytes."""

    def __init__(self, budget: int) -> None:
        self._budget = budget
        self._digests = set[bytes]()
        self._sizes = Counter[tuple[int, int]]()
        self._modes = Counter[str]()
        self._formats = Counter[str]()
        self._count, self._bytes, self._largest = 0, 0, 0
        self._smallest: int | None = None

    def update(self, values: pa.Array) -> None:
        """Take the next values, none of them null and at least one."""
        for data in values.to_pylist():
            with Image.open(io.BytesIO(data)) as image:
                # Of images that all differ in size only the first sizes are told apart.
                if image.size in self._sizes or len(self._sizes) < self._budget:
                    self._sizes[image.size] += 1
                self._modes[image.mode] += 1
                self._formats[image.format or ""] += 1
            if len(self._digests) <= self._budget:
                self._digests.add(hashlib.blake2b(data, digest_size=16).digest())
            self._count += 1
            self._bytes += len(data)
            self._largest = max(self._largest, len(data))
            self._smallest = len(data) if self._smallest is None else min(self._smallest, len(data))

    def as_json(self) -> dict[str, Any]:
        """Return the counts; ``sizes`` are the `SHOWN_VALUES` most frequent."""
        return _distinct(len(self._digests), self._budget) | {
            "sizes": [
                {"width": w, "height": h, "count": n} for (w, h), n in self._sizes.most_common(SHOWN_VALUES)
            ],
            "modes": dict(self._modes.most_common()),
            "formats": dict(self._formats.most_common()),
            "bytes": {"min": self._smallest, "max": self._largest, "mean": self._bytes / max(1, self._count)},
        }


class SequenceProfile:
    """Lists of numbers: how many numbers they have, and the range and mean of all of these."""

    def __init__(self) -> None:
        self._count = self._numbers = self._longest = 0
        self._shortest: int | None = None
        self._sum = 0.0
        self._min, self._max = math.inf, -math.inf

    def update(self, values: pa.Array) -> None:
        """Take the next values, none of them null and at least one."""
        ends = pc.min_max(pc.list_value_length(values)).as_py()
        self._shortest = ends["min"] if self._shortest is None else min(self._shortest, ends["min"])
        self._longest = max(self._longest, ends["max"])
        self._count += len(values)
        numbers = values.flatten().to_numpy()
        self._numbers += len(numbers)
        if len(numbers):
            self._min, self._max = min(self._min, numbers.min()), max(self._max, numbers.max())
            with np.errstate(over="ignore", invalid="ignore"):
                self._sum += float(numbers.sum())

    def as_json(self) -> dict[str, Any]:
        """Return the lengths, and the figures of the numbers; None for those too large for a float."""
        if not self._count:
            return {"distinct": None}
        mean = self._numbers / self._count
        found: dict[str, Any] = {
            "distinct": None,
            "length": {"min": self._shortest, "max": self._longest, "mean": mean},
        }
        if self._numbers:
            mean = self._sum / self._numbers
            found |= {"min": float(self._min), "max": float(self._max)}
            found["mean"] = mean if math.isfinite(mean) else None
        return found


_PROFILES: Final[dict[str, Callable[[int, pa.DataType], ColumnProfile]]] = {
    "string": lambda budget, _: StringProfile(budget),
    "binary": lambda budget, _: ImageProfile(budget),
    "large_binary": lambda budget, _: AudioProfile(budget),
    "bool": lambda budget, _: BooleanProfile(),
}


def profile_of(type_: pa.DataType, budget: int) -> ColumnProfile:
    """Return a new profile for a column of ``type_`` that may keep ``budget`` distinct values."""
    if pa.types.is_list(type_):
        return SequenceProfile()
    make = _PROFILES.get(str(type_))
    return make(budget, type_) if make else NumberProfile(budget, type_=type_)


def _distinct(count: int, budget: int) -> dict[str, Any]:
    return {"distinct": count} if count <= budget else {"distinct": None, "distinct_at_least": count}


def _top(counts: Counter[Any]) -> list[dict[str, Any]]:
    # Equal counts in the order of values, so that the order of blocks does not show.
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return [{"value": value, "count": count} for value, count in ordered[:SHOWN_VALUES]]


def _key(value: str) -> str | tuple[str, bytes]:
    if len(value) <= SHOWN_CHARS:
        return value
    return value[:SHOWN_CHARS], hashlib.blake2b(value.encode(), digest_size=16).digest()


def _shown(key: str | tuple[str, bytes]) -> str:
    return key if isinstance(key, str) else key[0] + "…"
