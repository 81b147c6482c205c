"""Ten thousand queued jobs: the order in which they start, and quotas while fifty claim at once.

`STARTS=10000` has all of them started (`make claims`); else the first of them.
"""

from __future__ import annotations

import os
import random
from collections import Counter, defaultdict
from datetime import timedelta
from functools import partial
from heapq import heapify, heappop
from typing import Any

from sqlalchemy import func, insert, select

from domain import LEASE_S, NOW, Domain, at_once
from headrace.db import Database, new_id
from headrace.jobs import claims, transitions
from headrace.jobs.leases import Lease
from headrace.jobs.states import State
from headrace.jobs.tables import Job

SEED = 20270102
JOBS = 10_000
STARTS = int(os.environ.get("STARTS", "80"))
SLOTS = 12
SERVED = ("default", "gpu")
PROJECTS: dict[str, dict[str, Any]] = {
    "red": {"weight": 1.0, "max_running": None},
    "green": {"weight": 3.0, "max_running": 5},
    "blue": {"weight": 0.5, "max_running": 2},
}


class Rule:
    """The order of architecture.md in Python, by itself: priority, running ÷ weight, least recently, age."""

    def __init__(self, jobs: list[tuple[str, str, int, str]]) -> None:
        self._queued: dict[str, list[tuple[int, str]]] = defaultdict(list)
        for id, project, priority, queue in jobs:
            if queue in SERVED:
                self._queued[project].append((-priority, id))
        for queued in self._queued.values():
            heapify(queued)
        self._running: Counter[str] = Counter()
        self._started = dict.fromkeys(PROJECTS, 0)
        self._clock = 0

    def start(self) -> tuple[str, str] | None:
        """Return the project and the id of the job that is due, None where none is."""
        due = []
        for project, queued in self._queued.items():
            quota = PROJECTS[project]["max_running"]
            if queued and (quota is None or self._running[project] < quota):
                priority, id = queued[0]
                share = self._running[project] / PROJECTS[project]["weight"]
                due.append((priority, share, self._started[project], id, project))
        if not due:
            return None
        *_, id, project = min(due)
        heappop(self._queued[project])
        self._clock += 1
        self._running[project] += 1
        self._started[project] = self._clock
        return project, id

    def waiting(self) -> bool:
        return any(self._queued.values())

    def end(self, project: str) -> None:
        self._running[project] -= 1


def _fill(domain: Domain, chance: random.Random, count: int = JOBS) -> list[tuple[str, str, int, str]]:
    """Queue ``count`` jobs, a third where nobody serves; return (id, project, priority, queue) of each."""
    for name, quotas in PROJECTS.items():
        domain.project(name, **quotas)
    jobs = [
        (new_id("job"), chance.choice(list(PROJECTS)), chance.randrange(10), chance.choice([*SERVED, "idle"]))
        for _ in range(count)
    ]
    common = {
        "kind": "train",
        "name": "",
        "state": "queued",
        "lane": "heavy",
        "spec": {},
        "tags": {},
        "depends_on": [],
        "max_attempts": 3,
        "timeout_s": 60,
        "created_at": NOW,
        "available_at": NOW,
    }
    columns = ("id", "project", "priority", "queue")
    shuffled = chance.sample(jobs, len(jobs))
    with domain.db.transaction() as session:
        session.execute(insert(Job), [common | dict(zip(columns, job, strict=True)) for job in shuffled])
    return jobs


def test_ten_thousand_jobs_of_three_projects_start_in_the_very_order_of_the_rule(domain: Domain) -> None:
    print(f"seed {SEED}, {STARTS} starts")
    chance = random.Random(SEED)
    rule = Rule(_fill(domain, chance))
    running: list[tuple[str, Lease]] = []
    for number in range(STARTS):
        with domain.db.transaction() as session:
            now = NOW + timedelta(seconds=number)
            while len(running) >= SLOTS or (running and chance.random() < 0.3):
                project, lease = running.pop(chance.randrange(len(running)))
                transitions.succeed(session, lease, result={}, now=now)
                rule.end(project)
            due = rule.start()
            claimed = claims.claim(
                session, worker="w", queues=SERVED, lane="heavy", now=now, lease_s=10 * STARTS
            )
            assert (claimed and claimed.job) == (due and due[1]), f"start {number}"
            if due is not None and claimed is not None:
                running.append((due[0], claimed))
            elif rule.waiting():
                # Quotas hold the rest back until one ends, which then happens sooner or later.
                assert running, f"nothing is due at start {number} although quotas are free"
            else:
                break
    assert STARTS < JOBS or not rule.waiting()
    assert len({lease.job for _, lease in running}) == len(running)


def test_fifty_claimers_never_exceed_a_quota(domain: Domain) -> None:
    """Each looks into one of two queues: who finds the same job waits at its row anyway.

    Fewer on SQLite, where writers take turns at the one lock in no fair order.
    """
    quotas = {name: limits["max_running"] for name, limits in PROJECTS.items()} | {"red": 7}
    _fill(domain, random.Random(SEED), 1_000)
    domain.project("red", max_running=7)
    claimers = 50 if domain.db.engine.dialect.name == "postgresql" else 4
    databases = [Database(domain.db.url.render_as_string(hide_password=False)) for _ in range(2)]

    def work(database: Database, queue: str) -> list[str]:
        """Claim and finish; return each project that was seen to run more than it may."""
        exceeded = []
        for _ in range(4):
            with database.transaction() as session:
                lease = claims.claim(
                    session, worker="w", queues=[queue], lane="heavy", now=NOW, lease_s=LEASE_S
                )
            with database.read() as session:
                running = select(Job.project, func.count()).where(Job.state == State.RUNNING)
                for project, count in session.execute(running.group_by(Job.project)):
                    if count > quotas[project]:
                        exceeded.append(f"{project}: {count}")
            if lease is not None:
                with database.transaction() as session:
                    transitions.succeed(session, lease, result={}, now=NOW)
        return exceeded

    calls = (partial(work, databases[number % 2], SERVED[number // 2 % 2]) for number in range(claimers))
    exceeded = at_once(*calls)
    for database in databases:
        database.close()
    assert [found for each in exceeded for found in each] == []
    with domain.db.read() as session:
        assert session.scalar(select(func.count()).where(Job.state == State.SUCCEEDED)) >= claimers
