"""The calls that `scale.py` measures: each as its entry point makes it, one transaction."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial

from bench.scale_rows import PROJECT

from headrace import scheduler
from headrace.db import Database, clock
from headrace.jobs import claims, leases, queries, queues, service, transitions
from headrace.jobs.events import Event
from headrace.jobs.leases import Lease
from headrace.jobs.queries import JobFilter
from headrace.jobs.states import State

Call = Callable[[Database], object]
LEASE_S = 3600.0
EVERY = JobFilter()
SIEVED = ("list by state, model", "list by model, kind, tag", "list by q", "list by q, nothing like it")
"""Calls that look at up to `headrace.paging.LOOKED_AT` jobs one by one."""
QUEUES = ("default", "gpu")


class Calls:
    """Calls on a database with ``jobs`` finished jobs; what was claimed is renewed, and then finished."""

    def __init__(self, database: Database, jobs: int) -> None:
        now = datetime.now(UTC)
        self._leases: list[Lease] = []
        # A day that ended long ago, so far as there is one.
        self._middle = now - timedelta(seconds=3600 + jobs // 2)
        with database.read() as session:
            middle = JobFilter(created_before=self._middle)
            self._job = queries.jobs(session, PROJECT, middle, limit=1).items[0].id

    def all(self) -> Iterator[tuple[str, Call]]:
        """Yield the name of each call, and the call."""
        yield "claim", self._claim
        yield "claim, nothing there", partial(self._claim, queues=("idle",))
        yield "heartbeat", self._heartbeat
        yield "finish", self._finish
        yield "one job", self._show
        yield "list", self._list()
        yield "list, a page in the middle", self._list(cursor=self._job)
        for name, wanted in {
            "state": JobFilter(state="failed"),
            "kind": JobFilter(kind="evaluate"),
            "queue": JobFilter(queue="gpu"),
            "model": JobFilter(model="m3"),
            "dataset": JobFilter(dataset="d3"),
            "tag": JobFilter(tag=("team", "vision")),
            "created_after": JobFilter(created_after=self._middle),
            "created_before": JobFilter(created_before=self._middle),
            "created_before, state": JobFilter(created_before=self._middle, state="failed"),
            "state, model": JobFilter(state="failed", model="m3"),
            "model, kind, tag": JobFilter(model="m3", kind="train", tag=("team", "vision")),
            "q": JobFilter(q="needle"),
            "q, nothing like it": JobFilter(q="haystack"),
            "q, an id": JobFilter(q=self._job),
        }.items():
            yield f"list by {name}", self._list(wanted)
        yield "queues", self._queues
        yield "counts of the overview", self._counts
        yield "tick, nothing due", self._tick

    def _claim(self, database: Database, queues: tuple[str, ...] = QUEUES) -> None:
        with database.transaction() as session:
            now = clock(session)
            lease = claims.claim(session, worker="w", queues=queues, lane="heavy", now=now, lease_s=LEASE_S)
        if lease is not None:
            self._leases.insert(0, lease)

    def _heartbeat(self, database: Database) -> None:
        happened = [Event("progress", {"fraction": 0.5, "message": "half"})]
        with database.transaction() as session:
            now = clock(session)
            leases.renew(session, self._leases[-1], now=now, lease_s=LEASE_S, happened=happened)

    def _finish(self, database: Database) -> None:
        with database.transaction() as session:
            transitions.succeed(session, self._leases.pop(), result={}, now=clock(session))

    def _show(self, database: Database) -> None:
        with database.read() as session:
            job = service.job(session, PROJECT, self._job)
            queries.events(session, job, limit=50)
            queries.metrics(session, job)

    def _list(self, wanted: JobFilter = EVERY, cursor: str | None = None) -> Call:
        def call(database: Database) -> None:
            with database.read() as session:
                queries.jobs(session, PROJECT, wanted, limit=50, cursor=cursor)

        return call

    def _queues(self, database: Database) -> None:
        with database.read() as session:
            queues.queues(session, None, now=clock(session), alive_s=LEASE_S)

    def _counts(self, database: Database) -> None:
        with database.read() as session:
            for state in (State.RUNNING, State.QUEUED, State.WAITING):
                queries.count(session, PROJECT, state)

    def _tick(self, database: Database) -> None:
        scheduler.tick(database, backoff=transitions.Backoff(), kept_for=timedelta(days=10_000))
