"""Types that several resources show."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import AfterValidator, AwareDatetime, BeforeValidator, Field, PlainSerializer

_RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ].*", re.ASCII)


def _rfc3339(value: datetime) -> str:
    return value.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


Time = Annotated[datetime, PlainSerializer(_rfc3339, return_type=str)]
"""A moment, shown in UTC with ``Z``, to the millisecond."""


def _check_text(value: Any) -> Any:
    if not isinstance(value, str) or not _RFC3339.fullmatch(value):
        raise ValueError("should be a time like 2027-01-02T03:04:05Z")
    return value


def _check_range(value: datetime) -> datetime:
    if not 1900 <= value.year <= 9000:
        raise ValueError("should be a time between the years 1900 and 9000")
    return value


# Not strict: what a validator has looked at is Python's str to pydantic, no longer JSON's.
Moment = Annotated[
    AwareDatetime, Field(strict=False), BeforeValidator(_check_text), AfterValidator(_check_range)
]
"""A moment as it comes in: RFC 3339 with its offset, so far from the ends of time that arithmetic is safe."""
