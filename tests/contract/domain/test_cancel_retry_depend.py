"""Cancelling in every state and against a success, retrying, and jobs that wait for others."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
from sqlalchemy import func, select

from domain import BACKOFF, LEASE_S, TRAIN, Domain, overlap
from headrace.db import Database
from headrace.errors import Conflict, Invalid, LeaseLost, NotFound
from headrace.jobs import kinds, leases, service, transitions
from headrace.jobs.tables import Job
from headrace.registry.tables import ModelVersion
from headrace.scheduler import tick


def _states(domain: Domain, job: str) -> list[str]:
    return [event.data["state"] for event in domain.events(job) if event.type == "state"]


def test_a_queued_job_is_cancelled_at_once(domain: Domain) -> None:
    job = domain.submit()
    domain.cancel(job)
    row = domain.job(job)
    assert (row.state, row.finished_at) == ("cancelled", domain.now)
    assert row.error is not None
    assert row.error["type"] == "Cancelled"
    assert domain.claim() is None
    assert _states(domain, job) == ["queued", "cancelled"]


def test_a_waiting_job_is_cancelled_at_once(domain: Domain) -> None:
    job = domain.submit(depends_on=[domain.submit()])
    domain.cancel(job)
    assert domain.job(job).state == "cancelled"


def test_a_running_job_is_told_when_it_renews(domain: Domain) -> None:
    lease = domain.running()
    renew = partial(domain.do, leases.renew, lease, now=domain.now, lease_s=LEASE_S)
    assert renew() is False
    domain.cancel(lease.job)
    domain.cancel(lease.job)
    assert domain.job(lease.job).state == "running"
    assert renew() is True
    domain.do(transitions.cancel, lease, now=domain.now)
    assert domain.job(lease.job).state == "cancelled"


@pytest.mark.parametrize("end", ["succeeded", "failed", "cancelled"])
def test_a_final_job_cannot_be_cancelled(domain: Domain, end: str) -> None:
    lease = domain.running()
    if end == "succeeded":
        domain.commit(lease)
    elif end == "failed":
        domain.fail(lease, retryable=False)
    else:
        domain.cancel(lease.job)
        domain.do(transitions.cancel, lease, now=domain.now)
    before = domain.dump()
    with pytest.raises(Conflict, match=end):
        domain.cancel(lease.job)
    assert domain.dump() == before


def test_another_projects_job_is_not_found(domain: Domain) -> None:
    job = domain.submit()
    domain.project("other")
    with pytest.raises(NotFound):
        domain.cancel(job, project="other")
    with pytest.raises(NotFound):
        domain.do(service.job, "other", job)
    with pytest.raises(NotFound):
        domain.do(service.retry, project="other", job_id=job, created_by=None, now=domain.now)


@pytest.mark.parametrize("how", ["fails", "is lost", "is handed back"])
def test_a_cancelled_job_never_runs_again_however_its_attempt_ends(domain: Domain, how: str) -> None:
    lease = domain.running(max_attempts=3)
    domain.cancel(lease.job)
    if how == "fails":
        domain.fail(lease)
    elif how == "is lost":
        domain.tick(LEASE_S + 1)
    else:
        domain.do(transitions.hand_back, lease, now=domain.now)
    assert domain.job(lease.job).state == "cancelled"


def test_a_cancel_that_comes_before_the_success_wins(domain: Domain) -> None:
    lease = domain.running()
    answer = overlap(
        domain,
        lambda session: transitions.request_cancel(session, "default", lease.job, domain.now),
        partial(domain.commit, lease),
    )
    assert isinstance(answer, Conflict)
    assert domain.job(lease.job).state == "running"
    assert domain.job(lease.job).cancel_requested
    with domain.db.read() as session:
        assert session.scalar(select(func.count()).select_from(ModelVersion)) == 0


def test_a_cancel_that_comes_after_the_success_is_refused(domain: Domain) -> None:
    lease = domain.running()
    answer = overlap(
        domain,
        lambda session: transitions.succeed(session, lease, result={}, now=domain.now),
        partial(domain.cancel, lease.job),
    )
    assert isinstance(answer, Conflict)
    assert domain.job(lease.job).state == "succeeded"


def test_a_renewal_that_comes_in_time_keeps_the_job(domain: Domain) -> None:
    """The scheduler has seen the lease as expired, but the worker renews it first."""
    lease = domain.running()
    domain.now += 2 * BACKOFF.delay(10)
    overlap(
        domain,
        lambda session: leases.renew(session, lease, now=domain.now, lease_s=LEASE_S),
        domain.tick,
    )
    assert domain.job(lease.job).state == "running"


def test_two_schedulers_count_a_lost_attempt_once(domain: Domain) -> None:
    lease = domain.running(max_attempts=5)
    domain.now += 2 * BACKOFF.delay(10)
    other = Database(domain.db.url.render_as_string(hide_password=False))
    row: Any = None

    def lose(session: Any) -> None:
        nonlocal row
        row = session.scalar(select(Job).where(Job.id == lease.job).with_for_update())
        transitions.lose(session, row, now=domain.now, backoff=BACKOFF)

    overlap(domain, lose, lambda: tick(other, backoff=BACKOFF, now=domain.now))
    other.close()
    assert domain.job(lease.job).failures == 1
    assert _states(domain, lease.job) == ["queued", "running", "queued"]


def test_a_job_that_kills_its_worker_fails_when_its_attempts_are_spent(domain: Domain) -> None:
    job = domain.submit(max_attempts=3)
    other = domain.submit(priority=0)
    for attempt in range(1, 4):
        lease = domain.claim()
        assert lease is not None
        assert (lease.job, lease.attempt) == (job, attempt)
        domain.tick(LEASE_S + 1)
        domain.now += BACKOFF.delay(10)
    row = domain.job(job)
    assert (row.state, row.failures) == ("failed", 3)
    assert row.error is not None
    assert row.error["type"] == "WorkerLost"
    assert row.error["message"].startswith("worker lost")
    lease = domain.claim()
    assert lease is not None
    assert lease.job == other


def test_a_clean_shutdown_counts_no_failure(domain: Domain) -> None:
    lease = domain.running(max_attempts=1)
    for attempt in range(2, 6):
        domain.do(transitions.hand_back, lease, now=domain.now)
        again = domain.claim()
        assert again is not None
        assert again.attempt == attempt
        lease = again
    assert domain.job(lease.job).failures == 0


def test_an_error_that_a_retry_cannot_mend_ends_the_job(domain: Domain) -> None:
    lease = domain.running(max_attempts=3)
    domain.fail(lease, retryable=False)
    row = domain.job(lease.job)
    assert (row.state, row.failures, row.worker) == ("failed", 1, "w")
    assert row.error == {"type": "BadData", "message": "no", "attempt": 1, "retryable": False}


def test_a_retry_is_a_new_job_with_the_same_spec(domain: Domain) -> None:
    lease = domain.running(tags={"team": "vision"}, priority=7, name="mine", max_attempts=2)
    with pytest.raises(Conflict, match="running"):
        domain.do(service.retry, project="default", job_id=lease.job, created_by=None, now=domain.now)
    domain.fail(lease, retryable=False)
    new = domain.do(service.retry, project="default", job_id=lease.job, created_by="key_1", now=domain.now)
    old = domain.job(lease.job)
    assert (new.state, new.retry_of, new.created_by, new.attempt) == ("queued", old.id, "key_1", 0)
    for same in ("kind", "spec", "tags", "priority", "name", "max_attempts", "timeout_s", "queue"):
        assert getattr(new, same) == getattr(old, same)
    assert old.state == "failed"


@pytest.mark.parametrize(
    ("ends", "then"), [("succeeded", "queued"), ("failed", "cancelled"), ("cancelled", "cancelled")]
)
def test_a_waiting_job_goes_on_when_its_dependencies_end(domain: Domain, ends: str, then: str) -> None:
    lease = domain.running()
    job = domain.submit(depends_on=[lease.job], spec=TRAIN | {"dataset": "iris"})
    assert domain.job(job).state == "waiting"
    assert domain.claim() is None
    domain.tick()
    assert domain.job(job).state == "waiting"
    if ends == "succeeded":
        domain.commit(lease)
    elif ends == "failed":
        domain.fail(lease, retryable=False)
    else:
        domain.cancel(lease.job)
        domain.do(transitions.cancel, lease, now=domain.now)
    domain.tick()
    row = domain.job(job)
    assert row.state == then
    if then == "queued":
        assert row.spec["dataset"] == "iris@1"
        assert (row.model, row.dataset) == ("iris", "iris")
    else:
        assert row.error is not None
        assert row.error["type"] == "DependencyFailed"
        assert lease.job in row.error["message"]


def test_a_spec_that_turns_out_wrong_when_the_dependencies_have_ended_fails_the_job(domain: Domain) -> None:
    lease = domain.running()
    job = domain.submit(kind="evaluate", spec={"model": "nothing", "dataset": "iris"}, depends_on=[lease.job])
    domain.commit(lease)
    domain.tick()
    row = domain.job(job)
    assert row.state == "failed"
    assert row.error is not None
    assert "nothing" in row.error["message"]


def test_a_chain_of_dependents_falls_in_one_tick(domain: Domain) -> None:
    lease = domain.running()
    chain = [lease.job]
    for _ in range(4):
        chain.append(domain.submit(depends_on=[chain[-1]]))
    domain.fail(lease, retryable=False)
    domain.tick()
    assert {domain.job(job).state for job in chain[1:]} == {"cancelled"}


def test_a_dependency_must_exist_in_the_project_and_not_have_failed(domain: Domain) -> None:
    lease = domain.running()
    domain.project("other")
    domain.fail(lease, retryable=False)
    for depends_on, index in [(["job_0"], 0), ([lease.job], 0), ([domain.submit(), "job_0"], 1)]:
        with pytest.raises(Invalid) as caught:
            domain.submit(depends_on=depends_on)
        assert [error.loc for error in caught.value.errors] == [("depends_on", index)]


def test_many_blocked_jobs_do_not_keep_a_later_one_from_going_on(
    domain: Domain, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("headrace.scheduler._BATCH", 5)
    never = domain.running()
    soon = domain.running()
    for _ in range(12):
        domain.submit(depends_on=[never.job])
    last = domain.submit(depends_on=[soon.job])
    domain.commit(soon)
    domain.tick()
    assert domain.job(last).state == "queued"


def test_one_job_that_breaks_the_tick_does_not_hold_up_the_others(
    domain: Domain, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    first = domain.running()
    broken = domain.submit(depends_on=[first.job], name="broken")
    fine = domain.submit(depends_on=[first.job], name="fine")
    resolve = kinds.kind("train").resolve

    domain.commit(first)
    seen = iter([True, False])
    monkeypatch.setattr(
        "headrace.jobs.kinds.train.resolve",
        lambda *args: (_ for _ in ()).throw(RuntimeError("a bug")) if next(seen) else resolve(*args),
    )
    domain.tick()
    assert (domain.job(broken).state, domain.job(fine).state) == ("waiting", "queued")
    assert broken in caplog.text


def test_expired_leases_are_taken_however_many(domain: Domain, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headrace.scheduler._BATCH", 2)
    running = [domain.running() for _ in range(5)]
    domain.tick(LEASE_S + 1)
    assert {domain.job(lease.job).state for lease in running} == {"queued"}


def test_the_lease_is_lost_for_whoever_renews_too_late(domain: Domain) -> None:
    lease = domain.running()
    domain.tick(LEASE_S + 1)
    with pytest.raises(LeaseLost):
        domain.do(leases.renew, lease, now=domain.now, lease_s=LEASE_S)
