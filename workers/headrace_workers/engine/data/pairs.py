"""Rows of a user and an item as numbers, with what is known of each."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from headrace.specs.base import ColumnType
from headrace_workers.engine.algorithms.base import Arrays, Encoding, TensorSpec
from headrace_workers.engine.data import preprocessing
from headrace_workers.engine.data.ids import MISSING, IdEncoder, IdFitting
from headrace_workers.engine.data.preprocessing import TABLE, Encoded, Preprocessing, check_columns

SUFFIX = "_table"


class Pairs(Preprocessing):
    """Ids become numbers; the features of each side a table of its own.

    ``encoders`` are those of the user's features, then of the last ``of_item`` of them, the item's.
    """

    user: IdEncoder
    item: IdEncoder
    of_item: int

    @property
    def sides(self) -> dict[str, tuple[IdEncoder, Preprocessing]]:
        """The ids and features of ``user`` and of ``item``."""
        border = len(self.encoders) - self.of_item
        return {
            "user": (self.user, Preprocessing(encoders=self.encoders[:border])),
            "item": (self.item, Preprocessing(encoders=self.encoders[border:])),
        }

    @property
    def columns(self) -> list[str]:
        """The columns of both sides."""
        return [column["name"] for column in self.signature]

    @property
    def signature(self) -> list[dict[str, Any]]:
        """See `Preprocessing.signature`."""
        return [*self.signature_of("user"), *self.signature_of("item")]

    def signature_of(self, side: str) -> list[dict[str, Any]]:
        """Return the columns that `encode_side` needs, each with ``name`` and ``type``."""
        ids, features = self.sides[side]
        return [{"name": ids.column, "type": ids.type}, *features.signature]

    @property
    def inputs(self) -> dict[str, TensorSpec]:
        """See `Preprocessing.inputs`: ``user``, ``item``, and for those with features ``user_table`` and
        ``item_table``."""
        found = {}
        for side, (ids, features) in self.sides.items():
            found[side] = TensorSpec((), "int32", (ids.unknown + 1,))
            if features.encoders:
                found[side + SUFFIX] = features.inputs[TABLE]
        return found

    def check_users(self, schema: pa.Schema) -> None:
        """Raise `BadData` when ``schema`` lacks what `encode_side` needs of users."""
        check_columns(schema, [(column["name"], column["type"]) for column in self.signature_of("user")])

    def encode(self, batch: pa.RecordBatch | pa.Table) -> Encoded:
        """See `Preprocessing.encode`. A row without user or item is a problem."""
        user, item = self.encode_side("user", batch), self.encode_side("item", batch)
        return Encoded(user.inputs | item.inputs, user.problems | item.problems)

    def encode_side(self, side: str, batch: pa.RecordBatch | pa.Table) -> Encoded:
        """Return the inputs of one side."""
        ids, features = self.sides[side]
        values = batch.column(ids.column)
        numbers = ids.encode(values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values)
        missing = np.flatnonzero(numbers == MISSING).tolist()
        numbers[missing] = ids.unknown
        inputs: Arrays = {side: numbers}
        if features.encoders:
            inputs[side + SUFFIX] = features.encode(batch).inputs[TABLE]
        return Encoded(inputs, dict.fromkeys(missing, f"column {ids.column!r} has no value"))

    def new(self, side: str, numbers: NDArray[np.integer]) -> NDArray[np.bool_]:
        """Return which of ``numbers`` are of users or items that training did not have."""
        return np.asarray(numbers == self.sides[side][0].unknown)


def fit(
    batches: Iterable[pa.RecordBatch],
    user: str,
    item: str,
    features: tuple[Sequence[str], Sequence[str]],
    types: dict[str, ColumnType],
) -> Pairs:
    """Return pairs fitted on ``batches`` of training rows; ``features`` are the user's and the item's.

    Raises `BadSpec` and `BadData` as `preprocessing.fit` does.
    """
    ids = [IdFitting(name, types[name]) for name in (user, item)]

    def add(batch: pa.RecordBatch) -> None:
        for fitting in ids:
            fitting.add(batch.column(fitting.column))

    names = [name for side in features for name in side]
    found = preprocessing.fit(batches, names, types, Encoding(), also=add)
    encoders = [fitting.encoder() for fitting in ids]
    return Pairs(encoders=found.encoders, user=encoders[0], item=encoders[1], of_item=len(features[1]))
