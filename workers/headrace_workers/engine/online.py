"""Instances of a request, as JSON gives them, to predictions, as JSON takes them.

An instance is an object with one entry per input column of the version, no more and no less; null says that
a value is unknown. Values are written as in a JSON file that is uploaded: numbers, booleans, strings, lists
of numbers for a sequence, ISO 8601 for a timestamp. An image or a sound is its file in base64.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from headrace.specs.base import ColumnType
from headrace_workers.engine.data.arrow_types import ARROW_TYPES
from headrace_workers.engine.data.json_column import JsonColumn
from headrace_workers.engine.data.string_values import DoesNotFit
from headrace_workers.engine.predictor import Predictor

Answer = dict[str, Any]
MAX_ERRORS = 20


def answer(predictor: Predictor, instances: Sequence[dict[str, Any]]) -> Answer:
    """Return ``{"predictions": […]}``, or ``{"errors": [{"loc", "msg"}, …]}`` when any instance does not fit.

    What a prediction is, its task says: ``{"label", "probabilities"}`` or ``{"value"}``, for example.
    """
    own = predictor.task.answer(predictor, instances)
    if own is not None:
        return own
    table, errors = read(instances, predictor.signature["inputs"])
    if table is None:
        return {"errors": errors}
    outputs = predictor.outputs(table)
    if outputs.problems:
        return {"errors": problems(outputs.problems)}
    return {"predictions": predictor.task.answers(predictor.target, outputs.values)}


def read(
    instances: Sequence[dict[str, Any]], columns: Sequence[dict[str, Any]]
) -> tuple[pa.Table | None, list[Answer]]:
    """Return ``instances`` as a table of ``columns``, each with name and type; or None and why not."""
    errors = _shape_errors(instances, [column["name"] for column in columns])
    if errors:
        return None, errors[:MAX_ERRORS]
    arrays = {}
    for column in columns:
        name = column["name"]
        array, found = _column(name, column["type"], [instance[name] for instance in instances])
        arrays[name] = array
        errors += found
    return (None, errors[:MAX_ERRORS]) if errors else (pa.table(arrays), [])


def problems(found: dict[int, str]) -> list[Answer]:
    """Return the errors of instances, by their number, that could not be predicted."""
    return [_error(reason, row) for row, reason in sorted(found.items())[:MAX_ERRORS]]


def _shape_errors(instances: Sequence[dict[str, Any]], names: list[str]) -> list[Answer]:
    errors: list[Answer] = []
    takes = ", ".join(names[:20]) + (", …" if len(names) > 20 else "")
    for i, instance in enumerate(instances):
        missing = [name for name in names if name not in instance]
        errors += [_error("is missing; null says that the value is unknown", i, name) for name in missing]
        unknown = sorted(instance.keys() - set(names))
        errors += [_error(f"is no input of this model, which takes {takes}", i, name) for name in unknown]
        if len(errors) >= MAX_ERRORS:
            break
    return errors


def _column(name: str, kind: ColumnType, values: list[Any]) -> tuple[Any, list[Answer]]:
    """Return ``values`` as a typed array, or None and which of them do not fit."""
    try:
        return _typed(name, kind, values), []
    except DoesNotFit:
        pass
    errors = []
    for i, value in enumerate(values):
        try:
            _typed(name, kind, [value])
        except DoesNotFit:
            errors.append(_error(f"should be {_WANTED[kind]}", i, name))
    return None, errors


_WANTED: dict[ColumnType, str] = {
    "number": "a number",
    "integer": "a whole number of at most 64 bits",
    "boolean": "true or false",
    "category": "a string",
    "text": "a string",
    "image": "the bytes of an image file in base64",
    "audio": "the bytes of a WAV file in base64",
    "timestamp": "a time in ISO 8601, such as 2027-01-31T12:00:00Z",
    "sequence": "a list of numbers",
}
_JSON_TYPES: dict[ColumnType, tuple[type, ...]] = {
    "number": (int, float),
    "integer": (int,),
    "boolean": (bool,),
    "sequence": (list,),
}


def _typed(name: str, kind: ColumnType, values: list[Any]) -> Any:
    wanted = _JSON_TYPES.get(kind, (str,))
    # Exactly: a boolean is an int to Python only.
    for i, value in enumerate(values):
        if value is not None and type(value) not in wanted:
            raise DoesNotFit(i, f"should be {_WANTED[kind]}")
    if kind in ("image", "audio"):
        return pa.array([_file(i, value) for i, value in enumerate(values)], ARROW_TYPES[kind])
    return JsonColumn(name, kind).convert(values)


def _file(index: int, value: str | None) -> bytes | None:
    try:
        return None if value is None else base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        raise DoesNotFit(index, "is no base64") from None


def _error(msg: str, *loc: str | int) -> Answer:
    return {"loc": ["instances", *loc], "msg": msg}
