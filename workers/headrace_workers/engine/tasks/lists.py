"""Lists of the best items for users: a predict job's rows, and an online answer."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from headrace.errors import BadData, BadSpec
from headrace.specs.jobs import PredictSpec
from headrace_workers.engine import online
from headrace_workers.engine.algorithms.base import Arrays, Recommends
from headrace_workers.engine.data.arrow_types import ARROW_TYPES
from headrace_workers.engine.data.hashing import hash_rows
from headrace_workers.engine.data.pairs import Pairs
from headrace_workers.engine.data.reader import Reader
from headrace_workers.engine.tasks.base import Predictions

if TYPE_CHECKING:
    from headrace_workers.engine.predictor import Predictor

JSON = dict[str, Any]
USER, RANK, ITEM, SCORE, NEW_USER = "user", "rank", "item", "score", "new_user"
TOP = 10
"""How many items a user gets where nobody says how many."""

BLOCK_ROWS = 65_536
"""Rows that are written at once, about."""


def asked(columns: Pairs, names: Sequence[str]) -> bool:
    """Say whether data with the columns ``names`` asks for lists: it has none of those of items."""
    return not {column["name"] for column in columns.signature_of("item")} & set(names)


def predictions(
    predictor: Predictor, spec: PredictSpec, reader: Reader, told: Callable[[float], None]
) -> Predictions:
    """Return the rows of the job: for each user, in the order of their first rows, one for each rank.

    Memory: 8 bytes for each user. Raises `BadSpec` for columns that lists have not, `BadData` where users are
    missing.
    """
    columns = predictor.preprocessing
    assert isinstance(columns, Pairs), "what recommendations are made from"
    columns.check_users(reader.schema)
    for name in ("keep", "columns"):
        if getattr(spec, name):
            raise BadSpec(
                f"{name}: without the column {columns.item.column!r} the output is a list of items for each "
                f"user, of {USER}, {RANK}, {ITEM}, {SCORE} and {NEW_USER}; it takes none."
            )
    k = min(spec.k or TOP, columns.item.unknown)
    names = [column["name"] for column in columns.signature_of("user")]

    def batches() -> Iterator[pa.RecordBatch]:
        known = np.empty(0, np.uint64)
        for start, batch in reader.batches(names, max(BLOCK_ROWS // k, 1)):
            keys, first = np.unique(hash_rows(batch, [columns.user.column]), return_index=True)
            new = np.sort(first[~np.isin(keys, known)])
            known = np.union1d(known, keys)
            chosen = batch.take(pa.array(new))
            encoded = columns.encode_side("user", chosen)
            if encoded.problems:
                row, reason = next(iter(encoded.problems.items()))
                raise BadData(f"Row {start + int(new[row]) + 1} has no user: {reason}.")
            if len(new):
                yield _rows(predictor, chosen.column(columns.user.column), encoded.inputs, k)
            told((start + batch.num_rows) / reader.rows)

    return Predictions(_schema(columns), batches())


def answer(predictor: Predictor, instances: Sequence[JSON]) -> JSON | None:
    """Return ``{"items": [{"item", "score"}, …], "new_user"}`` for each instance, None where they name items.

    See `online.answer`.
    """
    columns = predictor.preprocessing
    assert isinstance(columns, Pairs), "what recommendations are made from"
    lists = [asked(columns, list(instance)) for instance in instances]
    if not all(lists):
        return None
    table, errors = online.read(instances, columns.signature_of("user"))
    if table is None:
        return {"errors": errors}
    encoded = columns.encode_side("user", table)
    if encoded.problems:
        return {"errors": online.problems(encoded.problems)}
    k = min(TOP, columns.item.unknown)
    items, scores = _best(predictor, encoded.inputs, k)
    new = columns.new("user", encoded.inputs["user"]).tolist()
    ids = columns.item.ids
    return {
        "predictions": [
            {
                "items": [
                    {ITEM: ids[item], SCORE: score}
                    for item, score in zip(row, values, strict=True)
                    if item >= 0
                ],
                NEW_USER: flag,
            }
            for row, values, flag in zip(items.tolist(), scores.tolist(), new, strict=True)
        ]
    }


def _best(predictor: Predictor, inputs: Arrays, k: int) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
    """Return items and their scores in the target's units, shape (n, k)."""
    assert isinstance(predictor.learner, Recommends), "what recommendations come from"
    items, scores = predictor.learner.rank(inputs, k)
    return items, predictor.task.decode(predictor.target, scores)


def _schema(columns: Pairs) -> pa.Schema:
    return pa.schema(
        [
            (USER, ARROW_TYPES[columns.user.type]),
            (RANK, pa.int64()),
            (ITEM, ARROW_TYPES[columns.item.type]),
            (SCORE, pa.float64()),
            (NEW_USER, pa.bool_()),
        ]
    )


def _rows(predictor: Predictor, users: pa.Array, inputs: Arrays, k: int) -> pa.RecordBatch:
    columns: Any = predictor.preprocessing
    items, scores = _best(predictor, inputs, k)
    there = items >= 0
    of, rank = np.nonzero(there)
    schema = _schema(columns)
    arrays = [
        users.take(pa.array(of)).cast(schema.field(USER).type),
        pa.array(rank + 1),
        columns.item.array().take(pa.array(items[there])),
        pa.array(scores[there]),
        pa.array(columns.new("user", inputs["user"])[of]),
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)
