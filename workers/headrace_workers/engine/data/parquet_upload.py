"""Uploaded Parquet files as typed Arrow batches.

A Parquet file says much of itself, and Arrow believes it: how much memory a page unpacks to, how often a
value of a dictionary repeats, how many rows there are. Each figure is bounded before it is used:

- the footer's size, before it is parsed; the number of columns; the table's cells against the file's bytes;
- pages by their own headers (`parquet_pages`), of which one per column is in memory at a time, so that their
  sum over the columns is bounded too; batches have as many rows as keep the densest pages small;
- strings are read as dictionaries and unfolded in slices of bounded size, whose total is bounded as well;
- encodings in which a value may repeat the one before are refused, lists by the number of their values.

And what was claimed is compared with what was read.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from headrace.errors import BadData
from headrace.specs.base import ColumnType
from headrace_workers.engine.data.arrow_columns import ArrowColumn, is_string
from headrace_workers.engine.data.parquet_files import ROW_GROUP_ROWS
from headrace_workers.engine.data.parquet_pages import read_chunk
from headrace_workers.engine.data.source import ReadAgain, check_cells, check_names, check_types
from headrace_workers.engine.data.string_values import DoesNotFit

PARQUET_TYPES: Final = ("number", "integer", "boolean", "category", "text", "timestamp", "sequence")
MAX_FOOTER_BYTES: Final = 16 << 20
MAX_PAGES_BYTES: Final = 160 << 20
"""Of the largest pages of all columns of a row group together: what is unpacked at one time."""
MAX_LIST_VALUES: Final = 8 << 20
"""Of a column of lists in one row group, since a single row might hold them all."""
MAX_TEXT_BYTES: Final = 256 << 20
MAX_TEXT_RATIO: Final = 200
"""Unfolded text may take `MAX_TEXT_BYTES`, or so many times the file's bytes where that is more."""
BATCH_BYTES: Final = 16 << 20
_REFUSED_ENCODINGS: Final = ("DELTA_BYTE_ARRAY",)
_FREE_PAGES: Final = 20_000
_BYTES_PER_PAGE: Final = 500
_MAGIC: Final = b"PAR1"
_ENCRYPTED: Final = b"PARE"
_BROKEN: Final = (pa.ArrowException, OSError, ValueError, OverflowError, UnicodeDecodeError)


