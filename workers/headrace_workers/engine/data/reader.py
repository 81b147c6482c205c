"""Reading the Parquet file of a dataset version, a batch of rows at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from headrace.errors import BadData, BadSpec
from headrace.specs.base import Column, ColumnType

BATCH_ROWS = 8192
MEDIA_BATCH_ROWS = 256
"""Rows of one batch at most; fewer with images and sounds, each of which may take megabytes."""

READ_BUFFER_BYTES = 1 << 20


class Reader:
    """The rows of one file, in their order; every pass reads the file again."""

    def __init__(self, path: Path, columns: Sequence[Column]) -> None:
        try:
            # Without pre-buffering: it would hold whole row groups of images.
            self._file = pq.ParquetFile(path, buffer_size=READ_BUFFER_BYTES, pre_buffer=False)
        except (pa.ArrowException, OSError) as error:
            raise BadData(f"The dataset's file cannot be read: {error}") from None
        self.types: dict[str, ColumnType] = {column.name: column.type for column in columns}
        self.rows: int = self._file.metadata.num_rows
        self.schema: pa.Schema = self._file.schema_arrow

    def require(self, names: Sequence[str], what: str) -> None:
        """Raise `BadSpec` when the dataset lacks one of ``names``, which are ``what`` to the user."""
        missing = [name for name in names if name not in self.types]
        if missing:
            raise BadSpec(
                f"{what}: the dataset has no column {', '.join(map(repr, missing[:10]))}; "
                f"it has {', '.join(map(repr, list(self.types)[:50]))}."
            )

    def batches(
        self, names: Sequence[str], batch_rows: int = BATCH_ROWS
    ) -> Iterator[tuple[int, pa.RecordBatch]]:
        """Yield batches of the columns ``names`` and the number of each batch's first row.

        Raises `BadData` when the file cannot be read to its end.
        """
        names = list(dict.fromkeys(names))
        large = any(self.types.get(name) in ("image", "audio") for name in names)
        limit = MEDIA_BATCH_ROWS if large else BATCH_ROWS
        start = 0
        try:
            for batch in self._file.iter_batches(min(batch_rows, limit), columns=names):
                # A file's column "a" also brings "a.b" along.
                yield start, batch.select(names)
                start += batch.num_rows
        except (pa.ArrowException, OSError) as error:
            raise BadData(f"The dataset's file cannot be read past row {start}: {error}") from None
