"""A broker that is frozen, or gone: jobs are accepted at once all the same, and run soon after."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from chaos.servers import Broker
from headrace import db
from headrace.config import Settings
from integration.workers.conftest import Deployment

SUBMITTED_S = 1.0


@pytest.fixture
def broker() -> Iterator[Broker]:
    started = Broker()
    started.start()
    yield started
    started.close()


@pytest.fixture
def deployment(tmp_path: Path, broker: Broker) -> Iterator[Deployment]:
    url = f"sqlite:///{tmp_path / 'headrace.db'}"
    db.upgrade(url)
    settings = Settings.load({}, data=tmp_path, database_url=url, broker_url=broker.url, slots=1, poll_s=0.5)
    deployment = Deployment(settings)
    deployment.start_worker()
    deployment.succeeded(deployment.upload())
    yield deployment
    deployment.close()


def test_jobs_run_while_the_broker_is_frozen_and_when_it_is_gone(
    deployment: Deployment, broker: Broker
) -> None:
    def run(times: int) -> None:
        took = []
        for _ in range(times):
            began = time.monotonic()
            job = deployment.train()
            took.append(time.monotonic() - began)
            assert deployment.succeeded(job).attempt == 1
        # Whoever waited for the broker would do so each time, and until it gives up.
        assert min(took) < SUBMITTED_S

    with broker.frozen():
        run(2)
    broker.kill()
    run(2)
    broker.start()
    run(1)
