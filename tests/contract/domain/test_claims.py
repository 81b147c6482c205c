"""Which job is claimed: the order, the quotas, and that a job is claimed once."""

from __future__ import annotations

import random
from collections import Counter
from datetime import datetime, timedelta
from functools import partial
from itertools import count
from typing import Any, NamedTuple

import pytest
from sqlalchemy import func, select

from domain import BACKOFF, LEASE_S, NOW, Domain, at_once, overlap
from headrace.access.tables import Project
from headrace.db import new_id
from headrace.jobs import claims, transitions
from headrace.jobs.states import State
from headrace.jobs.tables import Job

QUEUES = ("default", "gpu", "slow")


class Queued(NamedTuple):
    """A job as the reference sees it; it sorts by age."""

    id: str
    project: str
    priority: int
    queue: str
    lane: str
    available_at: datetime


def _queue(domain: Domain, **options: Any) -> Queued:
    wanted = Queued(new_id("job"), **({"priority": 5, "queue": "default", "lane": "heavy"} | options))
    with domain.db.transaction() as session:
        job = Job(
            id=wanted.id,
            project=wanted.project,
            kind="train",
            name="",
            priority=wanted.priority,
            queue=wanted.queue,
            lane=wanted.lane,
            spec={},
            tags={},
            depends_on=[],
            max_attempts=3,
            timeout_s=60,
        )
        transitions.create(session, job, waiting=False, now=domain.now)
        job.available_at = wanted.available_at
    return wanted


def _expected(
    jobs: list[Queued], projects: dict[str, dict[str, Any]], queues: tuple[str, ...], lane: str, now: datetime
) -> Queued | None:
    """The order of architecture.md, in Python."""
    claimable = [
        job
        for job in jobs
        if job.queue in queues
        and job.lane == lane
        and job.available_at <= now
        and projects[job.project]["running"] < (projects[job.project]["max_running"] or 10**9)
    ]
    never = datetime.min.replace(tzinfo=now.tzinfo)
    return min(
        claimable,
        default=None,
        key=lambda job: (
            -job.priority,
            projects[job.project]["running"] / projects[job.project]["weight"],
            projects[job.project]["last_started_at"] or never,
            job.id,
        ),
    )


@pytest.mark.parametrize("seed", range(6))
def test_the_order_is_priority_then_fair_share_then_longest_unserved_then_age(
    domain: Domain, seed: int
) -> None:
    chance = random.Random(seed)
    projects: dict[str, dict[str, Any]] = {}
    for name in ("red", "green", "blue"):
        quotas = {"weight": chance.choice([0.5, 1.0, 3.0]), "max_running": chance.choice([None, 2, 4])}
        domain.project(name, **quotas)
        projects[name] = quotas | {"running": 0, "last_started_at": None}
    jobs = [
        _queue(
            domain,
            project=chance.choice(list(projects)),
            priority=chance.choice([4, 5, 5, 6]),
            queue=chance.choice(QUEUES),
            lane=chance.choice(["heavy", "heavy", "light"]),
            available_at=NOW + timedelta(seconds=chance.choice([-1, 0, 0, 5, 20])),
        )
        for _ in range(20)
    ]
    running = []
    for _ in range(30):
        domain.now += timedelta(seconds=chance.choice([0, 1, 5]))
        queues = chance.choice([QUEUES, ("default",), ("gpu", "slow")])
        lane = chance.choice(["heavy", "heavy", "light"])
        wanted = _expected(jobs, projects, queues, lane, domain.now)
        lease = domain.claim(queues=queues, lane=lane)
        assert (lease and lease.job) == (wanted and wanted.id)
        if wanted is not None and lease is not None:
            jobs.remove(wanted)
            running.append((wanted, lease))
            projects[wanted.project]["running"] += 1
            projects[wanted.project]["last_started_at"] = domain.now
        if running and chance.random() < 0.3:
            ended, lease = running.pop(chance.randrange(len(running)))
            domain.do(transitions.succeed, lease, result={}, now=domain.now)
            projects[ended.project]["running"] -= 1


