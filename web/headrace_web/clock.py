"""The time that requests are dated with: the database's, as leases are judged by.

Two machines seldom agree on the time, and one that is an hour ahead would have its jobs wait an hour for a
worker and its reservations of idempotency keys outlive it. So the web tells the time by the database, which
it asks now and then; between, it counts on its own monotonic clock, which does not jump.
"""

from __future__ import annotations

import time
from datetime import datetime, timedelta

from headrace.db import Database, clock

ASKED_EVERY_S = 5.0


class DatabaseClock:
    """Call it for the time, in UTC. Thread-safe. Raises what the database raises while it is away."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._asked: tuple[datetime, float] | None = None

    def __call__(self) -> datetime:
        """Return the time."""
        asked = self._asked
        if asked is None or time.monotonic() - asked[1] > ASKED_EVERY_S:
            with self._database.read() as session:
                asked = clock(session), time.monotonic()
            self._asked = asked
        told, at = asked
        return told + timedelta(seconds=time.monotonic() - at)
