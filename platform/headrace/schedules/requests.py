"""What people send about schedules."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, field_validator

from headrace.schedules.times import LONGEST_EXPRESSION, check_expression, check_timezone
from headrace.specs.base import Spec
from headrace.specs.jobs import JobRequest

LONGEST_INTERVAL_S = 10 * 366 * 24 * 3600

CatchUp = Literal["none", "latest", "all"]
Overlap = Literal["skip", "queue"]
Expression = Annotated[
    str,
    Field(max_length=LONGEST_EXPRESSION, description="Five fields: minute, hour, day, month, weekday"),
    AfterValidator(check_expression),
]
Timezone = Annotated[
    str, Field(max_length=100, description="Of the IANA database"), AfterValidator(check_timezone)
]


class _Fields(Spec):
    name: Annotated[str, Field(max_length=200)] = ""
    cron: Expression | None = None
    timezone: Timezone = "UTC"
    every_s: Annotated[int, Field(ge=1, le=LONGEST_INTERVAL_S)] | None = None
    on: dict[str, Any] | None = None
    catch_up: CatchUp = "latest"
    overlap: Overlap = "skip"
    enabled: bool = True

    @field_validator("on")
    @classmethod
    def _not_yet(cls, value: object) -> object:
        if value is not None:
            raise ValueError("is not available in this version; give cron or every_s")
        return value


class ScheduleRequest(_Fields):
    """A new schedule: `cron` on the clock of `timezone`, or `every_s`; and the job to submit."""

    job: JobRequest


class ScheduleChange(_Fields):
    """A change of a schedule: what is not sent stays as it is. `cron` takes the place of `every_s`, and the
    other way round; `job` is replaced whole.
    """

    job: JobRequest | None = None

    @field_validator("job")
    @classmethod
    def _needed(cls, value: JobRequest | None) -> JobRequest:
        if value is None:
            raise ValueError("should be a job")
        return value

    def applied_to(self, fields: dict[str, Any]) -> dict[str, Any]:
        """Return ``fields``, those of a schedule, with this change made."""
        given = {name: getattr(self, name) for name in self.model_fields_set - {"on"}}
        for rule, other in (("cron", "every_s"), ("every_s", "cron")):
            if given.get(rule) is not None and other not in given:
                given[other] = None
        return fields | given
