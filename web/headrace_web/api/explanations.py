"""What the predictions of a version rest on: what the API shows of an explanation."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from flask import Response
from pydantic import Field

from headrace.artifacts.store import Stored
from headrace_web import downloads
from headrace_web.api.evaluations import Interval, Part
from headrace_web.calls import Call

Label = bool | int | str | None


class Rows(Part):
    """How many rows were explained, of how many, and of which part of the dataset."""

    used: int
    of: int
    part: Literal["test", "all"]


class Cost(Part):
    """How much worse a metric gets, on average over the shuffles; positive is worse."""

    mean: float
    std: float
    interval: Interval


class FeatureImportance(Part):
    """What it costs when the values of one feature are shuffled between rows."""

    feature: str
    type: str
    metrics: dict[str, Cost]


class Importance(Part):
    """Permutation importance; the features that cost most come first."""

    metrics: Annotated[dict[str, float], Field(description="Those of the rows as they are")]
    repeats: int
    level: float
    features: list[FeatureImportance]


class DependenceCurve(Part):
    """The mean prediction over the grid: of a class its probability; ``ice``: curves of single rows."""

    label: Label
    mean: list[float]


class Dependence(Part):
    """The mean prediction with one feature set to each value of a grid in all rows."""

    feature: str
    type: str
    grid: list[bool | float | str]
    curves: list[DependenceCurve]


class Attributions(Part):
    """What each input adds to one output, from a baseline to a row, over all rows and row by row."""

    input: str
    of: str
    baseline: str
    completeness: dict[str, Any]
    examples: list[dict[str, Any]]


class Explanation(Part):
    """What the predictions of a version rest on; what its method does not tell is not there."""

    method: str
    model: str
    dataset: str
    task: str
    target: str | None
    seed: int
    rows: Rows
    importance: Importance | None = None
    attributions: Attributions | None = None
    partial_dependence: list[Dependence] | None = None


def send(call: Call, stored: Stored) -> Response:
    """Return the explanation ``stored``, as the job process wrote it."""
    return downloads.send(call.parts.store, stored, media_type="application/json")
