"""A stale attempt writes nothing: every function that takes a lease refuses it, and no row changes."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Callable
from dataclasses import replace

import pytest
from sqlalchemy.orm import Session

import headrace.jobs
from domain import BACKOFF, LEASE_S, NOW, Domain
from headrace.artifacts.store import Stored
from headrace.datasets import service as datasets
from headrace.errors import LeaseLost
from headrace.jobs import checkpoints, leases, transitions
from headrace.jobs.events import Event
from headrace.jobs.leases import Lease

CHECKPOINT = Stored(f"sha256:{0:064x}", 1)
HAPPENED = [
    Event("progress", {"fraction": 0.9, "message": "zombie"}),
    Event("metric", {"name": "loss", "step": 1, "value": 0.5}),
    Event("log", {"text": "zombie"}),
]
WRITES: dict[str, Callable[[Domain, Lease], object]] = {
    "hold": lambda d, lease: d.do(leases.hold, lease),
    "renew": lambda d, lease: d.do(leases.renew, lease, now=d.now, lease_s=LEASE_S, happened=HAPPENED),
    "succeed": lambda d, lease: d.do(transitions.succeed, lease, result={}, now=d.now),
    "fail": lambda d, lease: d.do(
        transitions.fail, lease, type="T", message="m", retryable=True, now=d.now, backoff=BACKOFF
    ),
    "hand_back": lambda d, lease: d.do(transitions.hand_back, lease, now=d.now),
    "cancel": lambda d, lease: d.do(transitions.cancel, lease, now=d.now),
    "keep": lambda d, lease: d.do(checkpoints.keep, lease, CHECKPOINT, d.now),
}


def _lost_and_queued(d: Domain, lease: Lease) -> Lease:
    d.tick(LEASE_S + 1)
    return lease


def _lost_and_taken(d: Domain, lease: Lease) -> Lease:
    d.tick(LEASE_S + 1)
    d.now += BACKOFF.delay(10)
    assert d.claim("rival") is not None
    return lease


def _lost_and_done_by_another(d: Domain, lease: Lease) -> Lease:
    d.tick(LEASE_S + 1)
    d.now += BACKOFF.delay(10)
    rival = d.claim("rival")
    assert rival is not None
    d.commit(rival)
    return lease


def _handed_back_and_taken(d: Domain, lease: Lease) -> Lease:
    d.do(transitions.hand_back, lease, now=d.now)
    assert d.claim("rival") is not None
    return lease


def _succeeded(d: Domain, lease: Lease) -> Lease:
    d.commit(lease)
    return lease


def _failed(d: Domain, lease: Lease) -> Lease:
    d.fail(lease, retryable=False)
    return lease


def _cancelled(d: Domain, lease: Lease) -> Lease:
    d.cancel(lease.job)
    d.do(transitions.cancel, lease, now=d.now)
    return lease


STALE: dict[str, Callable[[Domain, Lease], Lease]] = {
    "lost, queued again": _lost_and_queued,
    "lost, taken by another": _lost_and_taken,
    "lost, done by another": _lost_and_done_by_another,
    "handed back, taken by another": _handed_back_and_taken,
    "succeeded": _succeeded,
    "failed": _failed,
    "cancelled": _cancelled,
    "another token": lambda d, lease: replace(lease, token="0" * 32),
    "an older attempt": lambda d, lease: replace(lease, attempt=lease.attempt - 1),
    "a newer attempt": lambda d, lease: replace(lease, attempt=lease.attempt + 1),
    "no such job": lambda d, lease: replace(lease, job="job_0"),
}


@pytest.mark.parametrize("stale", STALE)
def test_no_write_of_a_stale_attempt_counts(domain: Domain, stale: str) -> None:
    lease = STALE[stale](domain, domain.running())
    before = domain.dump()
    for write in WRITES.values():
        with pytest.raises(LeaseLost):
            write(domain, lease)
    with pytest.raises(LeaseLost):
        domain.commit(lease)
    assert domain.dump() == before


@pytest.mark.parametrize("write", WRITES)
def test_the_lease_in_force_may_write(domain: Domain, write: str) -> None:
    """Else the test above would prove nothing."""
    lease = domain.running()
    before = domain.dump()
    WRITES[write](domain, lease)
    assert (domain.dump() == before) == (write == "hold")


def test_effects_made_before_the_fence_is_asked_roll_back(domain: Domain) -> None:
    lease = domain.running()
    domain.tick(LEASE_S + 1)
    before = domain.dump()

    def effect_then_fence(session: Session) -> None:
        datasets.delete_version(session, "default", "iris", 1, now=NOW)
        transitions.succeed(session, lease, result={}, now=domain.now)

    with pytest.raises(LeaseLost):
        domain.do(effect_then_fence)
    assert domain.dump() == before


def test_every_function_that_takes_a_lease_is_tried_here() -> None:
    fenced = set()
    for info in pkgutil.walk_packages(headrace.jobs.__path__, "headrace.jobs."):
        module = importlib.import_module(info.name)
        for name, function in inspect.getmembers(module, inspect.isfunction):
            if "Lease" in str(inspect.signature(function).parameters.get("lease")):
                fenced.add(name)
    assert fenced == set(WRITES)


def test_a_lease_past_its_time_is_in_force_until_it_is_taken_away(domain: Domain) -> None:
    lease = domain.running()
    domain.now += 10 * BACKOFF.delay(10)
    domain.commit(lease)
    assert domain.job(lease.job).state == "succeeded"


def test_progress_never_falls_within_an_attempt_and_starts_anew_in_the_next(domain: Domain) -> None:
    lease = domain.running()
    for fraction, shown in [(0.5, 0.5), (0.2, 0.5), (0.7, 0.7)]:
        event = Event("progress", {"fraction": fraction, "message": str(fraction)})
        domain.do(leases.renew, lease, now=domain.now, lease_s=LEASE_S, happened=[event])
        assert domain.job(lease.job).fraction == shown
    domain.do(transitions.hand_back, lease, now=domain.now)
    domain.claim()
    job = domain.job(lease.job)
    assert (job.fraction, job.message) == (0.0, "")
