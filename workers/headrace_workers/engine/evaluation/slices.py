"""Groups of rows by the values of a column: where a model is better or worse than elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from headrace_workers.engine.data.encoders import to_floats
from headrace_workers.engine.data.sample_rows import rfc3339

JSON = dict[str, Any]

MAX_LEVELS = 20
"""Of more levels the most frequent have a group each, the others one together."""

MAX_LEVELS_OF_NUMBERS = 10
"""Numbers with more distinct values are put into bins of equally many rows."""

BINS = 5
MAX_CHARS = 200
SMALL = 30
"""Fewer rows say little."""

RESAMPLES = 200


@dataclass(frozen=True)
class Group:
    """``name``: ``{"value": …}``, ``{"from": …, "to": …}`` or ``{"others": levels}``; ``rows`` as a mask."""

    name: JSON
    rows: NDArray[np.bool_]


def groups(values: pa.Array) -> Iterator[Group]:
    """Yield the groups of a column, none of them empty: levels by their rows, bins by their values.

    Missing values are a group of their own, the last.
    """
    is_number = not (pa.types.is_string(values.type) or pa.types.is_boolean(values.type))
    if pa.types.is_floating(values.type):
        values = pc.if_else(pc.is_finite(values), values, pa.scalar(None, values.type))
    if is_number and pc.count_distinct(values).as_py() > MAX_LEVELS_OF_NUMBERS:
        yield from _bins(values)
    else:
        yield from _levels(values)
    missing = values.is_null().to_numpy(zero_copy_only=False)
    if missing.any():
        yield Group({"value": None}, missing)


def _levels(values: pa.Array) -> Iterator[Group]:
    found = pc.value_counts(values.drop_null()).to_pylist()
    ordered = sorted(found, key=lambda level: (-level["counts"], level["values"]))
    shown = [level["values"] for level in ordered[:MAX_LEVELS]]
    numbers = pc.fill_null(pc.index_in(values, pa.array(shown, values.type)), -1).to_numpy(
        zero_copy_only=False
    )
    for number, value in enumerate(shown):
        yield Group({"value": _shown(value)}, numbers == number)
    if len(ordered) > len(shown):
        others = (numbers < 0) & values.is_valid().to_numpy(zero_copy_only=False)
        yield Group({"others": len(ordered) - len(shown)}, others)


def _bins(values: pa.Array) -> Iterator[Group]:
    is_time = pa.types.is_timestamp(values.type)
    numbers = to_floats(values.cast(pa.timestamp("us", "UTC")).cast(pa.int64()) if is_time else values)
    known = numbers[~np.isnan(numbers)]
    edges = np.unique(np.quantile(known, np.linspace(0.0, 1.0, BINS + 1)))
    found = np.searchsorted(edges[1:-1], numbers, side="right")
    for number, (low, high) in enumerate(pairwise(edges)):
        rows = (found == number) & ~np.isnan(numbers)
        if rows.any():
            name = {"from": _moment(low), "to": _moment(high)} if is_time else _ends(low, high)
            yield Group(name, rows)


def _ends(low: float, high: float) -> JSON:
    return {"from": float(low), "to": float(high)}


def _moment(micros: float) -> str:
    return rfc3339(datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=round(float(micros))))


def _shown(value: Any) -> Any:
    if isinstance(value, datetime):
        return rfc3339(value)
    if isinstance(value, str) and len(value) > MAX_CHARS:
        return value[:MAX_CHARS] + "…"
    return value


def described(group: Group, metrics: dict[str, float], intervals: dict[str, list[float]]) -> JSON:
    """Return a group as an evaluation shows it; ``small`` where it has fewer than `SMALL` rows."""
    rows = int(group.rows.sum())
    found: JSON = {**group.name, "rows": rows, "metrics": metrics, "intervals": intervals}
    return found | ({"small": True} if rows < SMALL else {})


def compare(entry: JSON, metric: str, overall: float, *, higher_is_better: bool) -> JSON:
    """Return ``entry`` with ``differs``, where its interval of ``metric`` is all beyond ``overall``."""
    ends = entry["intervals"].get(metric)
    if ends is None or "small" in entry:
        return entry
    above, below = ends[0] > overall, ends[1] < overall
    if not (above or below):
        return entry
    return entry | {"differs": "better" if above == higher_is_better else "worse"}
