"""How much one column alone tells of the target: what gives it away shows before anything is trained.

A decision tree of that column alone learns from one half of the rows and predicts the other half, so that no
column seems to tell what is only learned by heart, an identifier least of all. Most numbers are far from
giving anything away, which a glance shows that costs much less than a tree.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from headrace_workers.engine.data.encoders import to_floats

MIN_ROWS = 40
GLANCED = 64
MIN_RARE = 5
"""Fewer held-out rows beside the most frequent class say nothing."""


def as_numbers(values: pa.Array) -> NDArray[np.float64]:
    """Return a column as a tree takes it, shape (n, 1): levels by number, times too, NaN where missing."""
    if pa.types.is_string(values.type):
        values = values.dictionary_encode().indices
    elif pa.types.is_timestamp(values.type):
        values = values.cast(pa.int64(), safe=False)
    # Trees compare in float32.
    limit = float(np.finfo(np.float32).max)
    return np.clip(to_floats(values), -limit, limit)[:, None]


def share_of_class(
    column: NDArray[np.float64], classes: NDArray[np.int64], *, ordered: bool
) -> tuple[float, float] | None:
    """Return how much of the held-out rows' class ``column`` tells, and the share of rows it tells right.

    The first is 0 for what the most frequent class alone tells, 1 for all of it. None where too few rows are
    held out to say, or where a glance shows that it is far from all; of ``ordered`` columns only, in which
    like values are beside each other.
    """
    if len(classes) < MIN_ROWS:
        return None
    learned, held_out = _halves(len(classes))
    majority = int(np.bincount(classes[learned]).argmax())
    rare = int((classes[held_out] != majority).sum())
    if rare < MIN_RARE or (ordered and not _may_tell_class(column, classes)):
        return None
    tree = DecisionTreeClassifier(random_state=0)
    tree.fit(column[learned], classes[learned])
    right = float((tree.predict(column[held_out]) == classes[held_out]).mean())
    trivial = 1 - rare / len(held_out)
    return (right - trivial) / (1 - trivial), right


def share_of_variance(
    column: NDArray[np.float64], target: NDArray[np.float64], *, ordered: bool
) -> float | None:
    """Return R² of the held-out rows, predicted from ``column``; None as above, and without variance."""
    if len(target) < MIN_ROWS:
        return None
    learned, held_out = _halves(len(target))
    spread = np.square(target[held_out] - target[held_out].mean()).sum()
    if not (np.isfinite(spread) and spread > 0) or (ordered and not _may_tell_variance(column, target)):
        return None
    tree = DecisionTreeRegressor(random_state=0)
    tree.fit(column[learned], target[learned])
    return float(1 - np.square(target[held_out] - tree.predict(column[held_out])).sum() / spread)


def _may_tell_class(column: NDArray[np.float64], classes: NDArray[np.int64]) -> bool:
    """Return whether the most frequent classes of `GLANCED` equal bins tell half of the rows that are rare.

    Always so where the bins are too few for the classes.
    """
    most = int(classes.max()) + 1
    if 2 * most > GLANCED:
        return True
    cells = np.bincount(_bins(column) * most + classes, minlength=GLANCED * most).reshape(GLANCED, most)
    right, trivial = cells.max(axis=1).sum(), cells.sum(axis=0).max()
    return bool(right - trivial > (len(classes) - trivial) / 2)


def _may_tell_variance(column: NDArray[np.float64], target: NDArray[np.float64]) -> bool:
    """Return whether the means of `GLANCED` equal bins have more than half of the variance."""
    found = _bins(column)
    centred = target - target.mean()
    counts = np.maximum(np.bincount(found, minlength=GLANCED), 1)
    between = (np.bincount(found, weights=centred, minlength=GLANCED) ** 2 / counts).sum()
    return bool(between > np.square(centred).sum() / 2)


def _bins(column: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the bin of each row by its rank; missing values come last."""
    found = np.empty(len(column), np.int64)
    found[np.argsort(column[:, 0], kind="stable")] = np.arange(len(column)) * GLANCED // len(column)
    return found


@cache
def _halves(rows: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the numbers of the rows to learn from and of those to hold out, always the same."""
    order = np.random.default_rng(0).permutation(rows)
    return order[: rows // 2], order[rows // 2 :]


def share_equal(values: pa.Array, target: pa.Array) -> float:
    """Return the share of rows in which a column holds what the target holds; 0 for another type."""
    numeric = _is_number(values.type) and _is_number(target.type)
    if not numeric and values.type != target.type:
        return 0.0
    if numeric:
        values, target = values.cast(pa.float64(), safe=False), target.cast(pa.float64(), safe=False)
    equal: Any = pc.fill_null(pc.equal(values, target), False)
    return float(pc.mean(equal).as_py() or 0.0)


def _is_number(type: pa.DataType) -> bool:
    return bool(pa.types.is_integer(type) or pa.types.is_floating(type))
