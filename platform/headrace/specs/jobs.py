"""The spec of every kind of job, as a user writes it and, with every default filled in and every ref
pinned, as the job shows it.

What needs the database (does the dataset exist? has it that column?) is checked at submission by
`headrace.jobs.kinds`; what one spec alone can tell is checked here.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from headrace.specs.base import ColumnType, Name, RefText, Spec, TaskType

MAX_SEED = 2**32 - 1
SPLIT_BY = re.compile(r"^(hash|random|(time|column):.{1,200})$", re.DOTALL)


Slices = Annotated[list[Annotated[str, Field(min_length=1, max_length=1000)]], Field(max_length=20)]
"""Columns by whose values an evaluation is also told: categories, booleans, numbers and times."""

TagKey = Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[^:]+$")]
TagValue = Annotated[str, Field(max_length=200)]


class Split(Spec):
    """How rows are divided into training, validation and test rows.

    ``by``: ``hash`` (by the content of feature and target columns, so that a row stays on its side in
    later versions), ``random`` (by ``seed`` and position), ``time:COLUMN`` (the latest rows are test
    rows; of a forecast, the latest of each series, a horizon at least), ``column:COLUMN`` (its values say
    ``train``, ``validation`` or ``test``).
    """

    validation: Annotated[float, Field(ge=0, le=0.9)] = 0.1
    test: Annotated[float, Field(ge=0, le=0.9, validate_default=True)] = 0.1
    by: str = "hash"
    seed: Annotated[int, Field(ge=0, le=MAX_SEED)] = 0

    @field_validator("by")
    @classmethod
    def _known_rule(cls, value: str) -> str:
        if not SPLIT_BY.fullmatch(value):
            raise ValueError("should be hash, random, time:COLUMN or column:COLUMN")
        return value

    @field_validator("test")
    @classmethod
    def _leaves_training_rows(cls, value: float, info: Any) -> float:
        if value + info.data.get("validation", 0.0) > 0.95:
            raise ValueError("validation and test together leave less than 5 % of the rows for training")
        return value

    @property
    def column(self) -> str | None:
        """The column that decides, for ``time:`` and ``column:``."""
        return self.by.partition(":")[2] or None


class CrossValidation(Spec):
    """Train once for each of ``folds`` parts of the rows, which it then holds out to measure on.

    ``stratified``: each fold has the classes in the same shares; by default where there are classes.
    ``group``: rows that have the same value in this column, which is no feature then, stay together.
    """

    folds: Annotated[int, Field(ge=2, le=100)] = 5
    stratified: bool | None = None
    group: Annotated[str, Field(min_length=1, max_length=1000)] | None = None


class Fold(CrossValidation):
    """One of these trainings: fold ``number``, from 0, is the test rows.

    ``rows``: ``all`` are divided into folds, or the ``training`` rows of the split; then its test rows are
    left out.
    """

    number: Annotated[int, Field(ge=0)]
    rows: Literal["all", "training"] = "all"

    @field_validator("number")
    @classmethod
    def _is_one_of_them(cls, value: int, info: Any) -> int:
        if value >= info.data.get("folds", value + 1):
            raise ValueError(f"should be below folds, {info.data['folds']}")
        return value


class TrainSpec(Spec):
    """Train, evaluate and register a new version of a model.

    ``target``: the column to learn; tasks that learn none take it, if at all, to evaluate by.
    """

    model: Name
    dataset: RefText
    algorithm: Annotated[str, Field(min_length=1, max_length=100)]
    params: dict[str, Any] = {}
    target: Annotated[str, Field(min_length=1, max_length=1000)] | None = None
    features: Annotated[list[str], Field(max_length=20_000)] | None = None
    split: Split = Split()
    task: TaskType | None = None
    seed: Annotated[int, Field(ge=0, le=MAX_SEED)] = 0
    deterministic: bool = True
    threads: Annotated[int, Field(ge=1, le=256)] | None = None
    types: dict[str, ColumnType] = {}
    base: RefText | None = None
    cross_validation: CrossValidation | None = None
    fold: Fold | None = None
    slices: Slices = []
    promote: None = None


class EvaluateSpec(Spec):
    """Evaluate a version on a dataset."""

    model: RefText
    dataset: RefText
    slices: Slices = []


OutputFormat = Literal["parquet", "csv", "ndjson"]


class Sample(Spec):
    """How many new rows to draw, and by which seed: the same one draws the same rows."""

    rows: Annotated[int, Field(ge=1, le=1_000_000)]
    seed: Annotated[int, Field(ge=0, le=MAX_SEED)] = 0


class PredictSpec(Spec):
    """Predict every row of a dataset, into one file; or draw new rows from the model, without a dataset.

    ``keep``: columns of the dataset to copy into the output. ``columns``: None, or which of the
    outputs to write (``prediction``, ``probability``, ``probability_<class>``). ``max_bad``: the
    fraction of rows that may fail to be predicted (their prediction is null) before the job fails.
    ``sample``, instead of a dataset: rows are drawn, in the columns that the model learned from. ``k``: of
    lists of recommended items how long they are, null for 10.
    """

    model: RefText
    dataset: RefText | None = None
    sample: Sample | None = None
    format: OutputFormat = "parquet"
    columns: Annotated[list[str], Field(max_length=20_000)] | None = None
    keep: Annotated[list[str], Field(max_length=20_000)] = []
    max_bad: Annotated[float, Field(ge=0, le=1)] = 0.01
    k: Annotated[int, Field(ge=1, le=1000)] | None = None


DEPENDENT: tuple[TaskType, ...] = ("classification", "regression", "anomaly", "recommendation")
"""The tasks whose predictions have a mean that says something: partial dependence is told of them."""

DEPENDABLE: tuple[ColumnType, ...] = ("number", "integer", "boolean", "category")
"""The types of feature whose values can be gone through for a partial dependence."""

Explained = Annotated[list[Annotated[str, Field(min_length=1, max_length=1000)]], Field(max_length=20_000)]
Method = Literal["permutation", "integrated_gradients"]


class ExplainSpec(Spec):
    """Say what the predictions of a version rest on.

    ``method``: ``permutation`` (how much worse the metrics get when a feature's values are shuffled between
    rows; any model that rows can be measured by) or ``integrated_gradients`` (what each pixel, word or column
    adds to a prediction; networks only). ``part``: ``test`` for the rows that the version was not trained on,
    which needs the dataset version that it learned from; None is ``test`` there and ``all`` elsewhere.
    ``rows``: so many at most, drawn by ``seed``.

    Permutation: ``features`` are those that are shuffled, None all; each ``repeats`` times. Integrated
    gradients: ``label`` is the class whose probability is explained, None that which is predicted of each
    row; ``steps`` of the path at least; ``examples`` rows are shown one by one.

    ``partial_dependence``: the features whose mean prediction over their values is told; None for the three
    of most weight. ``grid``: values of each; ``ice``: rows that get a curve of their own.
    """

    model: RefText
    dataset: RefText
    method: Method
    part: Literal["test", "all"] | None = None
    rows: Annotated[int, Field(ge=1, le=100_000)] | None = None
    seed: Annotated[int, Field(ge=0, le=MAX_SEED)] = 0
    features: Annotated[Explained, Field(min_length=1)] | None = None
    repeats: Annotated[int, Field(ge=2, le=100)] = 10
    label: bool | int | Annotated[str, Field(max_length=1000)] | None = None
    steps: Annotated[int, Field(ge=8, le=1000)] = 50
    examples: Annotated[int, Field(ge=0, le=50)] = 12
    partial_dependence: Annotated[Explained, Field(max_length=20)] | None = None
    grid: Annotated[int, Field(ge=2, le=200)] = 20
    ice: Annotated[int, Field(ge=0, le=200)] = 0


class ReproduceSpec(Spec):
    """Train a version again from its lineage alone, and compare what comes out with it."""

    model: RefText


class IngestSpec(Spec):
    """Turn an uploaded file into typed Parquet with a profile. Submitted by an upload, never by hand."""

    dataset: Name
    version: int
    media_type: str
    filename: str | None = None
    types: dict[str, ColumnType] = {}


class UploadSpec(Spec):
    """Turn an uploaded ``.keras`` file into a version to start from. Submitted by an upload, never by hand.

    ``digest`` is that of the file, which the job's artifact ``source`` is.
    """

    model: Name
    digest: str
    size_bytes: int
    filename: str | None = None


class JobRequest(Spec):
    """The body of a submission. ``spec`` is checked by its kind."""

    kind: Literal["train", "evaluate", "predict", "explain", "reproduce", "tune"]
    spec: Annotated[
        dict[str, Any],
        Field(
            description=(
                'A value may be taken from the result of a job in `depends_on`: {"$result": "job_…", '
                '"path": "metrics.accuracy"}. For `model`, `base` or `dataset` the path "version", or none, '
                "gives the ref to the version that the job made, such as digits@3. It is put in, and the "
                "spec checked in full, when the dependencies have ended."
            )
        ),
    ]
    name: Annotated[str, Field(max_length=200)] = ""
    priority: Annotated[int, Field(ge=0, le=9)] = 5
    queue: Name = "default"
    max_attempts: Annotated[int, Field(ge=1, le=100)] = 3
    timeout_s: Annotated[
        int,
        Field(
            ge=1,
            le=30 * 24 * 3600,
            description="The longest run of one attempt; of a job whose work is other jobs, of one attempt "
            "of any of these.",
        ),
    ] = 3600
    depends_on: Annotated[list[str], Field(max_length=100)] = []
    tags: Annotated[dict[TagKey, TagValue], Field(max_length=50)] = {}
