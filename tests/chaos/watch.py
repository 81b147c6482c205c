"""What the suite sees of a run while it goes on: how far the jobs are, and whether a quota is exceeded."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from typing import TypeVar

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from chaos.invariants import over_quota
from chaos.violation import Violation
from headrace.db import AWAY, Database
from headrace.jobs.states import FINAL, State
from headrace.jobs.tables import Job

EVERY_S = 0.25
T = TypeVar("T")


class Watch:
    """Looks into the database by itself, over and over, until it is closed."""

    def __init__(self, database_url: str) -> None:
        self.states: Counter[str] = Counter()
        self.violations: list[Violation] = []
        self.looks = 0
        self._db = Database(database_url)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._look_on, name="watch")
        self._thread.start()

    @property
    def open(self) -> int:
        """How many jobs have not ended."""
        return sum(count for state, count in self.states.items() if State(state) not in FINAL)

    @property
    def ended(self) -> int:
        return self.states.total() - self.open

    def running_of(self, pid: int) -> dict[str, int]:
        """Return the attempt of every job that the worker with process id ``pid`` runs, by its id."""
        query = select(Job.id, Job.attempt).where(Job.state == State.RUNNING, Job.worker.like(f"%-{pid}-%"))
        return self.ask(lambda session: dict(session.execute(query).tuples().all()), {})

    def over(self, attempts: dict[str, int]) -> tuple[int, int]:
        """Return how many of these jobs have another attempt by now, or none, and how many have ended."""
        query = select(Job.id, Job.attempt, Job.state).where(Job.id.in_(attempts))
        rows = self.ask(lambda session: session.execute(query).all(), [])
        taken = [row for row in rows if row.attempt != attempts[row.id] or row.state != State.RUNNING]
        return len(taken), sum(State(row.state) in FINAL for row in taken)

    def ask(self, query: Callable[[Session], T], otherwise: T) -> T:
        """Return what ``query`` returns; ``otherwise`` while the database is away."""
        try:
            with self._db.read() as session:
                return query(session)
        except AWAY:
            return otherwise

    def look(self) -> None:
        """Take a look now."""
        by_state = select(Job.state, func.count()).group_by(Job.state)
        states = self.ask(lambda session: session.execute(by_state).tuples().all(), None)
        if states is not None:
            self.looks += 1
            self.states = Counter(dict(states))
        if not self.violations:
            self.violations += self.ask(lambda session: list(over_quota(session)), [])

    def close(self) -> None:
        self._stop.set()
        self._thread.join()
        self._db.close()

    def _look_on(self) -> None:
        while not self._stop.wait(EVERY_S):
            self.look()
