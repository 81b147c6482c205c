"""How the types of columns are held in Arrow and Parquet."""

from __future__ import annotations

from typing import Final

import pyarrow as pa

from headrace.specs.base import ColumnType

ARROW_TYPES: Final[dict[ColumnType, pa.DataType]] = {
    "number": pa.float64(),
    "integer": pa.int64(),
    "boolean": pa.bool_(),
    "category": pa.string(),
    "text": pa.string(),
    "timestamp": pa.timestamp("us", tz="UTC"),
    "image": pa.binary(),
    "sequence": pa.list_(pa.float64()),
}
"""``category`` and ``text`` differ only in the list of columns. ``image`` is its file's bytes."""
