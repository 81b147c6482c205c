"""Whatever hangs, a cancel counts within five seconds, and the slot goes on to the next job. Whoever dies,
one that lives on clears up after it."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import select

from headrace.artifacts import service as artifacts
from headrace.datasets.tables import DatasetVersion
from headrace.jobs.tables import Job
from integration.workers.conftest import CSV, Deployment

# What hangs is the worker, not the database.
pytestmark = pytest.mark.parametrize("deployment", ["sqlite"], indirect=True)


def cancelled_in_time(ready: Deployment, job: Job) -> None:
    asked = time.monotonic()
    ready.cancel(job)
    assert ready.ended(job).state == "cancelled"
    assert time.monotonic() - asked < 5
    ready.until(lambda: not ready.job_processes(), "a job process lives")


def has_begun(ready: Deployment, job: Job) -> None:
    ready.until(lambda: f"job={job.id} attempt=1 action=attempt.begin" in ready.logs(), "it does not begin")


@contextmanager
def hung(path: Path) -> Iterator[None]:
    """Let whoever opens the file ``path`` hang; at the end let them go."""
    aside = path.with_suffix(".aside")
    path.rename(aside)
    os.mkfifo(path)
    try:
        yield
    finally:
        fifo = os.open(path, os.O_RDWR | os.O_NONBLOCK)
        aside.rename(path)
        os.close(fifo)


def data_of(ready: Deployment, upload: Job) -> Path:
    with ready.db.read() as session:
        version = session.scalars(select(DatasetVersion).where(DatasetVersion.job == upload.id)).one()
        return ready.store.path(artifacts.artifact(session, version.id, "data").digest)


def test_a_job_stuck_in_native_code(ready: Deployment) -> None:
    # Long enough for progress to be told, which is so every 0.2 s.
    job = ready.running(ready.train({"seconds": 0.5, "native": True, "child": True}))
    time.sleep(0.3)
    cancelled_in_time(ready, job)


def test_a_job_stuck_in_native_code_meets_its_time_limit(ready: Deployment) -> None:
    ended = ready.ended(ready.train({"seconds": 0.1, "native": True}, timeout_s=1))
    assert ended.error is not None
    assert (ended.state, ended.error["type"]) == ("failed", "TimedOut")


def test_a_store_that_hangs_while_inputs_are_fetched(ready: Deployment) -> None:
    upload = ready.succeeded(ready.upload(CSV.replace(b"x,", b"y,"), name="hangs"))
    spec = {"model": ready.model, "dataset": "hangs@1", "algorithm": "scripted", "target": "label"}
    with hung(data_of(ready, upload)):
        job = ready.submit("train", spec)
        has_begun(ready, job)
        time.sleep(2 * ready.settings.lease_s)
        assert (ready.job(job).state, ready.job(job).attempt) == ("running", 1), "its lease is kept meanwhile"
        cancelled_in_time(ready, job)
        ready.succeeded(ready.train())
        again = ready.submit("train", spec)
        has_begun(ready, again)
        worker = ready.worker
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(10) == 0
        assert (ready.job(again).state, ready.job(again).failures) == ("queued", 0)
    ready.start_worker()
    ready.succeeded(again)


def test_a_fork_server_that_is_frozen(ready: Deployment) -> None:
    servers = ready.fork_servers()
    for server in servers:
        server.suspend()
    try:
        job = ready.train()
        has_begun(ready, job)
        cancelled_in_time(ready, job)
    finally:
        for server in servers:
            server.resume()
    ready.succeeded(ready.train())


@pytest.mark.parametrize(("harm", "type_"), [("damage", "ArtifactCorrupt"), ("remove", "ArtifactMissing")])
def test_an_input_that_is_not_whole_is_tried_again(ready: Deployment, harm: str, type_: str) -> None:
    upload = ready.succeeded(ready.upload(CSV.replace(b"x,", harm.encode() + b","), name=harm))
    path = data_of(ready, upload)
    content = path.read_bytes()
    path.unlink()
    if harm == "damage":
        path.write_bytes(content[:-1] + b"?")
    spec = {"model": ready.model, "dataset": f"{harm}@1", "algorithm": "scripted", "target": "label"}
    job = ready.submit("train", spec, max_attempts=50)
    ready.until(lambda: ready.job(job).failures >= 2, "it does not fail")
    errors = [event.data["error"] for event in ready.events(job) if "error" in event.data]
    assert {(error["type"], error["retryable"]) for error in errors} == {(type_, True)}
    path.unlink(missing_ok=True)
    path.write_bytes(content)
    ready.succeeded(job)


def test_a_worker_that_lives_on_clears_up_after_one_that_died(ready: Deployment) -> None:
    root = ready.settings.data / "scratch"
    (mine,) = root.glob("space-*")
    rival = ready.start_worker()
    ready.until(lambda: len(list(root.glob("space-*/home-*"))) == 2, "the rival does not start")
    (rivals,) = set(root.glob("space-*")) - {mine}
    rival.kill()
    rival.wait()
    ready.until(lambda: not rivals.exists(), "its scratch space is left")
    assert mine.exists()
    ready.succeeded(ready.train())
