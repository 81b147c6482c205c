"""Where a CSV file is wrong, by line, found by reading it again slowly.

Arrow's parser is fast because it does not count lines. This reads the file with Python's own, which splits
records the same way, only when there is something to explain; it keeps one record in memory. Lines count
from 1, the header included, as an editor shows them.
"""

from __future__ import annotations

import codecs
import csv
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from pathlib import Path
from typing import Final, TextIO

from headrace.errors import BadData

MAX_RECORD_BYTES: Final = 16 << 20
_READ_BYTES: Final = 1 << 20


def open_text(path: Path) -> TextIO:
    """Open a CSV file for `records`."""
    return path.open(encoding="utf-8-sig", errors="replace", newline="")


def records(lines: Iterable[str], delimiter: str = ",") -> Iterator[tuple[int, list[str]]]:
    """Yield each record as the line on which it begins and its fields; blank lines are left out.

    Raises `BadData` with the line of a field longer than `MAX_RECORD_BYTES` or with a quote never closed.
    """
    csv.field_size_limit(MAX_RECORD_BYTES)
    first = 1

    def end() -> Iterator[str]:
        # Asked for more in the middle of a record: the reader is inside quotes.
        if reader.line_num >= first:
            raise BadData(f"line {first}: a quoted field begins here that is never closed")
        yield from ()

    reader = csv.reader(chain(lines, end()), delimiter=delimiter)
    try:
        for fields in reader:
            if fields:
                yield first, fields
            first = reader.line_num + 1
    except csv.Error:
        raise _too_long(first) from None


def explain(path: Path, delimiter: str = ",") -> BadData | None:
    """Return what is wrong with the CSV file ``path``, or None when nothing is found."""
    try:
        _check_bytes(path)
        with open_text(path) as file:
            width = 0
            for line, fields in records(file, delimiter):
                width = width or len(fields)
                if len(fields) != width:
                    return BadData(f"line {line}: has {_count(len(fields), 'field')}, the header has {width}")
    except BadData as error:
        return error
    return None


def line_of_row(path: Path, row: int, delimiter: str) -> int:
    """Return the line on which row ``row`` begins (rows count from 0, after the header)."""
    with open_text(path) as file:
        for line, _ in islice(records(file, delimiter), row + 1, None):
            return line
    raise ValueError(f"{path} has no row {row}")


def check_quotes(path: Path, delimiter: str) -> None:
    """Raise `BadData` with the line of an opening quote that is never closed."""
    with open_text(path) as file:
        for _ in records(file, delimiter):
            pass


def _check_bytes(path: Path) -> None:
    """Raise `BadData` with the first line that has a NUL byte, is not UTF-8 or is too long."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    line, line_bytes = 1, 0
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
            end = max(block.rfind(b"\n"), block.rfind(b"\r"))
            line_bytes = line_bytes + len(block) if end < 0 else len(block) - end - 1
            if line_bytes > MAX_RECORD_BYTES:
                raise _too_long(line)
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


def _too_long(line: int) -> BadData:
    return BadData(
        f"line {line}: the record that begins here is longer than {MAX_RECORD_BYTES >> 20} MiB, "
        "or a quoted field in it is never closed"
    )


def _newlines(block: bytes) -> int:
    """Count the line ends, of Unix and Windows or, where there are none of those, of the old Macintosh."""
    return block.count(b"\n") or block.count(b"\r")


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")
