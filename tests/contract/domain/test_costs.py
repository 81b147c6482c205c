"""What jobs cost: attempt by attempt, whatever they come to, and the sums of it."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pytest
from sqlalchemy import event

from domain import LEASE_S, NOW, Domain
from headrace.errors import LeaseLost
from headrace.jobs import costs, leases, transitions
from headrace.jobs.costs import Cost, Usage
from headrace.jobs.leases import Lease
from headrace.jobs.tables import CostDay, Job
from headrace.schedules import service as schedules
from headrace.schedules.requests import ScheduleRequest


def _used(cpu_s: float, *, peak: int = 100, source: costs.EnergySource = "estimate") -> Usage:
    return Usage(cpu_s=cpu_s, peak_bytes=peak, energy_j=10 * cpu_s, energy_source=source)


def _renew(domain: Domain, lease: Lease, used: Usage | None, after_s: float = 1.0) -> None:
    domain.now += timedelta(seconds=after_s)
    domain.do(leases.renew, lease, now=domain.now, lease_s=LEASE_S, used=used)


def _cost(domain: Domain, job: str) -> Cost | None:
    found: dict[str, Cost] = domain.do(costs.of, [job])
    return found.get(job)


def _totals(domain: Domain, by: str, project: str | None = "default", **options: Any) -> dict[str, Cost]:
    page = domain.do(costs.totals, project, by, **({"limit": 50} | options))
    return {total.name: total.cost for total in page.items}


def _expected(attempts: int, wall_s: float, cpu_s: float, peak: int = 100) -> Cost:
    return Cost(
        attempts=attempts,
        wall_s=wall_s,
        cpu_s=cpu_s,
        peak_bytes=peak,
        energy_j=10 * cpu_s,
        energy_source="estimate",
    )


def test_attempts_add_up_whatever_they_come_to(domain: Domain) -> None:
    assert _cost(domain, domain.submit()) is None
    lease = domain.claim()
    assert lease is not None
    _renew(domain, lease, _used(0.5))
    assert _cost(domain, lease.job) == _expected(1, 1, 0.5)
    _renew(domain, lease, _used(1.5, peak=300))
    domain.fail(lease)
    assert _cost(domain, lease.job) == _expected(1, 2, 1.5, 300)

    domain.tick(after_s=60)
    again = domain.claim()
    assert again is not None
    assert again.job == lease.job
    _renew(domain, again, _used(2.0))
    domain.commit(again)
    assert _cost(domain, lease.job) == _expected(2, 3, 3.5, 300)


def test_a_cancelled_and_a_handed_back_attempt_cost_what_they_used(domain: Domain) -> None:
    cancelled = domain.running()
    _renew(domain, cancelled, _used(1.0))
    domain.cancel(cancelled.job)
    domain.do(transitions.cancel, cancelled, now=domain.now)
    handed_back = domain.running()
    _renew(domain, handed_back, _used(2.0))
    domain.do(transitions.hand_back, handed_back, now=domain.now)
    assert _cost(domain, cancelled.job) == _expected(1, 1, 1.0)
    assert _cost(domain, handed_back.job) == _expected(1, 1, 2.0)
    assert _totals(domain, "model") == {"iris": _expected(2, 2, 3.0)}


def test_a_lost_attempt_costs_what_was_known_at_its_last_heartbeat(domain: Domain) -> None:
    lease = domain.running()
    _renew(domain, lease, _used(2.0), after_s=3)
    domain.tick(after_s=1000)
    assert _cost(domain, lease.job) == _expected(1, 3, 2.0)
    assert _totals(domain, "model") == {"iris": _expected(1, 3, 2.0)}
    with pytest.raises(LeaseLost):
        _renew(domain, lease, _used(99.0))
    assert _cost(domain, lease.job) == _expected(1, 3, 2.0)


def test_an_attempt_that_an_older_version_began_has_no_account(domain: Domain) -> None:
    lease = domain.running()
    with domain.db.transaction() as session:
        session.delete(session.get_one(costs.JobCost, (lease.job, 1)))
    _renew(domain, lease, _used(2.0))
    domain.commit(lease)
    assert _cost(domain, lease.job) is None
    assert _totals(domain, "model") == {}


def test_energy_is_measured_only_where_all_of_it_was(domain: Domain) -> None:
    lease = domain.running()
    _renew(domain, lease, _used(1.0, source="rapl"))
    domain.commit(lease)
    assert _totals(domain, "model")["iris"].energy_source == "rapl"
    lease = domain.running()
    _renew(domain, lease, _used(1.0))
    domain.commit(lease)
    assert _totals(domain, "model")["iris"].energy_source == "estimate"


def test_totals_by_day_and_page_by_page(domain: Domain) -> None:
    for number in range(3):
        for name in ("a", "b", "c"):
            lease = domain.running(spec={**_train(name)})
            _renew(domain, lease, _used(1.0))
            domain.commit(lease)
        domain.now = NOW + timedelta(days=number + 1)
    day = NOW.date()
    one = _totals(domain, "model", first=day, last=day)
    assert {name: cost.attempts for name, cost in one.items()} == {"a": 1, "b": 1, "c": 1}
    later = _totals(domain, "model", first=day + timedelta(days=1))
    assert {name: cost.cpu_s for name, cost in later.items()} == {"a": 2.0, "b": 2.0, "c": 2.0}
    assert _totals(domain, "model", last=date(2000, 1, 1)) == {}
    page = domain.do(costs.totals, "default", "model", limit=2)
    assert [total.name for total in page.items] == ["a", "b"]
    rest = domain.do(costs.totals, "default", "model", limit=2, cursor=page.next_cursor)
    assert [total.name for total in rest.items] == ["c"]
    assert rest.next_cursor is None
    assert _totals(domain, "project")["default"].attempts == 10  # the ingest, too
    assert domain.do(costs.overall).attempts == 10


def test_projects_do_not_see_each_other(domain: Domain) -> None:
    domain.project("other")
    domain.upload("iris", project="other")
    lease = domain.claim(lane="light")
    assert lease is not None
    domain.ingest(lease)
    assert set(_totals(domain, "project")) == {"default"}
    assert set(_totals(domain, "project", None)) == {"default", "other"}
    assert set(_totals(domain, "project", None, limit=1, cursor="default")) == {"other"}


def test_a_schedule_pays_for_its_jobs(domain: Domain) -> None:
    request = ScheduleRequest.model_validate(
        {"every_s": 60, "job": {"kind": "train", "spec": _train("iris")}}
    )
    with domain.db.transaction() as session:
        schedule = schedules.create(
            session, project="default", request=request, created_by=None, now=domain.now
        ).id
    domain.tick(after_s=61)
    lease = domain.claim()
    assert lease is not None
    _renew(domain, lease, _used(1.0))
    domain.commit(lease)
    assert _totals(domain, "schedule") == {schedule: _expected(1, 1, 1.0)}


def test_the_cost_of_parts_is_that_of_their_parent_too(domain: Domain) -> None:
    parent, between = (domain.submit(queue="elsewhere", spec=_train("whole")) for _ in range(2))
    lease = domain.running(spec=_train("trial"))
    with domain.db.transaction() as session:
        session.get_one(Job, lease.job).parent = between
        session.get_one(Job, between).parent = parent
    _renew(domain, lease, _used(1.0))
    domain.commit(lease)
    found = domain.do(costs.of, [parent, lease.job])
    assert found == {parent: _expected(1, 1, 1.0), lease.job: _expected(1, 1, 1.0)}
    assert _totals(domain, "model") == {"whole": _expected(1, 1, 1.0)}


def test_totals_read_the_sums_and_no_job(domain: Domain) -> None:
    said: list[str] = []
    event.listen(domain.db.engine, "before_cursor_execute", lambda *args: said.append(args[2]))
    _totals(domain, "model")
    assert any(CostDay.__tablename__ in statement for statement in said)
    assert not any("jobs" in statement or "job_costs" in statement for statement in said)


def _train(model: str) -> dict[str, Any]:
    return {"model": model, "dataset": "iris@1", "algorithm": "mlp", "target": "label"}
