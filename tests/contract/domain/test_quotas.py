"""Quotas of queued jobs and stored bytes, and what is forgotten of jobs that ended long ago."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta

import pytest

from domain import BACKOFF, NOW, Domain, at_once
from headrace.access import quotas
from headrace.errors import Limited
from headrace.jobs import events, leases, retention, service
from headrace.jobs.events import Event
from headrace.scheduler import tick


def stored_bytes(domain: Domain, project: str = "default") -> int:
    usage: dict[str, quotas.Usage] = domain.do(quotas.usage, [project])
    return usage[project].stored_bytes


def test_queued_jobs_are_limited_where_jobs_are_submitted_and_where_files_are_uploaded(
    domain: Domain,
) -> None:
    failed = domain.running()
    domain.fail(failed, retryable=False)
    domain.project("default", max_queued=2)
    domain.submit()
    domain.upload("one")
    for refused in (
        domain.submit,
        lambda: domain.upload("two"),
        lambda: domain.do(
            service.retry, project="default", job_id=failed.job, created_by=None, now=domain.now
        ),
    ):
        with pytest.raises(Limited) as caught:
            refused()
        assert caught.value.retry_after_s > 0
        assert "2 jobs are queued" in caught.value.detail
    assert domain.claim() is not None
    domain.upload("two")


def test_of_submissions_at_once_only_as_many_as_are_allowed_come_through(domain: Domain) -> None:
    domain.project("default", max_queued=3)
    calls = [domain.submit, lambda: domain.upload("at-once", "a\n1\n")] * 4
    refused = [answer for answer in at_once(*calls) if isinstance(answer, Limited)]
    queued = domain.do(quotas.usage, ["default"])["default"].queued
    # Equal uploads are one version with one job.
    assert queued == 3
    assert 2 <= len(refused) <= 5


def test_stored_bytes_are_limited_to_the_byte(domain: Domain) -> None:
    stored = stored_bytes(domain)
    assert stored > 0
    domain.project("default", max_stored_bytes=stored + 10)
    domain.upload("ten", "0123456789")
    with pytest.raises(Limited, match=f"may store {stored + 10}"):
        domain.upload("one-more", "0")
    domain.upload("ten", "0123456789")
    assert stored_bytes(domain) == stored + 10
    domain.project("other")
    domain.upload("free", "0" * 1000, project="other")
    assert stored_bytes(domain) == stored + 10


def test_of_uploads_at_once_only_what_fits_comes_through(domain: Domain) -> None:
    domain.project("default", max_stored_bytes=stored_bytes(domain) + 20)

    def upload(content: str) -> object:
        return domain.upload("at-once", content)

    answers = at_once(*[lambda n=n: upload(f"{n:010}") for n in range(5)])  # type: ignore[misc]
    assert sum(isinstance(answer, Limited) for answer in answers) == 3


def happen(domain: Domain, count: int) -> str:
    """Return a job that has ended, with so many events of each type."""
    lease = domain.running()
    with domain.db.transaction() as session:
        job = leases.hold(session, lease)
        for step in range(count):
            happened = [
                Event("progress", {"fraction": 0.1, "message": ""}),
                Event("metric", {"name": "loss", "step": step, "value": 1.0}),
                Event("log", {"text": "x\n"}),
            ]
            events.append(session, job, happened, domain.now)
    domain.fail(lease, retryable=False)
    return lease.job


def count(domain: Domain, job: str) -> Counter[str]:
    return Counter(event.type for event in domain.events(job))


def test_old_progress_and_logs_go_and_curves_stay(domain: Domain) -> None:
    old = happen(domain, 3)
    domain.now += timedelta(days=5)
    young = happen(domain, 3)
    running = domain.running()
    kept_for = timedelta(days=4)
    tick(domain.db, backoff=BACKOFF, now=domain.now)
    assert count(domain, old) == {"state": 3, "progress": 3, "metric": 3, "log": 3}
    domain.do(leases.renew, running, now=domain.now, lease_s=100 * 86_400, happened=[])
    tick(domain.db, backoff=BACKOFF, now=domain.now, kept_for=kept_for)
    assert count(domain, old) == {"state": 3, "metric": 3}
    assert count(domain, young) == {"state": 3, "progress": 3, "metric": 3, "log": 3}
    tick(domain.db, backoff=BACKOFF, now=domain.now + timedelta(days=5), kept_for=kept_for)
    assert count(domain, young) == {"state": 3, "metric": 3}
    assert domain.job(running.job).state == "running"


def test_it_is_done_in_small_batches(domain: Domain) -> None:
    jobs = [happen(domain, 4), happen(domain, 1)]
    later = NOW + timedelta(days=2)
    seen = [sum((count(domain, job) for job in jobs), Counter())]
    while domain.do(retention.prune, now=later, kept_for=timedelta(days=1), batch=3):
        seen.append(sum((count(domain, job) for job in jobs), Counter()))
    left = [found["log"] + found["progress"] for found in seen]
    # The first is the ingest of the dataset, which left nothing to forget.
    assert left == [10, 10, 7, 4, 2, 0]
    assert seen[-1]["metric"] == 5
