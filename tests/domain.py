"""The domain over a real database, called as entry points call it: one transaction a call."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import delete, select, text
from sqlalchemy.orm import Session

from headrace.access import service as access
from headrace.access.tables import Project
from headrace.artifacts.store import Stored
from headrace.datasets import service as datasets
from headrace.db import Base, Database, is_postgresql
from headrace.errors import HeadraceError
from headrace.jobs import claims, coordinators, kinds, leases, service, transitions
from headrace.jobs.leases import Lease
from headrace.jobs.tables import Job, JobEvent
from headrace.scheduler import tick
from headrace.specs.jobs import JobRequest
from headrace.specs.task import Done

NOW = datetime(2027, 1, 2, 3, 4, 5, tzinfo=UTC)
LEASE_S = 15.0
BACKOFF = transitions.Backoff(base_s=1, max_s=60)
COLUMNS = [
    {"name": "x", "type": "number", "nullable": True},
    {"name": "label", "type": "category", "nullable": False},
]
TRAIN = {"model": "iris", "dataset": "iris@1", "algorithm": "mlp", "target": "label"}
LEARNED = {
    "metrics": {"accuracy": 0.9},
    "validation": {"accuracy": 0.9},
    "signature": {
        "inputs": [{"name": "x", "type": "number"}],
        "outputs": [{"name": "prediction", "type": "category"}],
    },
    "task": "classification",
    "rows": {"train": 80, "validation": 10, "test": 10},
    "weights_digest": "sha256:" + "1" * 64,
    "environment": {"python": "3.11"},
}
"""What a job process of a train job gives back."""


def stored(content: str) -> Stored:
    """Return the name that ``content`` would have in a store."""
    return Stored("sha256:" + content.encode().hex().ljust(64, "0")[:64], len(content))


@dataclass
class Domain:
    """A database with a project ``default`` and a ready dataset ``iris@1``, and a clock that tests move."""

    db: Database
    now: datetime = NOW
    _resting: dict[str, coordinators.Mark] = field(default_factory=dict)

    def do(self, function: Callable[..., Any], *args: Any, **options: Any) -> Any:
        """Call ``function`` with a session, in a transaction of its own."""
        with self.db.transaction() as session:
            return function(session, *args, **options)

    def project(self, name: str, **quotas: Any) -> None:
        with self.db.transaction() as session:
            project = access.ensure_project(session, name, self.now)
            for column, value in quotas.items():
                setattr(project, column, value)

    def upload(
        self, name: str, content: str = "a,b\n1,2\n", project: str = "default", **options: Any
    ) -> tuple[int, str, bool]:
        """Return the number of the version, its job, and whether it is ingested now."""
        with self.db.transaction() as session:
            version, ingested = datasets.upload(
                session,
                project=project,
                name=name,
                file=stored(content),
                media_type="text/csv",
                filename=None,
                types={},
                created_by=None,
                now=self.now,
                **options,
            )
            return version.version, version.job, ingested

    def ingest(self, lease: Lease) -> None:
        """Do what a worker does when an ingest has ended well."""
        done = Done(result={"rows": 100, "columns": COLUMNS}, outputs={})
        self.commit(lease, done, {"data": stored("parquet"), "profile": stored("{}")})

    def submit(self, project: str = "default", **options: Any) -> str:
        """Return the id of a new train job."""
        request = JobRequest.model_validate({"kind": "train", "spec": TRAIN} | options)
        with self.db.transaction() as session:
            return service.submit(session, project=project, request=request, created_by=None, now=self.now).id

    def claim(
        self, worker: str = "w", queues: tuple[str, ...] = ("default",), lane: str = "heavy"
    ) -> Lease | None:
        return self.do(claims.claim, worker=worker, queues=queues, lane=lane, now=self.now, lease_s=LEASE_S)

    def running(self, **options: Any) -> Lease:
        """Return the lease on a new job."""
        job = self.submit(**options)
        lease = self.claim()
        assert lease is not None
        assert lease.job == job
        return lease

    def commit(self, lease: Lease, done: Done | None = None, files: Any = None) -> None:
        """Do what a worker does when its job process has ended well; by default one that has trained."""
        done = done or Done(result=LEARNED, outputs={})
        files = files or {"package": stored("package"), "evaluation": stored("evaluation")}
        with self.db.transaction() as session:
            job = leases.hold(session, lease)
            result = kinds.kind(job.kind).commit(session, job, done, files, self.now)
            transitions.succeed(session, lease, result=result, now=self.now)

    def fail(self, lease: Lease, *, retryable: bool = True) -> None:
        self.do(
            transitions.fail,
            lease,
            type="BadData",
            message="no",
            retryable=retryable,
            now=self.now,
            backoff=BACKOFF,
        )

    def cancel(self, job: str, project: str = "default") -> None:
        self.do(transitions.request_cancel, project, job, self.now)

    def tick(self, after_s: float = 0) -> None:
        self.now += timedelta(seconds=after_s)
        tick(self.db, backoff=BACKOFF, now=self.now, resting=self._resting)

    def job(self, job: str) -> Job:
        with self.db.read() as session:
            return session.get_one(Job, job)

    def events(self, job: str) -> list[JobEvent]:
        with self.db.read() as session:
            return list(session.scalars(select(JobEvent).where(JobEvent.job == job).order_by(JobEvent.seq)))

    def dump(self) -> dict[str, list[Any]]:
        """Return every row of every table."""
        with self.db.read() as session:
            return {
                table.name: [
                    tuple(row) for row in session.execute(select(table).order_by(*table.primary_key))
                ]
                for table in Base.metadata.sorted_tables
            }

    def clear(self) -> None:
        """Empty every table, and begin again."""
        with self.db.transaction() as session:
            for table in reversed(Base.metadata.sorted_tables):
                session.execute(delete(table))
        self.now = NOW
        self.begin()

    def begin(self) -> None:
        self.project("default")
        self.upload("iris")
        lease = self.claim(lane="light")
        assert lease is not None
        self.ingest(lease)
        with self.db.transaction() as session:
            session.get_one(Project, "default").last_started_at = None


def at_once(*calls: Callable[[], Any]) -> list[Any]:
    """Run ``calls`` in threads that start together; return what each returned, or its error of ours."""
    barrier = threading.Barrier(len(calls))

    def run(call: Callable[[], Any]) -> Any:
        barrier.wait()
        try:
            return call()
        except HeadraceError as error:
            return error

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(run, calls))


def overlap(domain: Domain, first: Callable[[Session], Any], second: Callable[[], Any]) -> Any:
    """Begin a transaction with ``first``; commit it when ``second``, in a thread, waits for it or is done.

    Return what ``second`` returned, or its error of ours. On SQLite ``second`` waits for the write lock.
    """
    with ThreadPoolExecutor(1) as pool:
        with domain.db.transaction() as session:
            first(session)
            answer = pool.submit(at_once, second)
            while is_postgresql(session) and not _somebody_waits(domain):
                if wait([answer], timeout=0.005).done:
                    break
        return answer.result()[0]


def _somebody_waits(domain: Domain) -> bool:
    with domain.db.read() as session:
        here = "datname = current_database() AND wait_event_type = 'Lock'"
        return bool(session.scalar(text(f"SELECT count(*) FROM pg_stat_activity WHERE {here}")))
