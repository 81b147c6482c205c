"""Every query that runs often finds its jobs by an index: at row one million as at row one.

The plan is the database's own, for the statements that the code sends, on a table that is large enough to
make an index worth it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from sqlalchemy import event, insert, text

from domain import LEASE_S, NOW, Domain
from headrace.db import first_id, new_id
from headrace.jobs import leases, queries, queues, service, transitions
from headrace.jobs.events import Event
from headrace.jobs.queries import JobFilter
from headrace.jobs.states import State
from headrace.jobs.tables import Job, JobTag
from headrace.paging import Page

READING = ("SELECT", "UPDATE", "DELETE", "WITH")
WALK = re.compile(
    r"SCAN jobs(?!.*INDEX ix_jobs_(claim|running|lease|waiting|coordinators))"
    r"|SEARCH jobs USING .*autoindex_jobs_1 \(id[<>]"
    r"|Seq Scan on jobs"
    r"|Scan (Backward )?using (pk_jobs|ix_jobs_list\w*) on jobs.*(\n +(?! |Index Cond: .*[^<>]= )|$)"
)

FILTERS = {
    JobFilter(): "ix_jobs_list",
    JobFilter(state="queued"): "ix_jobs_list_state",
    JobFilter(state="succeeded"): "ix_jobs_list_state",
    JobFilter(kind="evaluate"): "ix_jobs_list_kind",
    JobFilter(queue="gpu"): "ix_jobs_list_queue",
    JobFilter(model="m7"): "ix_jobs_list_model",
    JobFilter(model="nobody"): "ix_jobs_list_model",
    JobFilter(dataset="d7"): "ix_jobs_list_dataset",
    JobFilter(tag=("team", "vision")): "ix_job_tags_find",
    JobFilter(parent="job_3"): "ix_jobs_list_parent",
    JobFilter(parent="job_3", state="succeeded"): "ix_jobs_list_parent",
    JobFilter(state="failed", model="m7"): "ix_jobs_list_state",
    JobFilter(state="succeeded", model="m7"): "ix_jobs_list_model",
    JobFilter(model="m7", kind="train", tag=("team", "vision")): "ix_job_tags_find",
    JobFilter(q="nothing like it"): "ix_jobs_list",
    JobFilter(q="job_" + "0" * 26): "ix_jobs_list",
    JobFilter(created_after=NOW, created_before=NOW + timedelta(days=1)): "ix_jobs_list",
    JobFilter(created_after=NOW, state="failed"): "ix_jobs_list_state",
}
"""Which index finds the jobs of each filter."""


@pytest.fixture
def large(domain: Domain) -> Domain:
    """The database with 4,000 jobs, all but four of them done."""
    states = ["succeeded", "succeeded", "failed"] * 333 + [None]
    live = ["queued", "running", "waiting", "queued"]
    domain.project("other")
    rows = [_row(domain, index, states[index % 1000] or live[index // 1000]) for index in range(4_000)]
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
    # SQLite keeps none in production either.
    if domain.db.engine.dialect.name == "postgresql":
        with domain.db.engine.begin() as connection:
            connection.execute(text("ANALYZE"))
    return domain


def _row(domain: Domain, index: int, state: str) -> dict[str, Any]:
    running = state == "running"
    created_at = NOW + timedelta(seconds=index)
    return {
        "id": new_id("job", created_at),
        "project": "default" if index % 2 else "other",
        "kind": "evaluate" if index % 40 == 1 else "train",
        "name": f"job {index}",
        "state": state,
        "priority": 5,
        "queue": "gpu" if index % 40 == 3 else "default",
        "lane": "coordinator" if index % 400 == 7 else "heavy",
        "parent": f"job_{index % 400}" if index % 400 < 5 else None,
        "part": f"trial {index}" if index % 400 < 5 else None,
        "spec": {},
        "tags": {},
        "depends_on": [],
        "model": f"m{index % 50}",
        "dataset": f"d{index % 50}",
        "attempt": 1,
        "max_attempts": 3,
        "timeout_s": 60,
        "created_at": created_at,
        "available_at": NOW,
        "finished_at": NOW if state in ("succeeded", "failed") else None,
        "result": {} if state == "succeeded" else None,
        "error": {} if state == "failed" else None,
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


def _plans(domain: Domain, act: Callable[[], object], without: tuple[str, ...] = ()) -> list[str]:
    """Do ``act``; return the plans of its statements that read jobs, on PostgreSQL ``without`` some ways."""
    with statements(domain) as sent:
        act()
    asked = [(sql, values) for sql, values in sent if "jobs" in sql and sql.startswith(READING)]
    assert asked
    return [_plan(domain, sql, values, without) for sql, values in asked]


def _plan(domain: Domain, sql: str, values: Any, without: tuple[str, ...]) -> str:
    with domain.db.engine.connect() as connection:
        prefix = "EXPLAIN QUERY PLAN "
        if domain.db.engine.dialect.name == "postgresql":
            prefix = "EXPLAIN "
            for way in without:
                connection.execute(text(f"SET LOCAL enable_{way} = off"))
        return "\n".join(str(row[-1]) for row in connection.exec_driver_sql(prefix + sql, values))


def _walks(plans: list[str]) -> list[str]:
    """Return those of ``plans`` that read all jobs: the table, or an index from end to end.

    Partial indexes are read whole at times: they hold live jobs only. The primary key alone narrows nothing.
    """
    return [plan for plan in plans if WALK.search(plan)]


def _index(plans: list[str]) -> set[str]:
    """Return the indexes that lead: by which rows are found that are then looked up by their key."""
    return {name for plan in plans for name in re.findall(r"ix_job\w+", plan)}


def _page(domain: Domain, wanted: JobFilter, cursor: str | None = None) -> Page[Job]:
    with domain.db.read() as session:
        return queries.jobs(session, "default", wanted, limit=5, cursor=cursor)


def test_a_walk_would_be_seen(large: Domain) -> None:
    def ask(sql: str) -> None:
        with large.db.read() as session:
            session.execute(text(sql)).all()

    for sql in (
        "SELECT count(*) FROM jobs WHERE message = 'x'",
        "SELECT id FROM jobs WHERE message = 'x' AND id > 'job_0' ORDER BY id LIMIT 1",
        "SELECT project FROM jobs ORDER BY project, id LIMIT 1",
    ):
        assert _walks(_plans(large, partial(ask, sql))), sql


def test_a_filter_reads_its_index_and_nothing_else(large: Domain) -> None:
    for wanted, index in FILTERS.items():
        for cursor in (None, first_id("job", NOW + timedelta(seconds=2_000))):
            # So few rows are soon read and sorted. `bench/scale.py` looks at the plans for a million.
            ways = ("seqscan", "bitmapscan", "sort")
            plans = _plans(large, partial(_page, large, wanted, cursor), without=ways)
            assert _walks(plans) == [], wanted
            # Where so few are queued, PostgreSQL may take them all and sort them.
            assert _index(plans) <= {index, "ix_jobs_claim"}, wanted


def test_what_runs_often_reads_by_index(large: Domain) -> None:
    def life() -> None:
        job = large.submit()
        with large.db.read() as session:
            found = service.job(session, "default", job)
            queries.events(session, found, limit=10)
            queries.metrics(session, found)
            list(queries.log(session, found))
            queries.count(session, "default", State.RUNNING)
            queues.queues(session, "default", now=NOW, alive_s=10)
            queues.queues(session, None, now=NOW, alive_s=10)
        large.cancel(job)
        lease = large.claim(queues=("gpu", "default"))
        assert lease is not None
        large.do(leases.renew, lease, now=large.now, lease_s=LEASE_S, happened=[Event("log", {"text": "x"})])
        large.do(transitions.succeed, lease, result={}, now=large.now)

    large.project("default", max_queued=100_000, max_running=100)
    assert _walks(_plans(large, life)) == []
    large.now += timedelta(hours=1)
    assert _walks(_plans(large, large.tick)) == []


def test_a_claim_finds_its_job_at_the_head_of_each_queue(large: Domain) -> None:
    """Else a long queue that nobody serves would be read at every claim."""
    best, *_ = [plan for plan in _plans(large, large.claim) if "ix_jobs_claim" in plan]
    if large.db.engine.dialect.name == "sqlite":
        assert "USING COVERING INDEX ix_jobs_claim (project=? AND lane=? AND queue=?)" in best
    else:
        assert re.search(r"using ix_jobs_claim.*\n +Index Cond: .*project.*lane.*queue", best)
