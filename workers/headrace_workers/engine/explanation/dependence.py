"""Partial dependence: the mean prediction with one feature set to each value of a grid in all rows.

scikit-learn's definition (``method="brute"``, with its grid: all values where they are few, else equal steps
between the 5th and the 95th percentile), for predictors that are none of its estimators. Tests hold it to
its ``partial_dependence``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from headrace_workers.engine.data.target import ClassTarget
from headrace_workers.engine.explanation import changed
from headrace_workers.engine.explanation.rows import Drawn
from headrace_workers.engine.predictor import Predictor

JSON = dict[str, Any]
PERCENTILES = (0.05, 0.95)

MAX_CLASSES = 10
"""Of more classes those with the most training rows have curves."""


def dependence(
    predictor: Predictor,
    drawn: Drawn,
    feature: str,
    *,
    steps: int,
    ice: int,
    progress: Callable[[float], None],
) -> JSON:
    """Return the curves over ``feature``, whose raw values ``drawn`` has, at ``steps`` values at most.

    ``ice``: of so many rows, spread over the drawn ones, their own curves too. Of two classes the second has
    a curve; a number has one, in the units of the target; of anomalies it is that of the score.
    """
    place = predictor.preprocessing.columns.index(feature)
    kind = predictor.preprocessing.signature[place]["type"]
    raw = drawn.raw.column(feature)
    values = _grid(raw, kind, steps)
    shown = np.unique(np.linspace(0, len(drawn) - 1, min(ice, len(drawn))).round().astype(np.int64))
    found = []
    for number, value in enumerate(values):
        inputs = changed.constant(predictor, drawn, place, value)
        found.append(_outputs(predictor, predictor.learner.predict(inputs)))
        progress((number + 1) / len(values))
    curves = [
        {
            "label": label,
            "mean": [float(outputs[:, column].mean(dtype=np.float64)) for outputs in found],
            "ice": [[float(outputs[row, column]) for outputs in found] for row in shown],
        }
        for label, column in _curves(predictor)
    ]
    return {"feature": feature, "type": kind, "grid": values, "rows": len(drawn), "curves": curves}


def _grid(values: pa.Array, type: str, steps: int) -> list[Any]:
    """Return the values that are gone through; of the levels of a category the most frequent."""
    known = values.drop_null()
    if type == "category":
        counts = pc.value_counts(known).to_pylist()
        counts.sort(key=lambda each: (-each["counts"], each["values"]))
        return sorted(each["values"] for each in counts[:steps])
    if pa.types.is_floating(known.type):
        known = known.filter(pc.is_finite(known))
    found: list[Any] = sorted(pc.unique(known).to_pylist())
    if len(found) <= steps or type == "boolean":
        return found
    low, high = np.quantile(known.to_numpy(zero_copy_only=False), PERCENTILES).tolist()
    grid = np.linspace(low, high, steps)
    whole = pa.types.is_integer(known.type)
    return list(np.unique(grid.round().astype(np.int64) if whole else grid).tolist())


def _outputs(predictor: Predictor, values: NDArray[Any]) -> NDArray[Any]:
    """Return what is averaged, shape (n, outputs)."""
    target = predictor.target
    if isinstance(target, ClassTarget):
        return values
    found = predictor.task.decode(target, values)
    return found if found.ndim > 1 else found[:, None]


def _curves(predictor: Predictor) -> list[tuple[Any, int]]:
    """Return the label and the column of each output that has a curve."""
    target = predictor.target
    if not isinstance(target, ClassTarget):
        return [(None, 0)]
    if len(target.classes) == 2:
        return [(target.classes[1], 1)]
    most = sorted(range(len(target.classes)), key=lambda k: (-target.counts[k], k))[:MAX_CLASSES]
    return [(target.classes[k], k) for k in sorted(most)]
