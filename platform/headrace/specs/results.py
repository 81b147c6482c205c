"""Values that a spec takes from the result of another job: ``{"$result": "job_…", "path": "version"}``.

Such an object may stand in a spec wherever a value may. ``path`` leads into the result: names and, in lists,
positions, with dots between them; without it the whole result is meant. Where a spec has a ref (`REFS`), the
version that the job made is meant, so that ``{"model": {"$result": "job_…"}}``, or the same with
``"path": "version"``, becomes ``{"model": "digits@3"}``.

Pure: `places` finds them, `fill` puts the values in.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, NamedTuple

from pydantic import Field, ValidationError

from headrace.errors import FieldError, Invalid, Loc
from headrace.specs.algorithms import field_errors
from headrace.specs.base import Spec

MARK = "$result"
REFS = {"model": "model", "base": "model", "dataset": "dataset"}
"""The fields that hold a ref, each with the entry of a result that names what it is a ref to."""


class ResultOf(Spec):
    """A value of the result of the job ``job``, at ``path``."""

    job: Annotated[str, Field(alias=MARK, min_length=1, max_length=100)]
    path: Annotated[str, Field(min_length=1, max_length=1000)] | None = None

    @property
    def steps(self) -> list[str]:
        """The parts of the path."""
        return self.path.split(".") if self.path is not None else []


class Place(NamedTuple):
    """Where in a spec a value is taken from which result."""

    loc: Loc
    value: ResultOf

    @property
    def named(self) -> str | None:
        """The entry of the result that gives the name, where a ref to a version is to be made."""
        if self.value.steps[-1:] in ([], ["version"]):
            return REFS.get(str(self.loc[-1]))
        return None


def places(spec: Mapping[str, Any]) -> list[Place]:
    """Return every place of ``spec`` that takes a value from a result. Raises `Invalid` for a bad one."""
    return [Place(loc, _read(found, loc)) for loc, found in _marked(spec, ("spec",))]


def fill(spec: Mapping[str, Any], results: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``spec`` with the values of ``results``, which has that of every job that is named in it.

    Raises `Invalid` at each place whose value is not in the result.
    """
    wrong: list[FieldError] = []
    filled: dict[str, Any] = dict(spec)
    for place in places(spec):
        try:
            value = _value(place, results[place.value.job])
        except LookupError:
            wrong.append(FieldError(loc=place.loc, msg=_not_there(place, results[place.value.job])))
        else:
            filled = _put(filled, place.loc[1:], value)
    if wrong:
        raise Invalid(wrong)
    return filled


def covers(place: Place, loc: Loc) -> bool:
    """Return whether ``loc`` is the place or within it."""
    return loc[: len(place.loc)] == place.loc


def _marked(value: Any, loc: Loc) -> Iterator[tuple[Loc, dict[str, Any]]]:
    if isinstance(value, dict):
        if MARK in value:
            yield loc, value
            return
        for name, item in value.items():
            yield from _marked(item, (*loc, name))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _marked(item, (*loc, index))


def _read(found: dict[str, Any], loc: Loc) -> ResultOf:
    try:
        return ResultOf.model_validate(found)
    except ValidationError as error:
        raise Invalid(field_errors(error, *loc)) from None


def _value(place: Place, result: Any) -> Any:
    holder, value = None, result
    for step in place.value.steps:
        holder, value = value, _entry(value, step)
    if place.named is None:
        return value
    if holder is None:
        holder, value = result, _entry(result, "version")
    return f"{_entry(holder, place.named)}@{value}"


def _entry(value: Any, step: str) -> Any:
    if isinstance(value, list):
        if not step.isdecimal() or len(step) > 9:
            raise LookupError(step)
        return value[int(step)]
    if not isinstance(value, dict):
        raise LookupError(step)
    return value[step]


def _not_there(place: Place, result: Any) -> str:
    if place.named is not None:
        return f"{place.value.job} has made no version of a {place.named}"
    entries = ", ".join(list(result)[:20])
    return f"the result of {place.value.job} has no {place.value.path!r}; it has {entries}"


def _put(value: Any, loc: Loc, new: Any) -> Any:
    """Return a copy of ``value`` that has ``new`` at ``loc``."""
    if not loc:
        return new
    copy = value.copy()
    copy[loc[0]] = _put(value[loc[0]], loc[1:], new)
    return copy
