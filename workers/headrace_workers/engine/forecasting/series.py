"""Series: the rows of a table that belong together, in the order of time, on a grid of equal steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from headrace.errors import BadData
from headrace_workers.engine.data.encoders import to_floats
from headrace_workers.engine.forecasting import steps
from headrace_workers.engine.forecasting.steps import Step

MAX_GRID = 20
"""A series whose grid has more steps than so many times its rows is not one."""

ALLOWED_SHORT = 1000


@dataclass(frozen=True)
class Columns:
    """Which columns say what: the time, what tells series apart, the target, and other numbers beside it."""

    time: str
    series: tuple[str, ...]
    target: str
    features: tuple[str, ...] = ()

    @property
    def all(self) -> list[str]:
        """All of them, in this order."""
        return [*self.series, self.time, self.target, *self.features]


@dataclass(frozen=True)
class Series:
    """One series. ``start`` is the time of the first step, in microseconds.

    ``values``, shape (steps,), and ``features``, shape (steps, features), are NaN where there is none.
    ``known`` is how many steps there are up to the last value. ``rows`` are the steps' rows in the table, -1
    where there is none.
    """

    key: tuple[Any, ...]
    start: int
    values: NDArray[np.float64]
    features: NDArray[np.float64]
    rows: NDArray[np.int64]

    @property
    def known(self) -> int:
        """How many steps there are up to the last one with a value."""
        there = np.flatnonzero(np.isfinite(self.values))
        return int(there[-1]) + 1 if len(there) else 0

    @property
    def gaps(self) -> int:
        """How many steps before the last value have none."""
        return int(np.isnan(self.values[: self.known]).sum())


@dataclass(frozen=True)
class Group:
    """The rows of one series, in the order of time."""

    key: tuple[Any, ...]
    rows: NDArray[np.int64]
    times: NDArray[np.int64]


def groups(table: pa.Table, columns: Columns) -> list[Group]:
    """Return the series of ``table`` in the order of their keys, with their rows in the order of time.

    Rows without a time are left out. Raises `BadData` where two rows of a series are at one time.
    """
    times = pc.cast(pc.cast(table[columns.time], pa.timestamp("us", "UTC"), safe=False), pa.int64())
    there = times.is_valid().to_numpy()
    micros = pc.fill_null(times, 0).to_numpy().astype(np.int64)
    codes = np.zeros(table.num_rows, np.int64)
    for name in columns.series:
        encoded = table[name].combine_chunks().dictionary_encode()
        found = pc.fill_null(encoded.indices, -1).to_numpy(zero_copy_only=False).astype(np.int64)
        codes = np.unique(codes * (len(encoded.dictionary) + 1) + found + 1, return_inverse=True)[1]
    order = np.lexsort((micros, codes))
    order = order[there[order]]
    borders = np.flatnonzero(np.diff(codes[order])) + 1
    result = []
    for rows in np.split(order, borders) if len(order) else []:
        key = tuple(table[name][int(rows[0])].as_py() for name in columns.series)
        own = micros[rows]
        twice = np.flatnonzero(np.diff(own) == 0)
        if len(twice):
            raise BadData(
                f"Column {columns.time!r}: {named(key, columns)} has two rows or more at "
                f"{steps.text(own[twice[0]])}. Columns that tell series apart are named in series."
            )
        result.append(Group(key, rows, own))
    return sorted(result, key=lambda group: tuple(map(repr, group.key)))


def find_step(found: Sequence[Group]) -> Step:
    """Return the step of all series. Raises `BadData` where there is none."""
    return steps.infer([group.times for group in found])


def read(table: pa.Table, columns: Columns, step: Step) -> list[Series]:
    """Return the series of ``table`` on the grid of ``step``.

    Raises `BadData` for times that are on no step, or two rows of a series at one time.
    """
    values = to_floats(table[columns.target].combine_chunks())
    features = _features(table, columns)
    return [_on_grid(group, columns, step, values, features) for group in groups(table, columns)]


def _features(table: pa.Table, columns: Columns) -> NDArray[np.float64]:
    found = [to_floats(table[name].combine_chunks()) for name in columns.features]
    return np.stack(found, axis=1) if found else np.empty((table.num_rows, 0))


def _on_grid(
    group: Group, columns: Columns, step: Step, values: NDArray[np.float64], features: NDArray[np.float64]
) -> Series:
    start = int(group.times[0])
    numbers = step.numbers(group.times, start)
    off = np.flatnonzero(numbers < 0)
    if len(off):
        raise BadData(
            f"Column {columns.time!r}: {steps.text(group.times[off[0]])} of {named(group.key, columns)} is "
            f"no whole number of steps behind {steps.text(start)}; a step is {step}."
        )
    count = int(numbers[-1]) + 1
    if count > MAX_GRID * len(numbers) + ALLOWED_SHORT:
        raise BadData(
            f"Column {columns.time!r}: {named(group.key, columns)} has {len(numbers)} rows in {count} steps; "
            f"a step is {step}. Too few to learn from."
        )
    on_grid = np.full(count, np.nan)
    on_grid[numbers] = values[group.rows]
    beside = np.full((count, features.shape[1]), np.nan)
    beside[numbers] = features[group.rows]
    rows = np.full(count, -1)
    rows[numbers] = group.rows
    return Series(group.key, start, on_grid, beside, rows)


def named(key: tuple[Any, ...], columns: Columns) -> str:
    """Return a series for people."""
    if not columns.series:
        return "the series"
    return "the series " + ", ".join(
        f"{name} {value!r}" for name, value in zip(columns.series, key, strict=True)
    )


def as_dict(key: tuple[Any, ...], columns: Columns) -> Mapping[str, Any]:
    """Return a series' key by the names of its columns."""
    return dict(zip(columns.series, key, strict=True))
