"""The folds that a training asks for, checked when it is asked."""

from __future__ import annotations

from collections.abc import Mapping

from headrace.errors import FieldError, Invalid
from headrace.specs.base import ColumnType
from headrace.specs.jobs import TrainSpec


def check(spec: TrainSpec, rows: int | None, columns: Mapping[str, ColumnType]) -> TrainSpec:
    """Return ``spec`` with its folds filled in. Raises `Invalid` where these rows cannot be divided so."""
    asked, field = spec.cross_validation, "cross_validation"
    if asked is None:
        asked, field = spec.fold, "fold"
    if asked is None:
        return spec
    wrong = []
    if spec.task not in ("classification", "regression"):
        msg = f"only what learns a class or a number is cross-validated, not {spec.task}: should be null"
        raise Invalid.field("spec", field, msg=msg)
    if rows is not None and asked.folds > rows:
        msg = f"{spec.dataset} has {rows} rows: should be as many folds at most"
        wrong.append(FieldError(loc=("spec", field, "folds"), msg=msg))
    if asked.group is not None and asked.group not in columns:
        some = ", ".join(list(columns)[:20]) + (", …" if len(columns) > 20 else "")
        msg = f"there is no column {asked.group[:100]!r}; the columns are {some}"
        wrong.append(FieldError(loc=("spec", field, "group"), msg=msg))
    elif asked.group is not None and (
        asked.group == spec.target or columns[asked.group] in ("image", "audio", "sequence")
    ):
        msg = f"{asked.group!r} does not say which rows belong together: should be another column"
        wrong.append(FieldError(loc=("spec", field, "group"), msg=msg))
    if asked.stratified and spec.task != "classification":
        msg = f"there are no classes in {spec.task}: should be false"
        wrong.append(FieldError(loc=("spec", field, "stratified"), msg=msg))
    if spec.split.column is not None:
        msg = "folds are drawn: should be hash or random"
        wrong.append(FieldError(loc=("spec", "split", "by"), msg=msg))
    if wrong:
        raise Invalid(wrong)
    stratified = spec.task == "classification" if asked.stratified is None else asked.stratified
    return spec.model_copy(update={field: asked.model_copy(update={"stratified": stratified})})
