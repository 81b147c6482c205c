"""Tickets: sent after the commit, never waited for, and harmless to lose."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from sqlalchemy.orm import Session

from domain import Domain
from headrace.dispatch import TASK, Dispatcher, celery_queue, dispatching_database, ticket


@pytest.fixture
def dispatched(database_url: str, redis_url: str) -> Iterator[tuple[Domain, Dispatcher]]:
    plain, dispatcher = dispatching_database(database_url, redis_url)
    domain = Domain(plain)
    domain.begin()
    yield domain, dispatcher
    plain.close()


def _tickets(redis_url: str, queue: str) -> list[object]:
    with redis.Redis(unix_socket_path=redis_url.partition("://")[2]) as client:
        messages = [json.loads(message) for message in client.lrange(celery_queue(queue), 0, -1)]
        client.flushall()
    assert all(message["headers"]["task"] == TASK for message in messages)
    return [json.loads(base64.b64decode(message["body"]))[0] for message in reversed(messages)]


def _close(dispatcher: Dispatcher) -> None:
    thread = dispatcher._thread
    dispatcher.close()
    if thread is not None:
        # The first ticket imports Celery, which may take longer than a closing process waits.
        thread.join(60)


def test_a_commit_sends_a_ticket_and_a_rollback_none(
    dispatched: tuple[Domain, Dispatcher], redis_url: str
) -> None:
    domain, dispatcher = dispatched

    def roll_back(session: Session) -> None:
        ticket(session, "gpu", "job_rolled_back")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        domain.do(roll_back)
    job = domain.submit(queue="gpu")
    _close(dispatcher)
    assert _tickets(redis_url, "gpu") == [["gpu", job]]


def test_closing_ends_though_nobody_takes_the_tickets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("headrace.dispatch._MOST_PENDING", 2)
    monkeypatch.setattr("headrace.dispatch._BROKER_TIMEOUT_S", 0.1)
    stuck, go_on = threading.Event(), threading.Event()

    def hang(_self: Dispatcher) -> None:
        stuck.set()
        go_on.wait()

    monkeypatch.setattr(Dispatcher, "_run", hang)
    dispatcher = Dispatcher(f"redis+socket://{tmp_path}/nobody.sock")
    for number in range(5):
        dispatcher.send("default", f"job_{number}")
    assert stuck.wait(10)
    closing = threading.Thread(target=dispatcher.close)
    closing.start()
    closing.join(10)
    ended = not closing.is_alive()
    go_on.set()
    assert ended


def test_a_broker_that_is_away_is_said_and_not_waited_for(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    dispatcher = Dispatcher(f"redis+socket://{tmp_path}/nobody.sock")
    dispatcher.send("default", "job_1")
    _close(dispatcher)
    assert "ticket for job_1 not sent" in caplog.text