def test_a_failed_attempt_waits_for_its_backoff(domain: Domain) -> None:
    lease = domain.running(max_attempts=9)
    for failures in range(1, 9):
        domain.fail(lease)
        wait = domain.job(lease.job).available_at - domain.now
        longest = timedelta(seconds=min(60, 2 ** (failures - 1)))
        assert longest / 2 <= wait <= longest
        domain.now += wait - timedelta(milliseconds=1)
        assert domain.claim() is None
        domain.now += timedelta(milliseconds=1)
        claimed = domain.claim()
        assert claimed is not None
        assert claimed.attempt == failures + 1
        lease = claimed
    assert BACKOFF.delay(10_000) <= timedelta(seconds=60)


@pytest.mark.parametrize("claimers", [2, 16])
def test_of_racing_claimers_one_wins(domain: Domain, claimers: int) -> None:
    for _ in range(60 // claimers):
        job = domain.submit()
        won = [lease for lease in at_once(*[domain.claim] * claimers) if lease]
        assert [lease.job for lease in won] == [job]
        domain.commit(won[0])


def test_racing_claimers_leave_no_claimable_job_and_take_none_twice(domain: Domain) -> None:
    jobs = {domain.submit() for _ in range(24)}
    won = at_once(*[lambda: [domain.claim() for _ in range(4)]] * 6)
    claimed = [lease.job for leases in won for lease in leases]
    assert len(claimed) == 24
    assert set(claimed) == jobs


def test_quotas_are_exact_under_thirty_claimers(domain: Domain) -> None:
    quotas = {"red": 2, "green": 3}
    for name, most in quotas.items():
        domain.project(name, max_running=most)
        for _ in range(12):
            _queue(domain, project=name, available_at=NOW)
    for _ in range(3):
        won = [lease for lease in at_once(*[domain.claim] * 30) if lease]
        with domain.db.read() as session:
            projects = session.scalars(select(Job.project).where(Job.state == State.RUNNING))
            assert Counter(projects) == quotas
        assert len(won) == 5
        at_once(*(partial(domain.do, transitions.succeed, lease, result={}, now=NOW) for lease in won))


def test_a_quota_counts_the_claim_that_is_just_being_made_in_another_queue(domain: Domain) -> None:
    domain.project("default", max_running=1)
    domain.submit()
    domain.submit(queue="gpu")
    second = overlap(
        domain,
        lambda session: claims.claim(
            session, worker="w", queues=["default"], lane="heavy", now=NOW, lease_s=LEASE_S
        ),
        partial(domain.claim, queues=("gpu",)),
    )
    assert second is None


def test_the_quota_of_queued_jobs_is_exact_under_racing_submissions(domain: Domain) -> None:
    domain.project("default", max_queued=3)
    answers = at_once(*[domain.submit] * 10)
    assert sum(isinstance(answer, str) for answer in answers) == 3
    assert {type(answer).__name__ for answer in answers} == {"str", "Limited"}


def test_claims_mix_with_everything_else_without_a_deadlock(domain: Domain) -> None:
    """Every kind of writer at once: none may be refused by the database."""
    for _ in range(10):
        domain.submit()
    numbers = count()

    def work() -> None:
        for _ in range(5):
            if lease := domain.claim():
                domain.commit(lease)

    def cancel() -> None:
        for _ in range(5):
            domain.cancel(domain.submit())

    def upload() -> None:
        for _ in range(5):
            domain.upload("shared", content=str(next(numbers) % 3))

    def tick() -> None:
        for _ in range(5):
            domain.tick()

    answers = at_once(work, work, cancel, upload, upload, tick)
    assert [
        type(answer) for answer in answers if answer is not None and type(answer).__name__ != "Conflict"
    ] == []
    with domain.db.read() as session:
        assert session.scalar(select(func.count()).where(Job.state == State.FAILED)) == 0


def test_the_project_remembers_when_it_was_served(domain: Domain) -> None:
    domain.submit()
    domain.claim()
    with domain.db.read() as session:
        assert session.get_one(Project, "default").last_started_at == domain.now


def test_a_job_that_is_cancelled_in_the_last_moment_does_not_hide_the_next(domain: Domain) -> None:
    """Whoever claims must not go away empty-handed while another job is claimable."""
    first, second = domain.submit(), domain.submit()
    lease = overlap(
        domain,
        lambda session: transitions.request_cancel(session, "default", first, NOW),
        domain.claim,
    )
    assert lease is not None
    assert lease.job == second
