"""CSV files as typed Arrow batches, read in blocks so that memory does not grow with the file.

Arrow parses a block into strings (in C++, ahead of us); `StringColumn` types them. A column's type must hold
for the whole file, but mostly the first block tells: `CsvFile.batches` yields typed batches from the start,
and only if a later block widens a column does it read on to the end without yielding, so as to know every
type for sure, and raise `ReadAgain`. Blocks are small, since Arrow holds several; a record that is longer
than one also leads to `ReadAgain`, with large blocks. So most files are read once, and none more than thrice.

Accepted: UTF-8 with or without a byte order mark; a comma, semicolon, tab or bar between fields, as
`csv_dialect` finds; double quotes (doubled inside quotes), line ends of any kind, also inside quotes; blank
lines are passed over. The first record names the columns.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Final

import pyarrow as pa
from pyarrow import csv as arrow_csv

from headrace.errors import BadData
from headrace.specs.base import ColumnType
from headrace_workers.engine.data.csv_dialect import SAMPLE_BYTES, Dialect, find_dialect
from headrace_workers.engine.data.csv_errors import (
    MAX_RECORD_BYTES,
    check_quotes,
    explain,
    line_of_row,
    records,
)
from headrace_workers.engine.data.source import ReadAgain, check_names, check_types, gathered
from headrace_workers.engine.data.string_values import MISSING, DoesNotFit, StringColumn

BLOCK_BYTES: Final = 1 << 20
BLOCK_BYTES_PER_COLUMN: Final = 2 << 10
"""Wide tables get larger blocks, since each column of each block has a cost of its own."""
WIDE_BLOCK_BYTES: Final = 4 << 20
CSV_TYPES: Final = ("number", "integer", "boolean", "category", "text", "timestamp")
_NUMBER: Final = re.compile(r"\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*")


class CsvFile:
    """A CSV file and what is known of its columns' types.

    ``columns`` have their final types once `batches` has been exhausted. ``fraction`` is how much of the
    file has been read, by bytes.
    """

    def __init__(self, path: Path, types: Mapping[str, ColumnType]) -> None:
        """Read the header. Raises `BadData` when it is no header, or ``types`` does not fit it."""
        self._path = path
        self._bytes = path.stat().st_size
        self._bytes_read = 0
        self._dialect, names = _header(path)
        check_types(types, names, CSV_TYPES, "CSV")
        self._block_bytes = min(WIDE_BLOCK_BYTES, max(BLOCK_BYTES, BLOCK_BYTES_PER_COLUMN * len(names)))
        self.columns = [
            StringColumn(name, types.get(name), decimal_comma=self._dialect.decimal_comma) for name in names
        ]

    @property
    def fraction(self) -> float:
        """How much of the file has been read, 0 to 1."""
        return min(1.0, self._bytes_read / self._bytes)

    @property
    def types(self) -> dict[str, ColumnType | None]:
        """The columns' types; None where it takes the counts of values to tell category from text."""
        return {c.name: c.forced or (c.type if c.type != "text" else None) for c in self.columns}

    @property
    def reasons(self) -> dict[str, str | None]:
        """See `Source.reasons`."""
        return {c.name: c.why for c in self.columns}

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Yield all rows as batches of one schema.

        Raises `ReadAgain` as the module says, and `BadData` with the line for what cannot be read or
        does not fit.
        """
        schema, widened = None, False
        row = 0
        for strings in gathered(self._strings()):
            try:
                arrays = [c.convert(a) for c, a in zip(self.columns, strings.columns, strict=True)]
            except DoesNotFit as error:
                line = line_of_row(self._path, row + error.index, self._dialect.delimiter)
                raise BadData(f"line {line}, {error.detail}") from None
            row += len(strings)
            found = pa.schema([(c.name, c.arrow_type) for c in self.columns])
            schema = schema or found
            widened = widened or found != schema
            if not widened:
                yield pa.RecordBatch.from_arrays(arrays, schema=schema)
        if row == 0:
            raise BadData("the file has a header and no rows")
        if widened:
            raise ReadAgain

    def _strings(self) -> Iterator[pa.RecordBatch]:
        source = _Source(self._path)
        last = ""
        try:
            with closing(source), self._open(source) as reader:
                for batch in reader:
                    self._bytes_read = source.bytes_read
                    if len(batch):
                        last = batch.column(-1)[-1].as_py() or ""
                        yield batch
        except pa.ArrowInvalid as error:
            if "straddling object" in str(error) and self._block_bytes < MAX_RECORD_BYTES:
                self._block_bytes = MAX_RECORD_BYTES
                raise ReadAgain from None
            raise self._explained(str(error)) from None
        except _NulByte:
            raise self._explained("it holds a NUL byte") from None
        # An opening quote that is never closed swallows the rest of the file, without an error, into the last
        # cell. Mostly that leaves an odd number of quotes; not where a stray one evens it out.
        if source.quotes % 2 or "\n" in last or "\r" in last:
            check_quotes(self._path, self._dialect.delimiter)

    def _open(self, source: _Source) -> arrow_csv.CSVStreamingReader:
        names = [c.name for c in self.columns]
        reader = arrow_csv.open_csv(
            pa.PythonFile(source, mode="r"),
            arrow_csv.ReadOptions(block_size=self._block_bytes),
            arrow_csv.ParseOptions(delimiter=self._dialect.delimiter, newlines_in_values=True),
            arrow_csv.ConvertOptions(
                column_types=dict.fromkeys(names, pa.string()),
                strings_can_be_null=True,
                null_values=list(MISSING),
            ),
        )
        if reader.schema.names != names:
            raise BadData("line 1: the header cannot be read; are its quotes in order?")
        return reader

    def _explained(self, reason: str) -> BadData:
        if "cannot infer number of columns" in reason:
            return BadData("the file has a header and no rows")
        return explain(self._path, self._dialect.delimiter) or BadData(
            f"the file cannot be read as CSV: {reason}"
        )


class _NulByte(Exception):
    """The file holds a NUL byte."""


class _Source(io.RawIOBase):
    """The file as Arrow reads it, from a thread of its own: counts bytes and quotes, refuses NUL."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb")
        self._held = b""
        self.bytes_read = 0
        self.quotes = 0

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1, /) -> bytes:
        block = self._held + self._file.read(size - len(self._held))
        self._held = b""
        # Arrow drops a \n that begins a block after one that ends in \r, also inside quotes.
        if len(block) > 1 and block.endswith(b"\r"):
            block, self._held = block[:-1], b"\r"
        if b"\0" in block:
            raise _NulByte
        self.bytes_read += len(block)
        self.quotes += block.count(b'"')
        return block

    def close(self) -> None:
        self._file.close()
        super().close()


def _header(path: Path) -> tuple[Dialect, list[str]]:
    """Return how ``path`` is written and the names in its first record.

    Raises `BadData` with what is wrong with them.
    """
    with path.open("rb") as file:
        sample = file.read(SAMPLE_BYTES)
        start = sample + file.read(MAX_RECORD_BYTES - len(sample))
    text = sample.decode("utf-8-sig", "replace")
    dialect = find_dialect(text, is_whole=len(start) == len(sample))
    text = start.decode("utf-8-sig", "replace")
    first = next(records(io.StringIO(text, newline=""), dialect.delimiter), None)
    if first is None:
        raise BadData("the file is empty; its first line should name the columns")
    line, names = first
    if any("\0" in name or "\ufffd" in name for name in names) and (
        error := explain(path, dialect.delimiter)
    ):
        raise error
    check_names(names, f"line {line}: ")
    if all(map(_NUMBER.fullmatch, names)) and any("." in name for name in names):
        raise BadData(f"line {line}: should name the columns, but holds only numbers; add a header line")
    return dialect, names
