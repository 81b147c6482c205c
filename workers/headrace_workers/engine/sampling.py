"""New rows drawn from a model that knows how rows are spread, in the columns that it learned from."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol, runtime_checkable

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from headrace.errors import BadSpec
from headrace.specs.jobs import Sample
from headrace_workers.engine.data.arrow_types import ARROW_TYPES
from headrace_workers.engine.data.decoding import decode
from headrace_workers.engine.predictor import Predictor
from headrace_workers.engine.tasks.base import Predictions

SAMPLES = 0
"""The purpose of the random stream of a block."""


@runtime_checkable
class Sampler(Protocol):
    """A learner from which rows can be drawn."""

    def sample(self, count: int, rng: np.random.Generator) -> NDArray[np.float32]:
        """Return ``count`` rows, encoded, all inputs one after another, pixels from 0 to 1."""


def draw(predictor: Predictor, sample: Sample, names: list[str] | None) -> Predictions:
    """Return the rows of ``sample``, the columns ``names`` of them, None: all.

    The same seed draws the same rows, and more rows begin with those of fewer. Raises `BadSpec` where none
    can be drawn from the model.
    """
    learner = predictor.learner
    if not isinstance(learner, Sampler):
        raise BadSpec("sample: no rows can be drawn from this model.")
    types = {column["name"]: column["type"] for column in predictor.signature["inputs"]}
    unknown = [name for name in names or [] if name not in types]
    if unknown:
        raise BadSpec(f"columns: the model knows no column {', '.join(map(repr, unknown[:10]))}.")
    chosen = list(types) if names is None else list(dict.fromkeys(names))
    schema = pa.schema([(name, ARROW_TYPES[types[name]]) for name in chosen])
    step = predictor.preprocessing.batch_rows

    def batches() -> Iterator[pa.RecordBatch]:
        rng = np.random.default_rng([sample.seed, SAMPLES])
        for start in range(0, sample.rows, step):
            count = min(step, sample.rows - start)
            columns = decode(predictor.preprocessing, learner.sample(count, rng))
            yield pa.RecordBatch.from_arrays([columns[name] for name in chosen], schema=schema)

    return Predictions(schema, batches())
