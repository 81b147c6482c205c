"""RabbitMQ as the broker: what Redis does it does too, and no request waits for it, whatever befalls it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from kombu import Connection
from kombu.simple import SimpleQueue

from headrace import db, doctor
from headrace.config import Settings
from headrace.dispatch import Dispatcher, celery_queue
from headrace.jobs.tables import Job
from integration.workers.conftest import Deployment
from services import RabbitMQ, new_database, rabbitmq

POLL_S = 40.0
"""So seldom do idle slots look for themselves here: a job that begins sooner was begun by its ticket."""
WOKEN_S = 15.0


@pytest.fixture(scope="module")
def server() -> Iterator[RabbitMQ]:
    with rabbitmq() as server:
        yield server


@pytest.fixture(scope="module")
def deployment(
    server: RabbitMQ, postgresql_server: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Deployment]:
    """A worker that is woken by tickets only, with the dataset table@1."""
    with new_database(postgresql_server) as url:
        db.upgrade(url)
        settings = Settings.load(
            {},
            data=tmp_path_factory.mktemp("data"),
            database_url=url,
            broker_url=server.url,
            slots=1,
            poll_s=POLL_S,
            tick_s=0.2,
        )
        deployment = Deployment(settings)
        deployment.start_worker()
        deployment.succeeded(deployment.upload())
        yield deployment
        deployment.close()


def waited(deployment: Deployment, job: Job) -> float:
    """Return how long ``job`` had to wait for a slot, in seconds; it must have succeeded."""
    done = deployment.succeeded(job)
    assert done.started_at is not None
    return (done.started_at - done.created_at).total_seconds()


def test_a_ticket_wakes_a_worker(deployment: Deployment) -> None:
    waits = [waited(deployment, deployment.train()) for _ in range(5)]
    assert max(waits) < WOKEN_S


def test_a_ticket_names_queue_and_job_and_is_not_kept_on_disk(server: RabbitMQ) -> None:
    dispatcher = Dispatcher(server.url)
    dispatcher.send("nobody", "job_1")
    with Connection(server.url) as connection, SimpleQueue(connection, celery_queue("nobody")) as queue:
        message = queue.get(timeout=30)
        assert message.decode()[0] == ["nobody", "job_1"]
        assert message.properties["delivery_mode"] == 1
        message.ack()
    dispatcher.close()


def test_garbage_in_the_queue_is_a_line_in_the_log(server: RabbitMQ, deployment: Deployment) -> None:
    with Connection(server.url) as connection, connection.SimpleQueue(celery_queue("default")) as queue:
        for body, kind in (
            (b"\x80\x04garbage", "application/x-python-serialize"),
            (b"{", "application/json"),
        ):
            queue.producer.publish(
                body, routing_key=queue.queue.name, content_type=kind, content_encoding="binary"
            )
        queue.put({"not": "a task"})
        queue.put([[], {}, {}], headers={"task": "os.system", "id": "1"})
    assert waited(deployment, deployment.train()) < WOKEN_S


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_after_a_restart_tickets_are_sent_and_heard_again(server: RabbitMQ, deployment: Deployment) -> None:
    server.stop()
    began = time.monotonic()
    submitted = [deployment.train() for _ in range(5)]
    took = time.monotonic() - began
    assert took < 5, "submissions waited for a broker that is gone"
    server.start()
    # The worker connects again by itself, after pauses of up to some seconds.
    deployment.until(lambda: server.consumers(celery_queue("default")) > 0, "the worker does not listen")
    assert waited(deployment, deployment.train()) < WOKEN_S
    for job in submitted:
        deployment.succeeded(job)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_nobody_waits_for_a_frozen_broker(server: RabbitMQ, deployment: Deployment) -> None:
    deployment.succeeded(deployment.train())
    with server.frozen():
        began = time.monotonic()
        submitted = [deployment.train() for _ in range(20)]
        took = time.monotonic() - began
        found = {finding.check: finding for finding in doctor.examine(deployment.settings)}
        examined = time.monotonic() - began - took
    # Each would take two seconds or more if it waited.
    assert took < 20, "submissions waited for a frozen broker"
    assert (found["broker"].severity, found["workers"].severity) == ("warning", "ok")
    assert examined < 20
    for job in submitted:
        deployment.succeeded(job)
    assert waited(deployment, deployment.train()) < WOKEN_S


def test_doctor_tells_whether_it_answers(server: RabbitMQ, tmp_path: Path) -> None:
    settings = Settings.load({}, data=tmp_path, broker_url=server.url)
    finding = next(found for found in doctor.examine(settings) if found.check == "broker")
    assert finding.severity == "ok"
    assert "guest:guest" not in finding.message
    nowhere = Settings.load({}, data=tmp_path, broker_url="amqp://guest:guest@127.0.0.1:1//")
    finding = next(found for found in doctor.examine(nowhere) if found.check == "broker")
    assert finding.severity == "warning"
    assert "guest:guest" not in finding.message
