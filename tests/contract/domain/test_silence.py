"""A worker that is frozen in the middle of a transaction does not hold up the others."""

from __future__ import annotations

import time
from typing import Any

import pytest
from sqlalchemy import text

from domain import LEASE_S, Domain
from headrace import db
from headrace.jobs import claims

pytestmark = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)


def test_a_claimer_that_falls_silent_loses_its_transaction_and_the_next_goes_on(
    own_domain: Domain, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = own_domain.submit()
    leases = []
    monkeypatch.setattr(db, "LONGEST_SILENCE_S", 1.0)

    def claim_and_freeze() -> None:
        options: dict[str, Any] = {"queues": ["default"], "lane": "heavy", "lease_s": LEASE_S}
        with own_domain.db.transaction() as session:
            assert claims.claim(session, worker="frozen", now=own_domain.now, **options)
            leases.append(own_domain.claim("another"))

    with pytest.raises(db.AWAY):
        claim_and_freeze()
    assert [(lease.job, lease.attempt) for lease in leases if lease] == [(job, 1)]
    assert own_domain.job(job).worker == "another"


def test_a_reader_may_be_as_slow_as_it_likes(own_domain: Domain, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(db, "LONGEST_SILENCE_S", 0.1)
    with own_domain.db.read() as session:
        assert session.scalar(text("SELECT 1")) == 1
        time.sleep(0.4)
        assert session.scalar(text("SELECT 2")) == 2
