"""Jobs that are interrupted in every way end where an undisturbed run does, to the bit."""

from __future__ import annotations

import random
import re
import signal
import time
from contextlib import suppress
from typing import Any

import psutil
import pytest

from headrace.artifacts import service as artifacts
from headrace.artifacts.store import Stored, put_file
from headrace.db import clock
from headrace.errors import LeaseLost
from headrace.jobs import checkpoints, queries, service
from headrace.jobs.leases import Lease
from headrace.jobs.tables import Job
from headrace.registry import service as registry
from integration.workers.conftest import Deployment

STEPS = 80


def _walk(ready: Deployment, step_s: float = 0.02, **fields: Any) -> Job:
    return ready.submit(
        "train",
        {
            "model": ready.model,
            "dataset": "table@1",
            "algorithm": "walk",
            "target": "label",
            "params": {"steps": STEPS, "step_s": step_s},
        },
        max_attempts=100,
        **fields,
    )


def _digest(ready: Deployment, job: Job) -> str:
    result = ready.succeeded(job).result
    assert result is not None
    with ready.db.read() as session:
        return registry.version(session, "default", ready.model, result["version"]).weights_digest


def _checkpoints(ready: Deployment, job: Job) -> list[Stored]:
    with ready.db.read() as session:
        return checkpoints.of(session, job.id)


def _has_checkpoints(ready: Deployment, job: Job, count: int = 2) -> None:
    ready.until(lambda: len(_checkpoints(ready, job)) == count, f"{job.id} has not {count} checkpoints")


def _kill(ready: Deployment) -> None:
    for process in ready.job_processes():
        with suppress(psutil.NoSuchProcess):
            process.kill()


def _resumed(ready: Deployment, job: Job) -> list[int]:
    """Return the steps at which attempts of ``job`` resumed."""
    return [int(step) for step in re.findall(r"resuming at step (\d+)", ready.log(job))]


def _damage(ready: Deployment, stored: Stored, cut: bool) -> None:
    path = ready.store.path(stored.digest)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.chmod(0o600)
    path.write_bytes(content[:-20] if cut else content)


def test_killed_again_and_again_it_ends_in_the_same_bits(ready: Deployment) -> None:
    calm = _digest(ready, _walk(ready, step_s=0))
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    moments = random.Random(seed)
    job = _walk(ready)
    for attempt in range(1, 6):
        ready.until(lambda attempt=attempt: ready.job(job).attempt == attempt, "no next attempt")
        time.sleep(moments.uniform(0, 0.6))
        _kill(ready)
    assert _digest(ready, job) == calm
    steps = _resumed(ready, job)
    assert steps == sorted(steps)
    assert steps[-1] > 5
    with ready.db.read() as session:
        series = queries.metrics(session, ready.job(job))
    assert [step for step, _ in series["loss"]] == list(range(1, STEPS + 1))
    assert _checkpoints(ready, job) == []


def test_any_schedule_of_kills_and_shutdowns_over_several_workers(ready: Deployment) -> None:
    calm = _digest(ready, _walk(ready, step_s=0))
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    schedule = random.Random(seed)
    acts = ["kill the job", "kill the fork server", "kill the worker", "shut the worker down"]
    job, workers = _walk(ready), set()
    for act in schedule.sample(acts, len(acts)):
        ready.running(job)
        time.sleep(schedule.uniform(0, 0.4))
        workers.add(ready.job(job).worker)
        if act == "kill the job":
            _kill(ready)
        elif act == "kill the fork server":
            for server in ready.fork_servers():
                server.kill()
        else:
            worker = ready.worker
            worker.send_signal(signal.SIGKILL if act == "kill the worker" else signal.SIGTERM)
            worker.wait(10)
            ready.start_worker()
    assert _digest(ready, job) == calm
    assert len(_resumed(ready, job)) >= 2


@pytest.mark.parametrize("cut", [False, True])
def test_of_damaged_checkpoints_the_one_before_is_used(ready: Deployment, cut: bool) -> None:
    calm = _digest(ready, _walk(ready, step_s=0))
    job = _walk(ready)
    _has_checkpoints(ready, job)
    ready.worker.send_signal(signal.SIGTERM)
    ready.worker.wait(10)
    newest, _ = _checkpoints(ready, job)
    _damage(ready, newest, cut)
    ready.start_worker()
    assert _digest(ready, job) == calm
    assert f"a checkpoint is not used: {newest.digest}" in ready.log(job)
    assert len(_resumed(ready, job)) == 1

    job = _walk(ready)
    _has_checkpoints(ready, job)
    ready.worker.send_signal(signal.SIGTERM)
    ready.worker.wait(10)
    for checkpoint in _checkpoints(ready, job):
        _damage(ready, checkpoint, cut)
    ready.start_worker()
    assert _digest(ready, job) == calm
    assert _resumed(ready, job) == []


def test_a_cancelled_job_goes_on_where_it_was_if_one_asks(ready: Deployment) -> None:
    calm = _digest(ready, _walk(ready, step_s=0))
    job = _walk(ready)
    _has_checkpoints(ready, job)
    ready.cancel(job)
    assert ready.ended(job).state == "cancelled"

    def retry(resume: bool) -> Job:
        with ready.db.transaction() as session:
            return service.retry(
                session,
                project="default",
                job_id=job.id,
                created_by=None,
                now=clock(session),
                resume=resume,
            )

    anew, on = retry(resume=False), retry(resume=True)
    assert _digest(ready, anew) == _digest(ready, on) == calm
    assert _resumed(ready, anew) == []
    assert len(_resumed(ready, on)) == 1
    assert _checkpoints(ready, on) == []
    assert len(_checkpoints(ready, job)) == 2


def test_a_stale_attempt_leaves_no_checkpoint(ready: Deployment) -> None:
    job = _walk(ready)
    _has_checkpoints(ready, job)
    with ready.db.read() as session:
        row = session.get_one(Job, job.id)
        assert row.lease_token is not None
        stale = Lease(job=row.id, attempt=row.attempt, token=row.lease_token)
    _kill(ready)
    ready.until(lambda: ready.job(job).attempt == 2, "no second attempt")
    file = ready.settings.data / "stale"
    file.write_bytes(b"what the first attempt got to")
    stored = put_file(ready.store, file)
    with pytest.raises(LeaseLost), ready.db.transaction() as session:
        checkpoints.keep(session, stale, stored, clock(session))
    assert stored not in _checkpoints(ready, job)
    ready.succeeded(job)
    with ready.db.read() as session:
        assert artifacts.attached(session, job.id) == {}


def test_a_worker_back_from_the_dead_does_not_move_the_checkpoint(ready: Deployment) -> None:
    calm = _digest(ready, _walk(ready, step_s=0))
    job = _walk(ready, step_s=0.03)
    _has_checkpoints(ready, job)
    zombie = psutil.Process(ready.worker.pid)
    zombie.suspend()
    ready.start_worker()
    ready.until(lambda: ready.job(job).attempt == 2, "no second attempt")
    zombie.resume()
    assert _digest(ready, job) == calm
    assert _checkpoints(ready, job) == []
    assert ready.versions() == 2
