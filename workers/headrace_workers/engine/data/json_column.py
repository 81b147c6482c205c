"""From the values of a JSON file to typed values, column by column.

A column's type is the smallest that holds every value of the whole file; null, or a key that is not there,
is missing and fits every type::

    integer → number        boolean        timestamp → text        sequence

- integer: a number without fraction or exponent, within 64 bits; beyond that it is a number.
- timestamp: strings that are all ISO 8601 (as `string_values` reads them). No other string is more than text:
  who quotes a number means so, unless ``types`` says what the strings hold.
- sequence: lists of numbers, of any length.

Objects and other lists are refused, and so are columns of mixed types, unless ``types`` says text.
"""

from __future__ import annotations

import json
import math
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from headrace.errors import BadData
from headrace.specs.base import ColumnType
from headrace_workers.engine.data import reasons
from headrace_workers.engine.data.arrow_types import ARROW_TYPES
from headrace_workers.engine.data.string_values import DoesNotFit, StringColumn, to_timestamps

Kind = frozenset[type]

_NONE: Final[Kind] = frozenset([type(None)])
_FITTING: Final[dict[ColumnType, Kind]] = {
    "integer": frozenset([int]),
    "number": frozenset([int, float]),
    "boolean": frozenset([bool]),
    "timestamp": frozenset([str]),
    "text": frozenset([str]),
    "sequence": frozenset([list]),
}
_WIDER: Final[dict[ColumnType, ColumnType]] = {"integer": "number", "timestamp": "text"}
_NAMES: Final = {bool: "a boolean", int: "a number", float: "a number", str: "a string", list: "a list"}
_SHOWN: Final = 80
_INTEGERS: Final = range(-(2**63), 2**63)


class JsonColumn:
    """One column whose values arrive as lists of what `json` makes of them.

    ``type`` is the type so far, None while all are missing; with ``forced`` it is what the user said.
    """

    def __init__(self, name: str, forced: ColumnType | None = None) -> None:
        self.name = name
        self.forced = forced
        self.type: ColumnType | None = forced

    @property
    def arrow_type(self) -> pa.DataType:
        """The Arrow type of the values that `convert` returns now."""
        return ARROW_TYPES[self.type or "text"]

    @property
    def why(self) -> str | None:
        """See `StringColumn.why`."""
        return reasons.of_values(self.type, forced=self.forced is not None)

    def convert(self, values: list[Any]) -> pa.Array:
        """Return ``values`` typed, widening ``type`` where they need it. Raises `DoesNotFit`."""
        kinds = frozenset(map(type, values)) - _NONE
        if not kinds:
            return pa.nulls(len(values), self.arrow_type)
        if self.forced and (self.forced not in ("text", "sequence") or kinds - _FITTING[self.forced]):
            return self._force(values, self.forced)
        start = self.type or _smallest(kinds, next(type(v) for v in values if v is not None))
        type_: ColumnType | None = start
        while type_:
            if kinds <= _FITTING[type_]:
                array = self._array(values, type_)
                if array is not None:
                    self.type = type_
                    return array
            type_ = _WIDER.get(type_)
        raise self._mixed(values, _FITTING[start])

    def _array(self, values: list[Any], type_: ColumnType) -> pa.Array | None:
        """Return ``values`` as ``type_``, None where a wider type could hold what does not fit."""
        try:
            if type_ == "timestamp":
                return to_timestamps(pa.array(values, pa.string()))
            if type_ == "sequence":
                return self._sequences(values)
            array = pa.array(values, ARROW_TYPES[type_])
        except UnicodeEncodeError:
            raise self._first(
                values, _is_broken_text, "holds half of a surrogate pair, which is no text"
            ) from None
        except (pa.ArrowInvalid, OverflowError):
            if type_ == "integer":
                return None
            try:
                # Integers that a float can only come near to.
                array = pa.array([None if v is None else float(v) for v in values], pa.float64())
            except OverflowError:
                raise self._first(values, _is_too_large, "is too large a number") from None
        if type_ == "number" and not pc.all(pc.is_finite(array)).as_py():
            raise self._first(values, _is_too_large, "is too large a number")
        if type_ == "text" and any(v is not None and "\0" in v for v in values):
            raise self._first(values, lambda v: "\0" in v, "holds the character NUL")
        return array

    def _sequences(self, values: list[Any]) -> pa.Array:
        for index, value in enumerate(values):
            if value is not None and frozenset(map(type, value)) - _FITTING["number"]:
                raise self._misfit(index, value, "is not a list of numbers")
        try:
            return pa.array(
                [None if v is None else [float(x) for x in v] for v in values], ARROW_TYPES["sequence"]
            )
        except OverflowError:
            raise self._first(
                values, lambda v: any(map(_is_too_large, v)), "holds too large a number"
            ) from None

    def _force(self, values: list[Any], forced: ColumnType) -> pa.Array:
        nested = {list, dict} if forced != "sequence" else set(map(type, values)) - {list, type(None)}
        for index, value in enumerate(values):
            if type(value) in nested:
                raise self._misfit(
                    index, value, f"is not {'a list of numbers' if forced == 'sequence' else forced}"
                )
        if forced == "sequence":
            return self._sequences(values)
        spelled = [v if v is None or isinstance(v, str) else json.dumps(v) for v in values]
        text = self._array(spelled, "text")
        return StringColumn(self.name, forced).convert(text)

    def _mixed(self, values: list[Any], fitting: Kind) -> BadData:
        index = next(i for i, v in enumerate(values) if v is not None and type(v) not in fitting)
        if isinstance(values[index], dict):
            return self._misfit(index, values[index], "is an object; nested values are not read")
        other, before = _NAMES[type(values[index])], _NAMES[next(iter(fitting))]
        hint = (
            "" if other == "a list" or before == "a list" else f"; with ?types={self.name}:text both are read"
        )
        return self._misfit(index, values[index], f"is {other}, before came {before}{hint}")

    def _first(self, values: list[Any], wrong: Any, what: str) -> DoesNotFit:
        index = next(i for i, v in enumerate(values) if v is not None and wrong(v))
        return self._misfit(index, values[index], what)

    def _misfit(self, index: int, value: Any, what: str) -> DoesNotFit:
        shown = ascii(value) if isinstance(value, str) and _is_broken_text(value) else _spelled(value)
        shown = shown if len(shown) <= _SHOWN else shown[:_SHOWN] + "…"
        return DoesNotFit(index, f"column {self.name!r}: {shown} {what}")


def _smallest(kinds: Kind, first: type) -> ColumnType:
    """Return the narrowest type for values of ``kinds``; where none fits all, one that fits the ``first``."""
    for wanted in (kinds, frozenset([first])):
        for type_, fitting in _FITTING.items():
            if wanted <= fitting:
                return type_
    return "text"


def _is_broken_text(value: str) -> bool:
    return any("\ud800" <= char <= "\udfff" for char in value)


def _is_too_large(value: float) -> bool:
    try:
        return not math.isfinite(float(value))
    except OverflowError:
        return True


def _spelled(value: Any) -> str:
    # An integer of thousands of digits is more than Python prints.
    if isinstance(value, int) and value not in _INTEGERS and _is_too_large(value):
        return "an integer"
    return json.dumps(value, ensure_ascii=False)
