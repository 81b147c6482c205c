"""What a regression makes of one feature: the data, and the line through it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from headrace_workers.engine.data.encoders import NumberEncoder, to_floats
from headrace_workers.engine.predictor import Predictor

JSON = dict[str, Any]

MAX_ROWS = 500
"""Rows that are drawn at most."""

STEPS = 50
MAX_AVERAGED = 50


def applies(predictor: Predictor) -> bool:
    """Return whether there is such a picture: where all features are columns of a table, one a number."""
    return _numbers(predictor) != [] and all(
        encoder.type in ("number", "integer", "boolean", "category", "timestamp")
        for encoder in predictor.preprocessing.encoders
    )


def draw(predictor: Predictor, rows: pa.RecordBatch) -> JSON | None:
    """Return data and fit for one feature, or None where ``rows`` do not vary in any.

    With one feature ``line`` is the prediction at its values. With more it is that for the number that goes
    along with the target most, averaged over rows as they are in the others (partial dependence, Friedman
    2001).
    """
    truth = to_floats(rows.column(predictor.target.column))
    columns = {name: to_floats(rows.column(name)) for name in _numbers(predictor)}
    name = max(columns, key=lambda name: _correlation(columns[name], truth))
    known = np.isfinite(columns[name])
    x, y = columns[name][known], truth[known]
    if len(np.unique(x)) < 2:
        return None
    others = [column for column in predictor.preprocessing.columns if column != name]
    grid = np.linspace(x.min(), x.max(), STEPS)
    averaged = rows.slice(0, MAX_AVERAGED if others else 1)
    values = np.repeat(grid, len(averaged))
    kind = rows.schema.field(name).type
    at = values.round() if pa.types.is_integer(kind) else values
    copies = pa.Table.from_batches([averaged] * STEPS).select(others).combine_chunks()
    table = copies.append_column(name, pa.array(at))
    means = predictor.outputs(table).values.reshape(STEPS, -1).mean(axis=1)
    return {
        "feature": name,
        "points": np.column_stack([x, y]).tolist(),
        "line": np.column_stack([at.reshape(STEPS, -1)[:, 0], means]).tolist(),
        "averaged_rows": len(averaged) if others else None,
    }


def _numbers(predictor: Predictor) -> list[str]:
    encoders = predictor.preprocessing.encoders
    return [e.column for e in encoders if isinstance(e, NumberEncoder) and e.type != "boolean"]


def _correlation(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    known = np.isfinite(x) & np.isfinite(y)
    x, y = x[known], y[known]
    if len(x) < 2 or x.std() == 0 or y.std() == 0:
        return 0.0
    return abs(float(np.corrcoef(x, y)[0, 1]))
