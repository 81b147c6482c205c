"""The heartbeat over a database that loses the answer to a COMMIT: what had happened is written once."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from domain import Domain
from headrace.config import Settings
from headrace.jobs.events import Event
from headrace_workers.heartbeat import Heartbeat


def test_what_a_commit_wrote_whose_answer_was_lost_is_not_written_twice(
    domain: Domain, monkeypatch: pytest.MonkeyPatch
) -> None:
    lease = domain.running()
    transaction = domain.db.transaction
    lost = [OperationalError("COMMIT", {}, Exception("connection lost"))]

    @contextmanager
    def losing() -> Iterator[Session]:
        with transaction() as session:
            yield session
        if lost:
            raise lost.pop()

    monkeypatch.setattr(domain.db, "transaction", losing)
    heartbeat = Heartbeat(domain.db, Settings.load({}), lease, threading.Event())
    heartbeat.since = domain.job(lease.job).event_seq
    for step in (1, 2):
        heartbeat.record(Event("metric", {"name": "loss", "step": step, "value": 0.5}))
        heartbeat.record(Event("progress", {"fraction": step / 4, "message": ""}))
        heartbeat.persist(lambda session: None)
    told = [event.data.get("step", event.data.get("fraction")) for event in domain.events(lease.job)[2:]]
    assert told == [1, 0.25, 2, 0.5]
    assert domain.job(lease.job).fraction == 0.5
