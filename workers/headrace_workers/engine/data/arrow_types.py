"""How the types of columns are held in Arrow and Parquet."""

from __future__ import annotations

from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from headrace.specs.base import ColumnType

ARROW_TYPES: Final[dict[ColumnType, pa.DataType]] = {
    "number": pa.float64(),
    "integer": pa.int64(),
    "boolean": pa.bool_(),
    "category": pa.string(),
    "text": pa.string(),
    "timestamp": pa.timestamp("us", tz="UTC"),
    "image": pa.binary(),
    "audio": pa.large_binary(),
    "sequence": pa.list_(pa.float64()),
}
"""``category`` and ``text`` differ only in the list of columns. ``image`` and ``audio`` are their
files' bytes, of two types so that a file of columns tells them apart."""

FIRST_TIME: Final = -62_135_596_800_000_000
"""The beginning of the year 1, in microseconds from 1970."""
LAST_TIME: Final = 253_402_300_800_000_000
"""The end of the year 9999, first microsecond after it."""


def are_within_years(micros: pa.Array) -> pa.Array:
    """Return which of ``micros`` (integers: microseconds from 1970) are in the years 1 to 9999.

    Others have no RFC 3339, and no place in Python.
    """
    return pc.and_(pc.greater_equal(micros, FIRST_TIME), pc.less(micros, LAST_TIME))
