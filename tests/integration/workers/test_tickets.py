"""Tickets wake a worker; one whose consumer has gone deaf hears again."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from headrace.config import Settings
from headrace.dispatch import Dispatcher
from headrace_workers import hearing, supervisor
from headrace_workers.tickets import Consumer, make_app


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_deaf_consumer_connects_anew_and_hears_what_it_missed(redis_url: str, tmp_path: Path) -> None:
    settings = Settings.load({}, data=tmp_path, broker_url=redis_url, queues=("deaf",))
    heard: list[None] = []
    consumer = Consumer(make_app(settings, lambda: heard.append(None)), "deaf")
    consumer.start()
    dispatcher = Dispatcher(redis_url)
    dispatcher.send("deaf", "job_1")
    until(lambda: len(heard) == 1)
    controller: Any = consumer._controller
    controller.consumer.hub.call_soon(controller.consumer.task_consumer.cancel)
    time.sleep(2)
    dispatcher.send("deaf", "job_2")
    time.sleep(1)
    assert len(heard) == 1, "it is not deaf"
    consumer.reconnect()
    until(lambda: len(heard) == 2)
    dispatcher.close()


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
