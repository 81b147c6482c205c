"""When a schedule is due: cron expressions in named time zones, and intervals. Pure.

Cron means the clock on the wall. A due time that this clock skips is moved to the next minute that exists;
one that it shows twice counts the first time only. So ``30 2 * * *`` in Europe/Berlin is due once on every
day of the year, and ``*/15 * * * *`` not at all in the hour that comes again in October.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from importlib import resources
from typing import Protocol
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

LONGEST_EXPRESSION = 200
_EXPRESSION = re.compile(r"[0-9A-Za-z*,/#-]+( +[0-9A-Za-z*,/#-]+){4}")
_MINUTE = timedelta(minutes=1)
_ANY_DAY = datetime(2000, 1, 1)


class Timing(Protocol):
    """A rule that says when something is due."""

    def after(self, moment: datetime) -> Iterator[datetime]:
        """Yield the due times later than ``moment``, in UTC, strictly rising; whole seconds."""


@dataclass(frozen=True)
class Cron:
    """A cron expression of five fields (as Debian's cron reads them) on the clock of ``timezone``."""

    expression: str
    timezone: str

    def after(self, moment: datetime) -> Iterator[datetime]:
        """Yield the due times later than ``moment``; none at all for a date that no calendar has."""
        zone = ZoneInfo(self.timezone)
        wall = moment.astimezone(zone).replace(tzinfo=None)
        last = moment
        try:
            for due in CronSim(self.expression, wall):
                utc = _utc(due, zone)
                # The same again: several wall times in a gap. Before: the second showing of a wall time.
                if utc > last:
                    last = utc
                    yield utc
        except OverflowError:  # the end of Python's calendar
            return


@dataclass(frozen=True)
class Every:
    """Every ``seconds`` since ``start``, which is itself no due time."""

    seconds: int
    start: datetime

    def after(self, moment: datetime) -> Iterator[datetime]:
        """Yield the due times later than ``moment``."""
        step = timedelta(seconds=self.seconds)
        passed = max((moment - self.start) // step, 0)
        try:
            due = self.start + passed * step
            while True:
                due += step
                yield due
        except OverflowError:
            return


def check_expression(expression: str) -> str:
    """Return ``expression``. Raises ValueError unless it is one of five fields that can be read."""
    if len(expression) > LONGEST_EXPRESSION or not _EXPRESSION.fullmatch(expression):
        raise ValueError("should be a cron expression of five fields, such as 0 3 * * *")
    try:
        CronSim(expression, _ANY_DAY)
    except CronSimError as error:
        reason = str(error)
        raise ValueError(f"is no cron expression: {reason[:1].lower()}{reason[1:]}") from None
    return expression


def check_timezone(name: str) -> str:
    """Return ``name``. Raises ValueError unless it is one of the IANA database."""
    if name not in _zones():
        raise ValueError("should be a time zone of the IANA database, such as Europe/Berlin or UTC")
    return name


@cache
def _zones() -> frozenset[str]:
    return frozenset((resources.files("tzdata") / "zones").read_text().split())


def _utc(wall: datetime, zone: ZoneInfo) -> datetime:
    """Return the first moment at which a clock in ``zone`` shows ``wall``, or the next minute it shows."""
    while True:
        utc = wall.replace(tzinfo=zone).astimezone(UTC)
        if utc.astimezone(zone).replace(tzinfo=None) == wall:
            return utc
        wall += _MINUTE
