"""Writing the one Parquet file that a dataset version becomes."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import pyarrow as pa
import pyarrow.parquet as pq

ROW_GROUP_ROWS: Final = 8192
"""At most; a batch never shares a row group with another, so its bytes bound the row group's too."""


class ParquetFile:
    """A Parquet file being written, one batch ahead of its caller, in a thread.

    A context manager: the file is whole when the context ends without an exception. `write` and the end of
    the context raise what writing the batch before raised.
    """

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        strings = [f.name for f in schema if pa.types.is_string(f.type)]
        whole = [f.name for f in schema if pa.types.is_integer(f.type) or pa.types.is_timestamp(f.type)]
        floats = [f.name for f in schema if pa.types.is_floating(f.type)]
        self._writer = pq.ParquetWriter(
            path,
            schema,
            # Writing is a large part of an ingest. Of numbers zstd saves a third of the bytes, for
            # half as much time again.
            compression={f.name: "zstd" for f in schema} | dict.fromkeys(whole + floats, "lz4"),
            column_encoding=dict.fromkeys(whole, "DELTA_BINARY_PACKED"),
            use_dictionary=strings,
            # Would only serve filters, which nobody applies to a dataset.
            write_statistics=False,
        )
        self._pool = ThreadPoolExecutor(1)
        self._pending: Future[None] | None = None

    def write(self, batch: pa.RecordBatch) -> None:
        """Append ``batch`` as row groups of at most `ROW_GROUP_ROWS` rows."""
        if self._pending is not None:
            self._pending.result()
        self._pending = self._pool.submit(self._writer.write_batch, batch, ROW_GROUP_ROWS)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown()
        if error is None and self._pending is not None:
            self._pending.result()
        self._writer.close()
