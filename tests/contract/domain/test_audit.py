"""The audit log: who did what, in the transaction of the act, chained afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from functools import partial

import pytest
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from domain import NOW, Domain, at_once
from headrace import origin
from headrace.access import audit
from headrace.access import service as access
from headrace.access.tables import Audit
from headrace.errors import Conflict, HeadraceError
from headrace.jobs import service, transitions
from headrace.registry import service as registry


@pytest.fixture(autouse=True)
def somebody(domain: Domain) -> Iterator[None]:
    with origin.acting(origin.Origin(actor="key_1", project="default", request_id="r-1")):
        yield


def rows(domain: Domain) -> list[Audit]:
    with domain.db.read() as session:
        return list(session.scalars(select(Audit).order_by(Audit.id)))


def test_each_act_leaves_one_row(domain: Domain) -> None:
    lease = domain.running()
    domain.commit(lease)
    cancelled = domain.submit()
    domain.cancel(cancelled)
    domain.do(service.retry, project="default", job_id=cancelled, created_by="key_1", now=NOW)
    domain.do(registry.set_alias, "default", "iris", "champion", 1, by="key_1", now=NOW)
    domain.do(registry.delete_alias, "default", "iris", "champion", by="key_1", now=NOW)
    domain.do(registry.delete_version, "default", "iris", 1, now=NOW)
    domain.upload("more")
    domain.upload("more")
    key, secret = domain.do(access.create_key, project="default", role="viewer", name="x", now=NOW)
    domain.do(access.revoke_key, "default", key.id, NOW)
    domain.do(access.revoke_key, "default", key.id, NOW)
    found = rows(domain)
    assert [(row.action, row.object) for row in found[:3]] == [
        ("job.submit", lease.job),
        ("job.submit", cancelled),
        ("job.cancel", cancelled),
    ]
    assert [(row.action, row.object) for row in found[4:]] == [
        ("alias.move", "iris@champion"),
        ("alias.delete", "iris@champion"),
        ("model.delete", "iris@1"),
        ("dataset.upload", "more@1"),
        ("key.create", key.id),
        ("key.revoke", key.id),
    ]
    assert (found[3].action, found[3].details["retry_of"]) == ("job.retry", cancelled)
    assert {(row.actor, row.request_id, row.project) for row in found} == {("key_1", "r-1", "default")}
    assert not any(secret in str(vars(row)) for row in found)


def test_what_is_refused_or_done_by_headrace_itself_leaves_none(domain: Domain) -> None:
    job = domain.submit()
    domain.cancel(job)
    before = len(rows(domain))
    with pytest.raises(Conflict):
        domain.cancel(job)
    with pytest.raises(HeadraceError):
        domain.submit(spec={"model": "m"})
    with origin.acting(origin.Origin()):
        domain.submit()
    assert len(rows(domain)) == before


def test_a_row_stands_or_falls_with_its_act(domain: Domain) -> None:
    def act_and_fail(session: Session) -> None:
        access.create_key(session, project="default", role="viewer", name="", now=NOW)
        raise Conflict

    with pytest.raises(Conflict):
        domain.do(act_and_fail)
    assert rows(domain) == []


def fill(domain: Domain, count: int = 6) -> None:
    for _ in range(count):
        domain.do(access.create_key, project="default", role="viewer", name="", now=NOW)


def test_ticks_chain_what_is_there(domain: Domain) -> None:
    fill(domain)
    domain.tick()
    fill(domain, 2)
    domain.tick()
    assert sorted(row.seq or 0 for row in rows(domain)) == list(range(1, 9))
    verdict = domain.do(audit.verify, now=NOW)
    assert (verdict.head.seq, verdict.waiting, verdict.fault) == (8, 0, None)
    assert domain.do(audit.verify, now=NOW, known=verdict.head).fault is None


def test_schedulers_at_once_make_one_chain(domain: Domain) -> None:
    fill(domain, 20)
    at_once(*[partial(domain.do, audit.chain)] * 4)
    domain.tick()
    assert domain.do(audit.verify, now=NOW).head.seq == 20


@pytest.mark.parametrize("column", ["at", "project", "actor", "action", "object", "request_id", "details"])
def test_a_changed_row_breaks_the_chain(domain: Domain, column: str) -> None:
    domain.project("other")
    fill(domain)
    domain.tick()
    changed = {"at": NOW + timedelta(seconds=1), "project": "other", "details": {"role": "admin"}}
    with domain.db.transaction() as session:
        session.execute(update(Audit).where(Audit.seq == 3).values({column: changed.get(column, "x")}))
    assert "entry 3" in (domain.do(audit.verify, now=NOW).fault or "")


def test_a_missing_row_breaks_the_chain(domain: Domain) -> None:
    fill(domain)
    domain.tick()
    head = domain.do(audit.verify, now=NOW).head
    with domain.db.transaction() as session:
        session.delete(session.scalars(select(Audit).where(Audit.seq == 6)).one())
    assert domain.do(audit.verify, now=NOW).fault is None, "a cut at the end shows in the head alone"
    assert "missing at the end" in (domain.do(audit.verify, now=NOW, known=head).fault or "")
    with domain.db.transaction() as session:
        session.delete(session.scalars(select(Audit).where(Audit.seq == 2)).one())
    assert "entry 2 is missing" in (domain.do(audit.verify, now=NOW).fault or "")


def test_a_chain_made_anew_is_not_the_one_that_was_noted(domain: Domain) -> None:
    fill(domain)
    domain.tick()
    head = domain.do(audit.verify, now=NOW).head
    with domain.db.transaction() as session:
        session.execute(update(Audit).values(seq=None, digest=None))
        session.execute(update(Audit).values(actor="key_2"))
    domain.tick()
    assert domain.do(audit.verify, now=NOW).fault is None
    assert "noted" in (domain.do(audit.verify, now=NOW, known=head).fault or "")


def test_rows_that_nobody_chains_are_told_of(domain: Domain) -> None:
    fill(domain, 1)
    assert domain.do(audit.verify, now=NOW + timedelta(minutes=1)).waiting == 1
    assert "scheduler" in (domain.do(audit.verify, now=NOW + timedelta(minutes=6)).fault or "")


def test_a_job_carries_the_request_that_submitted_it(domain: Domain) -> None:
    trace = "00-" + "a" * 32 + "-" + "b" * 16 + "-01"
    with origin.acting(origin.Origin(actor="key_1", request_id="r-2", traceparent=trace)):
        job = domain.submit()
    assert (domain.job(job).request_id, domain.job(job).traceparent) == ("r-2", trace)
    domain.do(transitions.request_cancel, "default", job, NOW)
    assert domain.job(job).request_id == "r-2"
