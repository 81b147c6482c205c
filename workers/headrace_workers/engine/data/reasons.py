"""Why a column has its type, in words that a profile shows."""

from __future__ import annotations

from typing import Final

from headrace.specs.base import ColumnType

ASKED: Final = "asked for"
EVERY_VALUE: Final[dict[ColumnType | None, str]] = {
    None: "no value is there to tell",
    "integer": "every value is a whole number",
    "number": "every value is a number, not every one whole or of 64 bits",
    "boolean": "every value is true or false",
    "timestamp": "every value is a date or a time",
    "sequence": "every value is a list of numbers",
}


def of_values(type: ColumnType | None, *, forced: bool, note: str | None = None) -> str | None:
    """Return why values have ``type``; None where it takes counts to tell, unless ``note`` says something."""
    return ASKED if forced else EVERY_VALUE.get(type, note)


def of_strings(type: ColumnType, distinct: int, exact: bool, rows: int, most: int) -> str:
    """Return why strings are a category, of at most ``most`` values and half as many as rows, or text.

    ``exact``: whether ``distinct`` is all of them, or only as far as they were counted.
    """
    counted = f"{distinct:,} distinct values" if exact else f"more than {distinct - 1:,} distinct values"
    if distinct == 1:
        counted = "1 distinct value"
    among = f"{counted} in {rows:,} rows"
    if type == "category":
        return f"{among}: at most {most}, and at most half as many as rows"
    return f"{among}: more than {most}" if distinct > most else f"{among}: more than half as many as rows"
