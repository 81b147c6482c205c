"""Every query that runs often finds its jobs by an index: at row one million as at row one.

The plan is the database's own, for the statements that the code sends, on a table that is large enough to
make an index worth it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from sqlalchemy import event, insert, text

from domain import NOW, Domain
from headrace.db import new_id
from headrace.jobs import queries, service, transitions
from headrace.jobs.queries import JobFilter
from headrace.jobs.tables import Job, JobTag

FILTERS = [
    JobFilter(),
    JobFilter(state="queued"),
    JobFilter(kind="evaluate"),
    JobFilter(queue="gpu"),
    JobFilter(model="m7"),
    JobFilter(dataset="d7"),
    JobFilter(tag=("team", "vision")),
    JobFilter(state="succeeded", model="m7"),
    JobFilter(model="nobody"),
]


@pytest.fixture
def large(domain: Domain) -> Domain:
    """The database with 4,000 jobs, nearly all of them done."""
    states = ["succeeded"] * 997 + ["queued", "running", "waiting"]
    domain.project("other")
    rows = [_row(domain, index, states[index % 1000]) for index in range(4_000)]
    tags = [
        {
            "job": row["id"],
            "key": "team",
            "project": row["project"],
            "value": "vision" if n % 50 == 1 else "x",
        }
        for n, row in enumerate(rows)
    ]
    with domain.db.transaction() as session:
        session.execute(insert(Job), rows)
        session.execute(insert(JobTag), tags)
    with domain.db.engine.begin() as connection:
        connection.execute(text("ANALYZE"))
    return domain


def _row(domain: Domain, index: int, state: str) -> dict[str, Any]:
    running = state == "running"
    return {
        "id": new_id("job"),
        "project": "default" if index % 2 else "other",
        "kind": "evaluate" if index % 40 == 1 else "train",
        "name": f"job {index}",
        "state": state,
        "priority": 5,
        "queue": "gpu" if index % 40 == 3 else "default",
        "lane": "heavy",
        "spec": {},
        "tags": {},
        "depends_on": [],
        "model": f"m{index % 50}",
        "dataset": f"d{index % 50}",
        "attempt": 1,
        "max_attempts": 3,
        "timeout_s": 60,
        "created_at": NOW,
        "available_at": NOW,
        "finished_at": NOW if state == "succeeded" else None,
        "result": {} if state == "succeeded" else None,
        "lease_token": "t" if running else None,
        "lease_expires_at": NOW if running else None,
    }


@contextmanager
def statements(domain: Domain) -> Iterator[list[tuple[str, Any]]]:
    """Record what is sent to the database."""
    sent: list[tuple[str, Any]] = []

    def record(_c: Any, _cursor: Any, statement: str, parameters: Any, _context: Any, _many: bool) -> None:
        sent.append((statement, parameters))

    event.listen(domain.db.engine, "before_cursor_execute", record)
    try:
        yield sent
    finally:
        event.remove(domain.db.engine, "before_cursor_execute", record)


def _scans(domain: Domain, act: Callable[[], object]) -> list[str]:
    """Do ``act``; return the plans of its statements that read the whole table of jobs."""
    with statements(domain) as sent:
        act()
    asked = [(sql, values) for sql, values in sent if "jobs" in sql and sql.startswith(("SELECT", "UPDATE"))]
    assert asked
    plans = [_plan(domain, sql, values) for sql, values in asked]
    return [plan for plan in plans if _is_scan(domain, plan)]


def _plan(domain: Domain, sql: str, values: Any) -> str:
    if domain.db.engine.dialect.name == "sqlite":
        prefix = "EXPLAIN QUERY PLAN "
    else:
        prefix = "EXPLAIN "
    with domain.db.engine.connect() as connection:
        rows = connection.exec_driver_sql(prefix + sql, values).all()
    return sql + "\n" + "\n".join(str(row[-1]) for row in rows)


def _is_scan(domain: Domain, plan: str) -> bool:
    if domain.db.engine.dialect.name == "sqlite":
        return any(
            line.startswith("SCAN") and "jobs" in line and "INDEX" not in line for line in plan.splitlines()
        )
    return "Seq Scan on jobs" in plan


def test_what_runs_often_reads_by_index(large: Domain) -> None:
    def scan() -> None:
        with large.db.read() as session:
            session.execute(text("SELECT count(*) FROM jobs WHERE message = 'x'"))

    def pages(wanted: JobFilter) -> None:
        with large.db.read() as session:
            first = queries.jobs(session, "default", wanted, limit=1)
            queries.jobs(session, "default", wanted, limit=5, cursor=first.next_cursor)

    def life() -> None:
        job = large.submit()
        with large.db.read() as session:
            found = service.job(session, "default", job)
            queries.events(session, found, limit=10)
            queries.metrics(session, found)
            list(queries.log(session, found))
        large.cancel(job)
        lease = large.claim()
        assert lease is not None
        large.do(transitions.succeed, lease, result={}, now=large.now)

    large.project("default", max_queued=100_000)
    assert _scans(large, scan), "a scan would not be seen"
    assert _scans(large, large.claim) == []
    for wanted in FILTERS:
        assert _scans(large, partial(pages, wanted)) == []
    assert _scans(large, life) == []
    large.now += timedelta(hours=1)
    assert _scans(large, large.tick) == []
