"""What every kind of upload is to the ingest: typed batches; and the rules that its columns obey."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, Protocol

import pyarrow as pa

from headrace.errors import BadData
from headrace.specs.base import ColumnType
from headrace.specs.task import MAX_LINE_BYTES

MAX_COLUMNS: Final = 5_000
"""More take Arrow and the profile beyond the memory that a job of the light lane should take."""
MAX_NAME: Final = 1000
MAX_COLUMNS_BYTES: Final = MAX_LINE_BYTES - (16 << 10)
"""What the job's result has room for: it lists the columns."""
FREE_CELLS: Final = 20_000_000
MAX_CELLS_PER_BYTE: Final = 100
GATHERED_ROWS: Final = 4096
GATHERED_BYTES: Final = 8 << 20
_BYTES_PER_COLUMN: Final = len('{"name":"","type":"timestamp","nullable":false},')


class Source(Protocol):
    """An upload being read."""

    @property
    def fraction(self) -> float:
        """How much has been read, 0 to 1."""

    @property
    def types(self) -> Mapping[str, ColumnType | None]:
        """The columns' types once all is read; None where it takes counts to tell category from text."""

    @property
    def reasons(self) -> Mapping[str, str | None]:
        """Why the columns have their types, once all is read, in words; None where counts alone tell."""

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Yield all rows, at least one, as batches of one schema. Raises `BadData` and `ReadAgain`."""


class ReadAgain(Exception):
    """The batches so far must be dropped; with what has been learned since, the next will be right."""


def gathered(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Yield the same rows in batches of at least `GATHERED_ROWS` or `GATHERED_BYTES`, but for the last.

    Whatever is done to a batch costs something for each column, which wide tables have in many small batches.
    """
    held: list[pa.RecordBatch] = []
    rows = size = 0
    for batch in batches:
        held.append(batch)
        rows += len(batch)
        size += batch.nbytes
        if rows >= GATHERED_ROWS or size >= GATHERED_BYTES:
            yield pa.concat_batches(held) if len(held) > 1 else batch
            held, rows, size = [], 0, 0
    if held:
        yield pa.concat_batches(held)


def check_names(names: Sequence[str], where: str) -> None:
    """Raise `BadData` unless ``names`` can name the columns; ``where`` begins the message."""
    if len(names) > MAX_COLUMNS:
        raise BadData(f"{where}{len(names)} columns are too many; at most {MAX_COLUMNS} are read")
    for index, name in enumerate(names, start=1):
        if not name.strip():
            raise BadData(f"{where}column {index} has no name")
        if len(name) > MAX_NAME:
            raise BadData(f"{where}the name of column {index} is longer than {MAX_NAME} characters")
        if "\0" in name or (not name.isascii() and _has_surrogate(name)):
            raise BadData(f"{where}the name of column {index} holds what is no text: {name[:100]!a}")
    if len(set(names)) < len(names):
        twice = next(name for name, count in Counter(names).items() if count > 1)
        raise BadData(f"{where}two columns are named {twice!r}")
    if sum(len(name.encode()) + _BYTES_PER_COLUMN for name in names) > MAX_COLUMNS_BYTES:
        raise BadData(
            f"{where}the names of the {len(names)} columns are too long; together with their types they "
            f"may take {MAX_COLUMNS_BYTES >> 10} KiB"
        )


def check_types(
    types: Mapping[str, ColumnType], names: Sequence[str], allowed: Sequence[ColumnType], kind: str
) -> None:
    """Raise `BadData` where ``types`` names no column, or asks for what a file of this ``kind`` has not."""
    known = set(names)
    for name, type_ in types.items():
        if name not in known:
            shown = ", ".join(names[:50]) + (", …" if len(names) > 50 else "")
            raise BadData(f"types: there is no column {name[:100]!r}; the columns are {shown}")
        if type_ not in allowed:
            raise BadData(
                f"types: column {name!r} of a {kind} file cannot be {type_}, only {', '.join(allowed)}"
            )


def check_cells(rows: int, columns: int, file_bytes: int, free: int | None = None) -> None:
    """Raise `BadData` for a table that is out of proportion to the file which it was read from.

    ``free`` cells (`FREE_CELLS` unless given) are in proportion to any file.
    """
    if rows * columns > (FREE_CELLS if free is None else free) + MAX_CELLS_PER_BYTE * file_bytes:
        raise BadData(
            f"{rows:,} rows or more of {columns:,} columns are out of proportion to a file of "
            f"{file_bytes:,} bytes: at most {MAX_CELLS_PER_BYTE} cells a byte are read"
        )


def _has_surrogate(name: str) -> bool:
    return any("\ud800" <= char <= "\udfff" for char in name)
