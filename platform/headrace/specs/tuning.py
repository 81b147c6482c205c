"""The spec of a tune job: which params are tried, from where to where, and how the next ones are chosen."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from headrace.specs.base import Spec
from headrace.specs.jobs import MAX_SEED, TrainSpec

MAX_TRIALS = 1000
DEFAULT_TRIALS = 20
MAX_CHOICES = 100


class Tried(Spec):
    """What is tried for a param: numbers from ``low`` to ``high``, both included, or ``choices`` of any kind.

    ``step``: only so far apart from ``low`` on; ``log``: as likely between 0.001 and 0.01 as between 0.01 and
    0.1. Where the param is an integer, so are the numbers.
    """

    low: float | None = None
    high: float | None = None
    log: bool = False
    step: Annotated[float, Field(gt=0)] | None = None
    choices: Annotated[list[Any], Field(min_length=1, max_length=MAX_CHOICES)] | None = None

    @model_validator(mode="after")
    def _is_one_or_the_other(self) -> Tried:
        if self.choices is not None:
            if (self.low, self.high, self.step) != (None, None, None) or self.log:
                raise ValueError("should have choices, or low and high, not both")
            return self
        if self.low is None or self.high is None:
            raise ValueError("should have low and high, or choices")
        if self.low >= self.high:
            raise ValueError(f"low, {self.low:g}, should be below high, {self.high:g}")
        if self.log and self.low <= 0:
            raise ValueError(f"a logarithmic range should begin above 0, not at {self.low:g}")
        if self.log and self.step is not None:
            raise ValueError("a logarithmic range has no steps: leave out log or step")
        return self


class TuneSpec(Spec):
    """Train with several params and keep what was best on validation rows.

    ``space`` maps params of ``train`` (``params.learning_rate``) to what is tried. ``metric``: one of
    validation rows (`headrace.specs.metrics`). ``trials``: how many trainings; of a grid, by default, all.
    ``parallel``: how many at once; a trial is chosen by what is known of those that lie at least so many
    before it, so that the same seed leads to the same trials, however long each takes. ``pruner``: ends
    trials whose curves are worse than those before them. ``max_failed``: so many trials may fail.
    """

    train: TrainSpec
    space: Annotated[dict[str, Tried], Field(min_length=1, max_length=50)]
    metric: Annotated[str, Field(max_length=100)]
    trials: Annotated[int, Field(ge=1, le=MAX_TRIALS)] | None = None
    sampler: Literal["tpe", "random", "grid"] = "tpe"
    pruner: Literal["none", "median", "successive_halving", "hyperband"] = "none"
    seed: Annotated[int, Field(ge=0, le=MAX_SEED)] = 0
    parallel: Annotated[int, Field(ge=1, le=64)] = 2
    max_failed: Annotated[int, Field(ge=0, le=MAX_TRIALS)] = 0

    @field_validator("space", mode="before")
    @classmethod
    def _names_something(cls, space: Any) -> Any:
        if space == {}:
            raise ValueError(
                'is empty: should name what is tried, as in {"params.epochs": {"choices": [5, 10]}}'
            )
        return space
