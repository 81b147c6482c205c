"""From the strings of a text file to typed values.

A column's type is the smallest that holds every value of the whole file::

    integer → number → text        boolean → text        timestamp → text

Which block a value stands in makes no difference. A missing value fits every type.

- missing: an empty field or one of `MISSING`, spelled exactly so, quoted or not.
- integer: decimal, within 64 bits; beyond that it is a number. Not with a leading zero: ``007`` is a name.
- number: decimal with an optional exponent, finite (``inf`` is text), no leading zero before a digit. The
  decimal mark is a point or, in a file of which it is known, a comma, never both.
- boolean: ``true`` and ``false`` in any case; ``1`` and ``0`` too where the user says that it is boolean.
- timestamp: ISO 8601 date, or date and time to the nanosecond (kept to the microsecond), with ``Z``, an
  offset, or nothing, which means UTC. Also ``2024/05/31``, ``31.5.2024``, ``31 May 2024``, ``31-May-2024``
  and ``May 31, 2024``, with or without a time; not ``05/06/2024``, which is a day in May or in June.

White space around a number, boolean or timestamp is passed over; in text it is kept. A field of nothing but
blanks is text.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from headrace.errors import BadData
from headrace.specs.base import ColumnType
from headrace_workers.engine.data import reasons
from headrace_workers.engine.data.arrow_types import ARROW_TYPES, are_within_years

MISSING: Final = ("", "NA", "N/A", "NaN", "nan", "null", "NULL", "None")

_WIDER: Final[dict[ColumnType | None, tuple[ColumnType, ...]]] = {
    None: ("integer", "number", "boolean", "timestamp", "text"),
    "integer": ("integer", "number", "text"),
    "number": ("number", "text"),
    "boolean": ("boolean", "text"),
    "timestamp": ("timestamp", "text"),
    "text": ("text",),
}
_MEANT: Final = {
    "integer": "an integer of at most 64 bits",
    "number": "a finite number",
    "boolean": "a boolean (true, false, 1 or 0)",
    "timestamp": "a timestamp (such as 2024-05-31 or 2024-05-31T10:00:00Z)",
}
_PROBED: Final = 100
_MONTHS: Final = (
    *("jan(?:uary)?", "feb(?:ruary)?", "mar(?:ch)?", "apr(?:il)?", "may", "june?", "july?", "aug(?:ust)?"),
    *("sep(?:tember)?", "oct(?:ober)?", "nov(?:ember)?", "dec(?:ember)?"),
)
_END: Final = "( |T|$)"
_DATES: Final = (
    (rf"^(\d{{4}})/(\d\d?)/(\d\d?){_END}", r"\1-\2-\3\4"),
    (rf"^(\d\d?)\.(\d\d?)\.(\d{{4}}){_END}", r"\3-\2-\1\4"),
    *((rf"(?i)^(\d\d?)[ -]{m}[ -](\d{{4}}){_END}", rf"\2-{i}-\1\3") for i, m in enumerate(_MONTHS, 1)),
    *((rf"(?i)^{m} (\d\d?), (\d{{4}}){_END}", rf"\2-{i}-\1\3") for i, m in enumerate(_MONTHS, 1)),
    # At last single digits get their zero.
    (rf"^(\d{{4}})-(\d)-(\d\d?){_END}", r"\1-0\2-\3\4"),
    (rf"^(\d{{4}})-(\d\d)-(\d){_END}", r"\1-\2-0\3\4"),
)
"""Patterns of dates, and what makes them ISO."""
_ZONED: Final = r":\d\d(\.\d+)?(Z|[+-]\d\d:?\d\d)$"


class DoesNotFit(BadData):
    """A value does not fit the type that the user gave its column; ``index`` is its place in the array."""

    def __init__(self, index: int, detail: str) -> None:
        super().__init__(detail)
        self.index = index


class StringColumn:
    """One column whose values arrive as arrays of strings.

    ``type`` is the type so far: None while all values are missing, ``text`` for any string. With
    ``forced`` the type is what the user said, and stays so.
    """

    def __init__(self, name: str, forced: ColumnType | None = None, *, decimal_comma: bool = False) -> None:
        self.name = name
        self._decimal_comma = decimal_comma
        self.forced = forced
        self.type: ColumnType | None = forced
        self._note: str | None = None

    @property
    def arrow_type(self) -> pa.DataType:
        """The Arrow type of the values that `convert` returns now."""
        return ARROW_TYPES[self.type or "text"]

    @property
    def why(self) -> str | None:
        """Why it has this type, in words; None where that takes the counts of all values."""
        return reasons.of_values(self.type, forced=self.forced is not None, note=self._note)

    def convert(self, values: pa.Array) -> pa.Array:
        """Return ``values`` (strings, missing as null) typed, widening ``type`` where they need it.

        Raises `DoesNotFit` when ``forced`` cannot hold a value.
        """
        if values.null_count == len(values):
            return pa.nulls(len(values), self.arrow_type)
        if self.forced:
            converted = self._convert(values, self.forced)
            if converted is None:
                place, shown = self._misfit(values, self.forced)
                raise DoesNotFit(place, f"column {self.name!r}: {shown} is not {_MEANT[self.forced]}")
            return converted
        for wider in _WIDER[self.type]:
            # Mostly a few values tell, before all are tried.
            if self._convert(values.slice(0, _PROBED), wider) is None:
                continue
            converted = self._convert(values, wider)
            if converted is not None:
                if wider == "text" and self.type != "text":
                    self._note = self._what_else(values)
                self.type = wider
                return converted
        raise AssertionError("every string is text")

    def _convert(self, values: pa.Array, to: ColumnType) -> pa.Array | None:
        """Return ``values`` as ``to``, or None where one does not fit."""
        if to == "number" and self._decimal_comma:
            if pc.any(pc.match_substring(values, ".")).as_py():
                return None
            values = pc.replace_substring(values, ",", ".")
        return _convert(values, to, forced=self.forced is not None)

    def _what_else(self, values: pa.Array) -> str | None:
        """Say which of ``values``, that make it text, differs from numbers, or what else, before it."""
        known = values.drop_null()
        before: ColumnType = self.type or "number"
        if self.type is None and self._convert(known.slice(0, 1), before) is None:
            return None
        return f"not {before}, since {self._misfit(known, before)[1]} is among the values"

    def _misfit(self, values: pa.Array, type_: ColumnType) -> tuple[int, str]:
        """Return the place of the first value that is not ``type_``, and how to show it."""
        start, length = 0, len(values)
        while length > 1:
            half = length // 2
            if self._convert(values.slice(start, half), type_) is None:
                length = half
            else:
                start, length = start + half, length - half
        value = values[start].as_py()
        return start, repr(value if len(value) <= 80 else value[:80] + "…")


def _convert(values: pa.Array, to: ColumnType, *, forced: bool) -> pa.Array | None:
    if to in ("text", "category"):
        return values
    converted = _convert_exactly(values, to, forced)
    if converted is None:
        trimmed = pc.utf8_trim_whitespace(values)
        if not trimmed.equals(values):
            converted = _convert_exactly(trimmed, to, forced)
    return converted


def _convert_exactly(values: pa.Array, to: ColumnType, forced: bool) -> pa.Array | None:
    if to == "timestamp":
        times = to_timestamps(values)
        if times is None:
            iso = _dates_to_iso(values)
            times = None if iso.equals(values) else to_timestamps(iso)
        return times
    try:
        converted = values.cast(ARROW_TYPES[to])
    except pa.ArrowInvalid:
        return None
    if to == "boolean":
        return converted if forced or not pc.any(pc.is_in(values, pa.array(["0", "1"]))).as_py() else None
    if _has_leading_zero(values, hexadecimal_only=forced):
        return None
    if to == "number" and pc.all(pc.is_finite(converted)).as_py() is False:
        return None
    return converted


def _has_leading_zero(values: pa.Array, *, hexadecimal_only: bool) -> bool:
    """Say whether a value is like ``007``, ``-01`` or ``0x1F`` (which Arrow reads as 31).

    Works on the array's own buffers, since a regular expression per value would cost more than parsing.
    """
    _, offset_buffer, data_buffer = values.buffers()
    if data_buffer is None:
        return False
    offsets = np.frombuffer(offset_buffer, np.int32)[values.offset : values.offset + len(values) + 1]
    data = np.frombuffer(data_buffer, np.uint8)
    # Few values begin so; only they are looked at closely. An empty one shows the byte of the next.
    few = np.flatnonzero(data.take(offsets[:-1], mode="clip") <= ord("0"))
    starts, lengths = offsets[few], offsets[few + 1] - offsets[few]
    starts, lengths = starts[lengths > 1], lengths[lengths > 1]
    signed = (data[starts] == ord("-")) & (lengths > 2)
    starts = starts + signed
    second = data[starts[data[starts] == ord("0")] + 1]
    if (second == ord("x")).any() or (second == ord("X")).any():
        return True
    return not hexadecimal_only and bool(((second >= ord("0")) & (second <= ord("9"))).any())


def to_timestamps(values: pa.Array) -> pa.Array | None:
    """Return strings in ISO 8601 as timestamps in UTC, None where one is none of the years 1 to 9999."""
    times = _any_timestamps(values)
    if times is None or pc.all(are_within_years(times.cast(pa.int64()))).as_py() is False:
        return None
    return times


def _any_timestamps(values: pa.Array) -> pa.Array | None:
    # All without a zone, all with one, or else mixed; to tell by the value costs as much as to convert it.
    for zone in (None, "UTC"):
        try:
            return _cast_to_microseconds(values, zone).cast(ARROW_TYPES["timestamp"])
        except pa.ArrowInvalid:
            continue
    zoned = pc.match_substring_regex(values, _ZONED)
    try:
        with_zone = _cast_to_microseconds(pc.if_else(zoned, values, None), "UTC")
        without = _cast_to_microseconds(pc.if_else(zoned, None, values), None)
    except pa.ArrowInvalid:
        return None
    return pc.coalesce(with_zone, without.cast(ARROW_TYPES["timestamp"]))


def _dates_to_iso(values: pa.Array) -> pa.Array:
    """Return ``values`` with every date at a value's beginning that can be read in one way only as in ISO."""
    for pattern, replacement in _DATES:
        values = pc.replace_substring_regex(values, pattern, replacement)
    return values


def _cast_to_microseconds(values: pa.Array, zone: str | None) -> pa.Array:
    try:
        return values.cast(pa.timestamp("us", tz=zone))
    except pa.ArrowInvalid:
        return values.cast(pa.timestamp("ns", tz=zone)).cast(pa.timestamp("us", tz=zone), safe=False)
