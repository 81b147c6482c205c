"""Files of one JSON object a line, as typed Arrow batches, read in blocks of bounded memory.

As with CSV, a column's type must hold for the whole file, but mostly the first block tells: when a later
line widens a type or brings a new key, `NdjsonFile.batches` reads on to the end without yielding and raises
`ReadAgain`. Columns stand in the order in which their keys first come. Python's parser does the reading,
since it refuses depth and length without harm, and each line is parsed by itself, so that it can be named.

Accepted: UTF-8 with or without a byte order mark; blank lines are passed over; keys may be missing.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, Final

import pyarrow as pa

from headrace.errors import BadData
from headrace.specs.base import ColumnType
from headrace_workers.engine.data.json_column import JsonColumn
from headrace_workers.engine.data.source import MAX_COLUMNS, ReadAgain, check_cells, check_names, check_types
from headrace_workers.engine.data.string_values import DoesNotFit

MAX_LINE_BYTES: Final = 4 << 20
BLOCK_BYTES: Final = 1 << 20
BLOCK_CELLS: Final = 500_000
"""Beside the bytes, since a key that a line lacks takes none."""
FREE_CELLS: Final = 4_000_000
"""A gap costs more here than it does in Parquet."""
NDJSON_TYPES: Final = ("number", "integer", "boolean", "category", "text", "timestamp", "sequence")
_BOMS: Final = (b"\xff\xfe", b"\xfe\xff")

Row = dict[str, Any]


class NdjsonFile:
    """A file of JSON lines and what is known of its columns; see the module for how it is read."""

    def __init__(self, path: Path, types: Mapping[str, ColumnType]) -> None:
        """Take the file as it is; `batches` reads it."""
        self._path = path
        self._bytes = path.stat().st_size
        self._bytes_read = 0
        check_types(types, list(types), NDJSON_TYPES, "JSON lines")
        self._forced = dict(types)
        self._columns: dict[str, JsonColumn] = {}

    @property
    def fraction(self) -> float:
        """How much of the file has been read, 0 to 1."""
        return min(1.0, self._bytes_read / max(1, self._bytes))

    @property
    def types(self) -> dict[str, ColumnType | None]:
        """The columns' types; None where it takes the counts of values to tell category from text."""
        return {c.name: c.forced or (c.type if c.type != "text" else None) for c in self._columns.values()}

    @property
    def reasons(self) -> dict[str, str | None]:
        """See `Source.reasons`."""
        return {c.name: c.why for c in self._columns.values()}

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Yield all rows as batches of one schema. Raises `ReadAgain`, and `BadData` with the line."""
        schema, widened, row = None, False, 0
        self._bytes_read = 0
        with self._path.open("rb") as file:
            for numbers, rows in self._blocks(file):
                row += len(rows)
                # As far as was read, so that what is mostly gaps is refused before it takes time.
                check_cells(row, len(self._columns), self._bytes_read, FREE_CELLS)
                there = set[str]().union(*rows)
                arrays = [self._convert(c, numbers, rows, there) for c in self._columns.values()]
                found = pa.schema([(c.name, c.arrow_type) for c in self._columns.values()])
                schema = schema or found
                widened = widened or found != schema
                if not widened:
                    yield pa.RecordBatch.from_arrays(arrays, schema=schema)
        if not row:
            raise BadData("the file is empty; it should hold one JSON object a line")
        check_names(list(self._columns), "")
        check_types(self._forced, list(self._columns), NDJSON_TYPES, "JSON lines")
        if widened:
            raise ReadAgain

    def _convert(self, column: JsonColumn, numbers: list[int], rows: list[Row], there: set[str]) -> pa.Array:
        name = column.name
        if name not in there:
            return pa.nulls(len(rows), column.arrow_type)
        try:
            return column.convert([row.get(name) for row in rows])
        except DoesNotFit as error:
            raise BadData(f"line {numbers[error.index]}, {error.detail}") from None

    def _blocks(self, file: BinaryIO) -> Iterator[tuple[list[int], list[Row]]]:
        """Yield objects with the numbers of their lines, noting new columns."""
        numbers: list[int] = []
        rows: list[Row] = []
        held = 0
        for number, line in _lines(file):
            row = _parse(number, line)
            held += len(line)
            self._bytes_read += len(line)
            if not self._columns.keys() >= row.keys():
                self._add_columns(number, row)
            numbers.append(number)
            rows.append(row)
            if held >= BLOCK_BYTES or len(rows) * len(self._columns) >= BLOCK_CELLS:
                yield numbers, rows
                numbers, rows, held = [], [], 0
        if rows:
            yield numbers, rows

    def _add_columns(self, number: int, row: Row) -> None:
        new = [name for name in row if name not in self._columns]
        check_names(new, f"line {number}: ")
        for name in new:
            self._columns[name] = JsonColumn(name, self._forced.get(name))
        # All of them at each new one would be a square of work.
        if len(self._columns) > MAX_COLUMNS:
            check_names(list(self._columns), f"line {number}: ")


def _lines(file: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """Yield each line that is not blank with its number, from 1. Raises `BadData` for one too long."""
    number = 0
    while line := file.readline(MAX_LINE_BYTES + 1):
        number += 1
        if len(line) > MAX_LINE_BYTES:
            raise BadData(f"line {number}: is longer than {MAX_LINE_BYTES >> 20} MiB")
        if number == 1:
            if line.startswith(_BOMS):
                raise BadData("line 1: the file is UTF-16; save it as UTF-8")
            line = line.removeprefix(b"\xef\xbb\xbf")
        if not line.isspace() and line:
            yield number, line


def _parse(number: int, line: bytes) -> Row:
    try:
        row = _DECODER.decode(line.decode())
    except UnicodeDecodeError as error:
        raise BadData(
            f"line {number}: byte 0x{line[error.start]:02x} is not UTF-8; save the file as UTF-8"
        ) from None
    except RecursionError:
        raise BadData(f"line {number}: is nested too deeply; values should be plain") from None
    except _Refused as error:
        raise BadData(f"line {number}: {error}") from None
    except json.JSONDecodeError as error:
        raise BadData(f"line {number}: is no JSON: {error.msg} at character {error.pos + 1}") from None
    except ValueError:
        raise BadData(f"line {number}: holds a number with too many digits") from None
    if not isinstance(row, dict):
        raise BadData(f"line {number}: should be a JSON object, one a line, such as " + '{"a": 1, "b": "x"}')
    if not row:
        raise BadData(f"line {number}: the object has no keys")
    return row


class _Refused(Exception):
    """JSON as Python reads it, but not as others do."""


def _object(pairs: list[tuple[str, Any]]) -> Row:
    row = dict(pairs)
    if len(row) < len(pairs):
        counts = Counter(name for name, _ in pairs)
        twice = next(name for name, count in counts.items() if count > 1)
        raise _Refused(f"the key {twice[:100]!a} is there twice")
    return row


def _constant(name: str) -> None:
    raise _Refused(f"{name} is no JSON; a missing value is null")


_DECODER: Final = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_constant)
