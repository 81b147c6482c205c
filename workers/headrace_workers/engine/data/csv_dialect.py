"""How a CSV file is written, found by looking at its beginning: what parts its fields, and its decimal mark.

The delimiter is the one of `DELIMITERS` that gives every record as many fields as the header, more than one;
of several the one that gives most. Where none does, it is the one that the header holds most of: the file is
wrong then, and is to be explained by the delimiter that was meant.

A comma is the decimal mark of a file that is not parted by commas where it must be: a value such as ``3,5``
or ``1234,567`` is no count of thousands, and no value has a decimal point. ``1,234`` alone tells nothing, and
stays text.
"""

from __future__ import annotations

import csv
import io
import re
from typing import Final, NamedTuple

DELIMITERS: Final = (",", ";", "\t", "|")
SAMPLE_BYTES: Final = 256 << 10
SAMPLE_RECORDS: Final = 100
_COMMA: Final = re.compile(r"\s*[+-]?(\d*,(\d{1,2}|\d{4,})|(0|\d{4,}),\d{3})([eE][+-]?\d+)?\s*")
_POINT: Final = re.compile(r"\s*[+-]?(\d*\.(\d{1,2}|\d{4,})|(0|\d{4,})\.\d{3})([eE][+-]?\d+)?\s*")


class Dialect(NamedTuple):
    """How to read a file."""

    delimiter: str = ","
    decimal_comma: bool = False


def find_dialect(start: str, *, is_whole: bool) -> Dialect:
    """Return the dialect of a file that begins with ``start``; ``is_whole`` says that nothing follows."""
    samples = {delimiter: _records(start, delimiter, is_whole) for delimiter in DELIMITERS}
    widths = {delimiter: len(found[0]) if found else 0 for delimiter, found in samples.items()}
    even = [d for d, found in samples.items() if widths[d] > 1 and {len(r) for r in found} == {widths[d]}]
    delimiter = max(even or DELIMITERS, key=lambda d: widths[d])
    return Dialect(delimiter, delimiter != "," and _has_decimal_comma(samples[delimiter][1:]))


def _records(start: str, delimiter: str, is_whole: bool) -> list[list[str]]:
    """Return the first records that are not blank, without one that may be cut off."""
    found: list[list[str]] = []
    reader = csv.reader(io.StringIO(start, newline=""), delimiter=delimiter)
    try:
        for record in reader:
            if record:
                found.append(record)
            if len(found) > SAMPLE_RECORDS:
                break
        else:
            return found if is_whole or len(found) == 1 else found[:-1]
    except csv.Error:
        # A field that is too long, which reading the file will say.
        pass
    return found


def _has_decimal_comma(records: list[list[str]]) -> bool:
    cells = {cell for record in records for cell in record}
    return any(map(_COMMA.fullmatch, cells)) and not any(map(_POINT.fullmatch, cells))