class ParquetUpload:
    """A Parquet file and what is known of its columns' types; ``fraction`` is by rows."""

    def __init__(self, path: Path, types: Mapping[str, ColumnType]) -> None:
        """Read the footer. Raises `BadData` where it, or a column, is not what can be read."""
        self._path = path
        self._bytes = path.stat().st_size
        self.fraction = 0.0
        with path.open("rb") as file:
            _check_footer(file, self._bytes)
        with _reading():
            self._metadata = _open(path).metadata
            schema = self._metadata.schema.to_arrow_schema()
        check_names(schema.names, "")
        check_types(types, schema.names, PARQUET_TYPES, "Parquet")
        self._columns = [ArrowColumn(f.name, f.type, types.get(f.name)) for f in schema]
        self._strings = [c.name for c, f in zip(self._columns, schema, strict=True) if _is_text(f.type)]
        rows = self._metadata.num_rows
        if rows <= 0:
            raise BadData("the file has no rows")
        check_cells(rows, len(schema), self._bytes)

    @property
    def types(self) -> dict[str, ColumnType | None]:
        """The columns' types; None where it takes the counts of values to tell category from text."""
        return {c.name: c.forced or (c.type if c.type != "text" else None) for c in self._columns}

    @property
    def reasons(self) -> dict[str, str | None]:
        """See `Source.reasons`."""
        return {c.name: c.why for c in self._columns}

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Yield all rows as batches of one schema. Raises `ReadAgain`, and `BadData` with the row."""
        schema, widened, row = None, False, 0
        for batch in self._decoded():
            try:
                arrays = [c.convert(a) for c, a in zip(self._columns, batch.columns, strict=True)]
            except DoesNotFit as error:
                raise BadData(f"row {row + error.index + 1}, {error.detail}") from None
            except pa.ArrowInvalid as error:
                raise BadData(f"row {row + 1} or after, {_shown(error)}") from None
            row += len(batch)
            self.fraction = row / self._metadata.num_rows
            found = pa.schema([(c.name, c.arrow_type) for c in self._columns])
            schema = schema or found
            widened = widened or found != schema
            if not widened:
                yield pa.RecordBatch.from_arrays(arrays, schema=schema)
        if row != self._metadata.num_rows:
            raise BadData(f"the file claims {self._metadata.num_rows:,} rows and has {row:,}; it is damaged")
        if widened:
            raise ReadAgain

    def _decoded(self) -> Iterator[pa.RecordBatch]:
        """Yield rows without dictionaries, in batches of bounded size."""
        most = max(MAX_TEXT_BYTES, MAX_TEXT_RATIO * self._bytes)
        text_bytes = pages = 0
        with self._path.open("rb") as raw:
            file = None
            for group in range(self._metadata.num_row_groups):
                found = self._check_group(raw, group)
                pages += found.pages
                if pages > _FREE_PAGES + self._bytes // _BYTES_PER_PAGE:
                    raise BadData("the file has more pages than it has room for values; it is damaged")
                with _reading():
                    file = file or _open(self._path, self._strings)
                    batches = file.iter_batches(found.batch_rows, row_groups=[group], use_threads=False)
                rows = 0
                while True:
                    with _reading():
                        batch = next(batches, None)
                        if batch is not None:
                            # Arrow does not check that indices lie within their dictionary, nor UTF-8.
                            batch.validate(full=True)
                    if batch is None:
                        break
                    rows += len(batch)
                    for piece, size in _pieces(batch):
                        text_bytes += size
                        if text_bytes > most:
                            raise BadData(
                                f"the file's text unfolds to more than {most >> 20} MiB, out of "
                                f"proportion to its {self._bytes:,} bytes"
                            )
                        yield piece
                if rows != self._metadata.row_group(group).num_rows:
                    raise BadData(
                        f"row group {group + 1} does not have the rows that it claims; it is damaged"
                    )

    def _check_group(self, raw: BinaryIO, group: int) -> _Group:
        """Return how to read a row group. Raises `BadData` where its pages ask for too much."""
        found = _Group()
        with _reading():
            metadata = self._metadata.row_group(group)
            chunks = [metadata.column(i) for i in range(metadata.num_columns)]
        pages_bytes, density = 0, 1.0
        for index, chunk in enumerate(chunks):
            where = f"column {chunk.path_in_schema[:200]!r}, row group {group + 1}"
            if chunk.file_path:
                raise BadData(f"{where}: lies in another file")
            if set(_REFUSED_ENCODINGS) & set(chunk.encodings):
                raise BadData(
                    f"{where}: the encoding {_REFUSED_ENCODINGS[0]} is not read; "
                    "write it with a dictionary, or plain"
                )
            start = chunk.data_page_offset
            if chunk.has_dictionary_page and chunk.dictionary_page_offset:
                start = min(start, chunk.dictionary_page_offset)
            if start < len(_MAGIC) or not 0 <= chunk.total_compressed_size <= self._bytes - start:
                raise BadData(f"{where}: does not lie within the file; it is cut short or damaged")
            try:
                pages = read_chunk(raw, start, chunk.total_compressed_size)
            except BadData as error:
                raise BadData(f"{where}: {error.detail}") from None
            if self._metadata.schema.column(index).max_repetition_level and pages.values > MAX_LIST_VALUES:
                raise BadData(
                    f"{where}: has {pages.values:,} values in lists; at most {MAX_LIST_VALUES:,} are read "
                    "of a row group, so write smaller ones"
                )
            found.pages += pages.pages
            pages_bytes += pages.dictionary_bytes + pages.largest_bytes
            density += pages.bytes_per_value
        if pages_bytes > MAX_PAGES_BYTES:
            raise BadData(
                f"row group {group + 1}: the largest pages of its columns take {pages_bytes >> 20} MiB "
                f"together; at most {MAX_PAGES_BYTES >> 20} MiB are read, so write smaller ones"
            )
        # An index into a dictionary takes 4 bytes in memory, other values up to 16.
        found.batch_rows = max(1, min(ROW_GROUP_ROWS, int(BATCH_BYTES / (density + 16 * len(chunks)))))
        return found


@dataclass(kw_only=True)
class _Group:
    pages: int = 0
    batch_rows: int = 1


def _check_footer(file: BinaryIO, size: int) -> None:
    """Raise `BadData` unless the file ends as Parquet does, with a footer that it has room for."""
    file.seek(0)
    start = file.read(len(_MAGIC))
    file.seek(max(0, size - 8))
    end = file.read(8)
    if start != _MAGIC or end[4:] not in (_MAGIC, _ENCRYPTED) or size < 12:
        what = "is cut short" if start == _MAGIC else "is no Parquet file"
        raise BadData(f"the file {what}: it should begin and end with PAR1")
    if end[4:] == _ENCRYPTED:
        raise BadData("the file's footer is encrypted")
    (length,) = struct.unpack("<I", end[:4])
    if length > size - 12:
        raise BadData(f"the footer claims {length:,} bytes, the file has {size:,}; it is damaged")
    if length > MAX_FOOTER_BYTES:
        raise BadData(
            f"the footer takes {length >> 20} MiB, at most {MAX_FOOTER_BYTES >> 20} MiB are read; "
            "write larger row groups"
        )


def _open(path: Path, strings: list[str] | None = None) -> pq.ParquetFile:
    return pq.ParquetFile(
        # Not by its name, which would be told in messages.
        pa.OSFile(str(path)),
        read_dictionary=strings,
        pre_buffer=False,
        buffer_size=1 << 16,
        arrow_extensions_enabled=False,
        page_checksum_verification=True,
    )


def _pieces(batch: pa.RecordBatch) -> Iterator[tuple[pa.RecordBatch, int]]:
    """Yield ``batch`` without dictionaries, in slices of bounded size, each with the bytes of its text."""
    text = np.zeros(len(batch), np.int64)
    for column in batch.columns:
        if pa.types.is_dictionary(column.type) and _is_text(column.type):
            lengths = pc.fill_null(pc.binary_length(column.dictionary), 0).to_numpy(zero_copy_only=False)
            if len(lengths):
                indices = pc.fill_null(column.indices, 0).to_numpy(zero_copy_only=False)
                text += lengths[indices]
    ends = np.cumsum(text)
    start = 0
    while start < len(batch):
        before = ends[start - 1] if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, before + BATCH_BYTES, side="right")))
        rows = batch.slice(start, stop - start)
        columns = [c.dictionary_decode() if pa.types.is_dictionary(c.type) else c for c in rows.columns]
        yield pa.RecordBatch.from_arrays(columns, batch.schema.names), int(ends[stop - 1] - before)
        start = stop


def _is_text(found: pa.DataType) -> bool:
    values = found.value_type if pa.types.is_dictionary(found) else found
    return is_string(values)


@contextmanager
def _reading() -> Iterator[None]:
    """Turn what Arrow raises for a damaged file into `BadData`."""
    try:
        yield
    except MemoryError:
        raise
    except _BROKEN as error:
        if getattr(error, "errno", None):
            raise
        raise BadData(f"the file cannot be read as Parquet: {_shown(error)}") from None


def _shown(error: Exception) -> str:
    lines = str(error).splitlines()
    return lines[0][:300] if lines else type(error).__name__
