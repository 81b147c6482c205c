"""From the types of Arrow to those of a dataset's columns: what a Parquet file's columns become.

- integers, and decimals of no digits after the point, become integer; of more than 64 bits number.
- floats and other decimals become number; NaN is missing, infinity is refused.
- date and timestamp become timestamp in UTC, to the microsecond; without a zone they mean UTC.
- strings, also as dictionaries, become category or text, by their counts.
- lists of numbers become sequence.

Whatever else there is (binary, time, duration, struct, map, lists of lists, extensions) is refused by name.
"""

from __future__ import annotations

from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from headrace.errors import BadData
from headrace.specs.base import ColumnType
from headrace_workers.engine.data import reasons
from headrace_workers.engine.data.arrow_types import ARROW_TYPES, are_within_years
from headrace_workers.engine.data.string_values import DoesNotFit, StringColumn

_MAX_DECIMAL_DIGITS: Final = 18


class ArrowColumn:
    """One column whose values arrive as Arrow arrays of ``found`` (dictionaries decoded).

    ``type`` widens from integer to number where values need it; with ``forced`` it is what the user said.
    """

    def __init__(self, name: str, found: pa.DataType, forced: ColumnType | None = None) -> None:
        """Choose the type. Raises `BadData` where none can hold ``found``, or ``forced`` cannot."""
        self.name = name
        self.forced = forced
        self._found = found.value_type if pa.types.is_dictionary(found) else found
        natural = _type_of(self._found)
        if natural is None:
            raise BadData(
                f"column {name!r} holds {str(found)[:200]}, which is not read; numbers, booleans, strings, "
                "dates, timestamps and lists of numbers are"
            )
        self.type: ColumnType = forced or natural
        self._through_text = bool(forced) and self.type != natural and natural != "sequence"
        if forced and natural != forced and "sequence" in (natural, forced):
            raise BadData(f"types: column {name!r} holds {natural} and cannot be {forced}")

    @property
    def arrow_type(self) -> pa.DataType:
        """The Arrow type of the values that `convert` returns now."""
        return ARROW_TYPES[self.type]

    @property
    def why(self) -> str | None:
        """See `StringColumn.why`."""
        if self.forced:
            return reasons.ASKED
        if pa.types.is_null(self._found):
            return reasons.EVERY_VALUE[None]
        return None if self.type == "text" else f"the file says {str(self._found)[:100]}"

    def convert(self, values: pa.Array) -> pa.Array:
        """Return ``values`` typed. Raises `DoesNotFit` where one has no place in the type."""
        if values.null_count == len(values):
            return pa.nulls(len(values), self.arrow_type)
        if self._through_text:
            text = values if is_string(self._found) else self._natural(values, _type_of(self._found))
            return StringColumn(self.name, self.forced).convert(text.cast(pa.string()))
        return self._natural(values, self.type)

    def _natural(self, values: pa.Array, type_: ColumnType | None) -> pa.Array:
        if type_ == "integer":
            return self._integers(values)
        if type_ == "number":
            return self._numbers(values)
        if type_ == "timestamp":
            return self._timestamps(values)
        if type_ == "sequence":
            return self._sequences(values)
        return values.cast(pa.string()) if is_string(self._found) else values

    def _integers(self, values: pa.Array) -> pa.Array:
        try:
            return values.cast(pa.int64())
        except pa.ArrowInvalid:
            if self.forced:
                raise DoesNotFit(0, f"column {self.name!r}: an integer is beyond 64 bits") from None
            self.type = "number"
            return self._numbers(values)

    def _numbers(self, values: pa.Array) -> pa.Array:
        floats = values.cast(pa.float64(), safe=False)
        if pa.types.is_floating(self._found):
            floats = pc.if_else(pc.is_nan(floats), None, floats)
        self._check(floats, pc.is_inf(floats), "is infinite")
        return floats

    def _timestamps(self, values: pa.Array) -> pa.Array:
        zone = getattr(values.type, "tz", None)
        try:
            times = values.cast(pa.timestamp("us", tz=zone), safe=pa.types.is_date(values.type))
            if not pa.types.is_date(values.type) and values.type.unit in ("s", "ms"):
                times = values.cast(pa.timestamp("us", tz=zone))
        except pa.ArrowInvalid:
            raise DoesNotFit(0, f"column {self.name!r}: a time is beyond the years 1 to 9999") from None
        micros = times.cast(pa.int64())
        outside = pc.invert(are_within_years(micros))
        self._check(micros, outside, "microseconds from 1970 are beyond the years 1 to 9999")
        return micros.cast(ARROW_TYPES["timestamp"])

    def _sequences(self, values: pa.Array) -> pa.Array:
        lists = values.cast(pa.list_(self._found.value_type))
        flat = lists.flatten()
        if flat.null_count:
            raise DoesNotFit(0, f"column {self.name!r}: a list holds a null; it should hold numbers")
        if not pc.all(pc.is_finite(flat.cast(pa.float64(), safe=False))).as_py() and len(flat):
            raise DoesNotFit(0, f"column {self.name!r}: a list holds what is not finite")
        return lists.cast(ARROW_TYPES["sequence"], safe=False)

    def _check(self, values: pa.Array, wrong: pa.Array, what: str) -> None:
        index = wrong.index(True).as_py()
        if index >= 0:
            raise DoesNotFit(index, f"column {self.name!r}: {values[index].as_py()} {what}")


def _type_of(found: pa.DataType) -> ColumnType | None:
    if pa.types.is_integer(found):
        return "integer"
    if pa.types.is_decimal(found):
        return "integer" if found.scale == 0 and found.precision <= _MAX_DECIMAL_DIGITS else "number"
    if pa.types.is_floating(found):
        return "number"
    if pa.types.is_boolean(found):
        return "boolean"
    if pa.types.is_date(found) or pa.types.is_timestamp(found):
        return "timestamp"
    if is_string(found) or pa.types.is_null(found):
        return "text"
    if pa.types.is_list(found) or pa.types.is_large_list(found) or pa.types.is_fixed_size_list(found):
        inner = found.value_type
        return "sequence" if pa.types.is_integer(inner) or pa.types.is_floating(inner) else None
    return None


def is_string(found: pa.DataType) -> bool:
    """Say whether ``found`` is one of Arrow's types of strings."""
    types = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)
    return any(is_type(found) for is_type in types)
