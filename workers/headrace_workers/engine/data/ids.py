"""A column of ids, users or items, as numbers from 0 and back. Plain data, fitted on training rows."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from headrace.errors import BadSpec
from headrace.specs.base import ColumnType
from headrace_workers.engine.data.arrow_types import ARROW_TYPES

MAX_IDS = 5_000_000
"""More ids would not fit into a version beside what is learned of each."""

MISSING = -1


class IdEncoder(BaseModel):
    """The ids of training rows in sorted order; each one's number is its place."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    column: str
    type: ColumnType
    ids: list[int] | list[str]

    @property
    def unknown(self) -> int:
        """The number of every id that training rows do not have."""
        return len(self.ids)

    def array(self) -> pa.Array:
        """Return the ids as they stand in data, in the order of their numbers."""
        return pa.array(self.ids, ARROW_TYPES[self.type])

    def encode(self, values: pa.Array) -> NDArray[np.int32]:
        """Return the number of each value, shape (n,): `unknown` for new ids, `MISSING` for none.

        Whole numbers may come as floats.
        """
        known = self.array()
        if pa.types.is_floating(values.type):
            known = pc.cast(known, values.type, safe=False)
        elif not pa.types.is_null(values.type):
            values = pc.cast(values, known.type)
        found = pc.fill_null(pc.index_in(values, known), self.unknown)
        numbers: NDArray[np.int32] = found.to_numpy(zero_copy_only=False).astype(np.int32)
        numbers[values.is_null().to_numpy(zero_copy_only=False)] = MISSING
        return numbers


class IdFitting:
    """The ids of a column, as far as they were seen."""

    def __init__(self, column: str, type: ColumnType) -> None:
        self.column = column
        self._type = type
        self._seen: pa.Array = pa.array([], ARROW_TYPES[type])

    def add(self, values: pa.Array) -> None:
        """Take note of more values. Raises `BadSpec` for too many ids."""
        more = pc.unique(pc.cast(values.drop_null(), self._seen.type))
        new = more.filter(pc.invert(pc.is_in(more, self._seen)))
        if len(new):
            self._seen = pa.concat_arrays([self._seen, new])
        if len(self._seen) > MAX_IDS:
            raise BadSpec(f"params: column {self.column!r} has more than {MAX_IDS:,} distinct ids.")

    def encoder(self) -> IdEncoder:
        """Return the fitted encoder."""
        ordered = self._seen.take(pc.sort_indices(self._seen)).to_pylist()
        return IdEncoder(column=self.column, type=self._type, ids=ordered)
