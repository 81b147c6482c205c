"""The columns by which an evaluation is sliced, checked when it is asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from headrace.errors import FieldError, Invalid
from headrace.specs.base import ColumnType, TaskType

SLICEABLE: tuple[ColumnType, ...] = ("category", "boolean", "integer", "number", "timestamp")


def check(slices: Sequence[str], columns: Mapping[str, ColumnType], task: TaskType) -> None:
    """Raise `Invalid` unless each of ``slices`` is one of ``columns`` whose values make groups."""
    if slices and task == "forecast":
        msg = "an evaluation of forecasts is told by step and by series: should be empty"
        raise Invalid.field("spec", "slices", msg=msg)
    if slices and task == "recommendation":
        msg = "a recommendation is evaluated by users: should be empty"
        raise Invalid.field("spec", "slices", msg=msg)
    wrong = []
    for index, name in enumerate(slices):
        problem = None
        if name not in columns:
            some = ", ".join(list(columns)[:20]) + (", …" if len(columns) > 20 else "")
            problem = f"there is no column {name[:100]!r}; the columns are {some}"
        elif name in slices[:index]:
            problem = f"{name!r} stands here twice"
        elif columns[name] not in SLICEABLE:
            problem = f"{name!r} is of type {columns[name]}; rows are grouped by {', '.join(SLICEABLE)}"
        if problem:
            wrong.append(FieldError(loc=("spec", "slices", index), msg=problem))
    if wrong:
        raise Invalid(wrong)
