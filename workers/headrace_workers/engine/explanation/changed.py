"""Drawn rows with other values in some of their columns, as a learner takes them.

Where columns have places in the inputs, what stands there is changed, and nothing is encoded twice. A
committee's inputs are what its members predict, and users and items have tables of their own: there the raw
values are changed and all is encoded again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from headrace_workers.engine.algorithms.base import Arrays
from headrace_workers.engine.committee import Committee
from headrace_workers.engine.data.pairs import Pairs
from headrace_workers.engine.data.preprocessing import Preprocessing
from headrace_workers.engine.explanation.rows import Drawn
from headrace_workers.engine.predictor import Predictor


def encodes_again(columns: Preprocessing) -> bool:
    """Return whether changed rows are encoded again from all their raw columns."""
    return isinstance(columns, Committee | Pairs)


def shuffled(
    predictor: Predictor, drawn: Drawn, start: int, stop: int, taken: Mapping[int, NDArray[np.int32]]
) -> Arrays:
    """Return the inputs of the rows from ``start`` to ``stop``.

    ``taken``: by the number of a column, the drawn rows from which each of these rows takes its value.
    """
    columns = predictor.preprocessing
    if encodes_again(columns):
        batch = drawn.raw.slice(start, stop - start)
        for feature, rows in taken.items():
            values = drawn.raw.column(columns.columns[feature]).take(pa.array(rows))
            batch = _replaced(batch, columns.columns[feature], values)
        return columns.encode(batch).inputs
    inputs = {name: values[start:stop].copy() for name, values in drawn.inputs.items()}
    for feature, rows in taken.items():
        name, place = columns.places[feature]
        inputs[name][..., place] = drawn.inputs[name][rows][..., place]
    return inputs


def constant(predictor: Predictor, drawn: Drawn, feature: int, value: Any) -> Arrays:
    """Return the inputs of all drawn rows with ``value`` in the column ``feature``, one of their raw ones."""
    columns = predictor.preprocessing
    column = columns.columns[feature]
    values = pa.array([value] * len(drawn), drawn.raw.column(column).type)
    if encodes_again(columns):
        return columns.encode(_replaced(drawn.raw, column, values)).inputs
    name, place = columns.places[feature]
    changed = drawn.inputs[name].copy()
    encoder: Any = columns.encoders[feature]
    encoder.encode(values, changed[..., place])
    return {**drawn.inputs, name: changed}


def _replaced(batch: pa.RecordBatch, name: str, values: pa.Array) -> pa.RecordBatch:
    return batch.set_column(batch.schema.get_field_index(name), name, values)
