"""The heartbeat of one attempt: renews its lease and records what happened, both in one fenced transaction.

It has no thread. The attempt calls `beat` whenever it can, between reads and phases, and `beat` does what is
due; so a heartbeat that fails is an exception in the very code that must then stop. What may block for long
runs beside it (`headrace_workers.blocking`).

While the database is away the attempt goes on, and tries again, until another worker may have its job.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable
from typing import TypeVar

from sqlalchemy.orm import Session

from headrace.config import Settings
from headrace.db import AWAY, Database, clock
from headrace.errors import LeaseLost
from headrace.jobs import leases
from headrace.jobs.events import Event
from headrace.jobs.leases import Lease
from headrace_workers.job_pipes import LogLines
from headrace_workers.metering import Meter
from headrace_workers.outcomes import Broken, Cancelled, HandedBack, Interrupted

FLUSH_S = 0.5
"""What happened is visible after so long."""

MAX_LOG_BYTES = 4 * 1024 * 1024
"""What is kept of the log of one attempt; the rest is dropped, and said to be."""

LOOK_S = 0.5
"""A worker that shuts down is noticed after so long."""

_RETRY_S = 0.5
_log = logging.getLogger(__name__)
T = TypeVar("T")


class Heartbeat:
    """Keeps ``lease`` in force for one attempt, which ends after `timeout_s` seconds.

    ``since`` is the number of the job's last event that is known to be written; ``meter``, once there is a
    process, tells what it uses, which each renewal writes down.
    """

    def __init__(self, db: Database, settings: Settings, lease: Lease, stop: threading.Event) -> None:
        self._db = db
        self._settings = settings
        self._lease = lease
        self._stop = stop
        self.timeout_s = math.inf
        self.since: int | None = None
        self.meter: Meter | None = None
        self._started = self._renewed = time.monotonic()
        self._not_before = self._started
        self._pending: list[Event] = []
        self._tried = 0
        self._pending_since = 0.0
        self._log_bytes = 0

    def beat(self) -> None:
        """Do what is due. Raises `LeaseLost`, or `Interrupted` when the attempt must stop."""
        now = time.monotonic()
        if now >= self._next_write():
            self._renew(now)
        if self._stop.is_set():
            raise Interrupted(HandedBack())
        if now - self._started > self.timeout_s:
            message = f"the attempt took longer than timeout_s, {self.timeout_s:g} s"
            raise Interrupted(Broken(type="TimedOut", message=message, retryable=False))

    def due_in(self) -> float:
        """Return the seconds until `beat` has something to do."""
        now = time.monotonic()
        return max(0.0, min(self._next_write(), self._started + self.timeout_s, now + LOOK_S) - now)

    def record(self, event: Event) -> None:
        """Keep ``event`` for the next beat. Of several progress events in a row only the last is kept."""
        if not self._pending:
            self._pending_since = time.monotonic()
        # What a commit was tried with is left as it is: it may be written.
        untried = self._pending[self._tried :]
        if event.type == "progress" and untried and untried[-1].type == "progress":
            self._pending.pop()
        self._pending.append(event)

    def record_log(self, lines: LogLines) -> None:
        """Keep ``lines`` for the next beat, up to `MAX_LOG_BYTES` in all."""
        if self._log_bytes > MAX_LOG_BYTES:
            return
        text = "".join(line + "\n" for line in lines.lines).encode(errors="replace")
        kept = text[: max(0, MAX_LOG_BYTES - self._log_bytes)]
        self._log_bytes += len(text)
        if len(kept) < len(text):
            kept += f"\n[the log is longer than {MAX_LOG_BYTES} bytes; the rest is dropped]\n".encode()
        self.record(Event("log", {"text": kept.decode(errors="replace")}))

    def read(self, look: Callable[[Session], T]) -> T:
        """Return what ``look`` reads. Tries again while the database is away. Raises `LeaseLost`."""

        def attempt() -> T:
            with self._db.read() as session:
                return look(session)

        return self._patiently(attempt)

    def persist(self, write: Callable[[Session], T]) -> T:
        """Run ``write`` in a transaction, with what is still to be recorded.

        Tries again while the database is away. Raises `LeaseLost` when the lease is gone, which it also is
        when a commit that seemed to fail had in truth succeeded.
        """

        def attempt() -> T:
            with self._db.transaction() as session:
                self._hold(session)
                return write(session)

        result = self._patiently(attempt)
        self._written()
        return result

    def _patiently(self, attempt: Callable[[], T]) -> T:
        while True:
            try:
                return attempt()
            except AWAY as error:
                self._give_up_in_time(error)
                time.sleep(_RETRY_S)

    def _next_write(self) -> float:
        due = self._renewed + self._settings.renew_s
        if self._pending:
            due = min(due, self._pending_since + FLUSH_S)
        return max(due, self._not_before)

    def _written(self) -> None:
        if self.since is not None:
            self.since += len(self._pending)
        self._pending.clear()
        self._tried = 0

    def _hold(self, session: Session) -> bool:
        self._tried = len(self._pending)
        return leases.renew(
            session,
            self._lease,
            now=clock(session),
            lease_s=self._settings.lease_s,
            happened=self._pending,
            since=self.since,
            used=None if self.meter is None else self.meter.read(),
        )

    def _renew(self, now: float) -> None:
        try:
            with self._db.transaction() as session:
                cancel_requested = self._hold(session)
        except AWAY as error:
            self._give_up_in_time(error)
            self._not_before = time.monotonic() + _RETRY_S
            return
        self._renewed = now
        self._written()
        if cancel_requested:
            raise Interrupted(Cancelled())

    def _give_up_in_time(self, error: Exception) -> None:
        """Raise `LeaseLost` once the lease must be thought expired: another worker may have the job."""
        _log.warning("%s: the database is away: %s", self._lease.job, error)
        if time.monotonic() - self._renewed > self._settings.lease_s:
            raise LeaseLost(f"{self._lease.job}: the database was away for longer than the lease") from error
