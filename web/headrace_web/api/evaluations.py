"""How good a model is on some rows: what the API shows of an evaluation."""

from __future__ import annotations

from typing import Annotated, Any

from flask import Response
from pydantic import BaseModel, ConfigDict, Field

from headrace.artifacts.store import Stored
from headrace_web import downloads
from headrace_web.calls import Call

Interval = Annotated[list[float], Field(min_length=2, max_length=2)]
Point = Annotated[list[float | None], Field(min_length=2, max_length=2)]


class Part(BaseModel):
    """A part of an evaluation; later versions may have more fields."""

    model_config = ConfigDict(extra="allow")


class Intervals(Part):
    """How sure the metrics are: an interval for each, and how it was made."""

    level: float
    method: str
    metrics: dict[str, Interval]


class Baseline(Part):
    """What a trivial model scores on the same rows, and what it predicts of every row."""

    predicts: bool | int | float | str
    metrics: dict[str, float]


class Verdict(Part):
    """Whether the model is better than the baseline by more than chance explains, in words."""

    beats_baseline: bool
    text: str


class ConfusionMatrix(Part):
    """Counts of rows: one list for each true class, in it one count for each predicted class."""

    labels: list[bool | int | str]
    counts: list[list[int]]


class Curve(Part):
    """A curve of one class against the rest: false and true positive rate, or recall and precision."""

    label: bool | int | str
    points: list[Point]


class Calibration(Part):
    """Predicted probabilities in tenths beside what was observed; ``of`` null: of the predicted class."""

    of: bool | int | str | None
    bins: list[dict[str, Any]]


class Group(Part):
    """The rows of a slice with one ``value``, or between ``from`` and ``to``, or of all ``others``."""

    rows: int
    metrics: dict[str, float]
    intervals: dict[str, Interval]


class FairnessGroup(Part):
    """How often rows of a group are predicted to be of a class, and those of the class and the others are."""

    rows: int
    of_class: int
    rates: dict[str, float]
    intervals: dict[str, Interval]


class Fairness(Part):
    """How alike a class, against the rest, is predicted in the groups of a slice, which are in its order."""

    label: bool | int | str
    compared: Annotated[int, Field(description="Groups that have rows enough to be compared")]
    metrics: dict[str, float]
    intervals: dict[str, Interval]
    groups: list[FairnessGroup]


class Slice(Part):
    """Metrics of the groups of rows that a column makes; ``fairness`` only of classifiers."""

    column: str
    groups: list[Group]
    fairness: list[Fairness] | None = None


class ColumnWarning(Part):
    """What was noticed of a column before training; ``column`` null: of no single one."""

    column: str | None
    kind: str
    message: str


class Evaluation(Part):
    """How good a version is on some rows; what its task does not have is not there."""

    metrics: dict[str, float]
    task: str | None = None
    rows: int | None = None
    bad_rows: Annotated[int | None, Field(description="Rows that could not be predicted")] = None
    note: str | None = None
    intervals: Intervals | None = None
    baseline: Baseline | None = None
    verdict: Verdict | None = None
    sample: Annotated[dict[str, Any] | None, Field(description="Where not all rows were kept")] = None
    confusion_matrix: ConfusionMatrix | None = None
    per_class: list[dict[str, Any]] | None = None
    unseen_classes: dict[str, Any] | None = None
    roc: list[Curve] | None = None
    pr: list[Curve] | None = None
    calibration: Calibration | None = None
    residuals: dict[str, Any] | None = None
    predictions: Annotated[dict[str, Any] | None, Field(description="Truth and prediction")] = None
    fit: Annotated[dict[str, Any] | None, Field(description="Data and fit for one feature")] = None
    clusters: Annotated[list[dict[str, Any]] | None, Field(description="Each with its rows")] = None
    projection: Annotated[
        dict[str, Any] | None, Field(description="Rows in the two directions in which they differ most")
    ] = None
    embedding: Annotated[dict[str, Any] | None, Field(description="Rows by the first two numbers")] = None
    scores: Annotated[dict[str, Any] | None, Field(description="Anomaly scores, and the threshold")] = None
    distance_from_mean: Annotated[
        dict[str, float] | None, Field(description="What the distance from the mean row scores")
    ] = None
    forecast: Annotated[dict[str, Any] | None, Field(description="Some series, and forecasts")] = None
    by_step: Annotated[list[dict[str, Any]] | None, Field(description="Metrics by step ahead")] = None
    worst_series: Annotated[list[dict[str, Any]] | None, Field(description="Series forecast worst")] = None
    worst: Annotated[list[dict[str, Any]] | None, Field(description="The rows with the largest errors")] = (
        None
    )
    slices: list[Slice] | None = None
    columns: Annotated[list[dict[str, Any]] | None, Field(description="Features as they were taken")] = None
    warnings: list[ColumnWarning] | None = None


def send(call: Call, stored: Stored) -> Response:
    """Return the evaluation ``stored``, as the job process wrote it."""
    return downloads.send(call.parts.store, stored, media_type="application/json")
