"""Tickets wake a worker; one whose consumer has gone deaf hears again."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
from redis import Redis

from headrace.config import Settings
from headrace.dispatch import Dispatcher, celery_queue
from headrace_workers import hearing, supervisor
from headrace_workers.tickets import Consumer, make_app


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


QUEUE = "deaf"


class Ears(NamedTuple):
    consumer: Consumer
    heard: list[None]
    send: Callable[[], None]
    broker: Redis


@pytest.fixture(scope="module")
def ears(redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ears]:
    """One consumer for all tests: Celery knows a task by its name, in all apps of a process."""
    settings = Settings.load(
        {}, data=tmp_path_factory.mktemp("tickets"), broker_url=redis_url, queues=(QUEUE,)
    )
    heard: list[None] = []
    consumer = Consumer(make_app(settings, lambda: heard.append(None)), "deaf")
    consumer.start()
    dispatcher = Dispatcher(redis_url)
    with Redis.from_url(redis_url.replace("redis+socket://", "unix://")) as broker:
        yield Ears(consumer, heard, lambda: dispatcher.send(QUEUE, "job_1"), broker)
    dispatcher.close()


def test_a_deaf_consumer_connects_anew_and_hears_what_it_missed(ears: Ears) -> None:
    ears.send()
    until(lambda: len(ears.heard) == 1)
    controller: Any = ears.consumer._controller
    controller.consumer.hub.call_soon(controller.consumer.task_consumer.cancel)
    time.sleep(2)
    ears.send()
    time.sleep(1)
    assert len(ears.heard) == 1, "it is not deaf"
    ears.consumer.reconnect()
    until(lambda: len(ears.heard) == 2)


@pytest.mark.parametrize("garbage", [b"", b"{", b"\x80\x04N.", b"[]", b'{"body": 1}'])
def test_garbage_from_the_broker_does_not_deafen(ears: Ears, garbage: bytes) -> None:
    before = len(ears.heard)
    ears.broker.lpush(celery_queue(QUEUE), garbage)
    ears.send()
    until(lambda: len(ears.heard) > before)


def test_jobs_that_no_ticket_announced_are_a_sign_of_deafness(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = supervisor.Supervisor(Settings.load({}, data=tmp_path, poll_s=0.001))
    deaf: list[None] = []
    worker.on_deaf = lambda: deaf.append(None)
    found: list[Any] = []
    monkeypatch.setattr(worker, "_claim", lambda site, lane: found.pop() if found else None)
    monkeypatch.setattr(supervisor, "run_attempt", lambda site, lease: None)
    site: Any = SimpleNamespace()

    def look(jobs: int, *, ticket: bool) -> None:
        announced = worker._serve_one(site, "heavy", True)
        assert not announced
        if ticket:
            worker.wake()
        found.extend([object()] * jobs)
        while found:
            announced = worker._serve_one(site, "heavy", announced)

    for _ in range(hearing.MISSED - 1):
        look(jobs=3, ticket=False)
    assert deaf == []
    look(jobs=1, ticket=True)
    for _ in range(hearing.MISSED - 2):
        look(jobs=1, ticket=False)
    assert deaf == [], "a ticket that comes begins the count again"
    for _ in range(3 * hearing.MISSED):
        look(jobs=1, ticket=False)
    assert len(deaf) == 1, "not more often than once a minute"
