"""Where a CSV file is wrong, by line, found by reading it again slowly.

Arrow's parser is fast because it does not count lines. This reads the file with Python's own, which splits
records the same way, only when there is something to explain; it keeps one record in memory. Lines count
from 1, the header included, as an editor shows them.
"""

from __future__ import annotations

import codecs
import csv
from collections.abc import Generator, Iterator
from io import TextIOWrapper
from pathlib import Path
from typing import Final, NamedTuple

from headrace.errors import BadData

MAX_RECORD_BYTES: Final = 4 << 20
_READ_BYTES: Final = 1 << 20


class Record(NamedTuple):
    """One record: the line on which it begins, and its fields."""

    line: int
    fields: list[str]


def records(path: Path) -> Generator[Record, None, None]:
    """Yield the records of ``path``, blank lines left out.

    Raises `BadData` with the line for one longer than `MAX_RECORD_BYTES` or with a quote never closed.
    """
    csv.field_size_limit(MAX_RECORD_BYTES)
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
        lines = _Lines(file)
        reader = csv.reader(lines)
        while True:
            lines.begin(reader.line_num + 1)
            fields = next(reader, None)
            if fields is None:
                return
            if fields:
                yield Record(lines.first, fields)


def explain(path: Path) -> BadData | None:
    """Return what is wrong with the CSV file ``path``, or None when nothing is found."""
    try:
        _check_bytes(path)
        width = None
        for line, fields in records(path):
            width = width or len(fields)
            if len(fields) != width:
                return BadData(f"line {line}: has {_count(len(fields), 'field')}, the header has {width}")
    except BadData as error:
        return error
    return None


def line_of_row(path: Path, row: int) -> int:
    """Return the line on which row ``row`` begins (rows count from 0, after the header)."""
    for index, record in enumerate(records(path)):
        if index == row + 1:
            return record.line
    raise ValueError(f"{path} has no row {row}")


class _Lines:
    """The lines of a file, counted for one record at a time."""

    def __init__(self, file: TextIOWrapper) -> None:
        self._file = file
        self.begin(1)

    def begin(self, line: int) -> None:
        self.first = line
        self._bytes = 0

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self._file.readline(MAX_RECORD_BYTES + 1)
        if not line:
            # Asked for more in the middle of a record: the reader is inside quotes.
            if self._bytes:
                raise BadData(f"line {self.first}: a quoted field begins here that is never closed")
            raise StopIteration
        self._bytes += len(line.encode())
        if self._bytes > MAX_RECORD_BYTES:
            raise BadData(
                f"line {self.first}: the record that begins here is longer than "
                f"{MAX_RECORD_BYTES >> 20} MiB, or a quoted field in it is never closed"
            )
        return line


def _check_bytes(path: Path) -> None:
    """Raise `BadData` with the line of the first NUL byte or the first that is not UTF-8."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    line = 1
    with path.open("rb") as file:
        while block := file.read(_READ_BYTES):
            if line == 1 and block.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
                raise BadData("line 1: the file is UTF-16; save it as UTF-8")
            nul = block.find(b"\0")
            if nul >= 0:
                raise BadData(
                    f"line {line + _newlines(block[:nul])}: holds a NUL byte, so this is no CSV text"
                )
            pending = decoder.getstate()[0]
            try:
                decoder.decode(block)
            except UnicodeDecodeError as error:
                raise _not_utf8(line, block, pending, error) from None
            line += _newlines(block)
        try:
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            raise BadData(f"line {line}: the file ends within a UTF-8 character; it is cut short") from None


def _not_utf8(line: int, block: bytes, pending: bytes, error: UnicodeDecodeError) -> BadData:
    whole = pending + block
    return BadData(
        f"line {line + _newlines(whole[: error.start])}: byte 0x{whole[error.start]:02x} is not UTF-8; "
        "save the file as UTF-8"
    )


def _newlines(block: bytes) -> int:
    """Count the line ends, of Unix and Windows or, where there are none of those, of the old Macintosh."""
    return block.count(b"\n") or block.count(b"\r")


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")
