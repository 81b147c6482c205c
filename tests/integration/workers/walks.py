"""Jobs of the learner ``walk``, which can be cut at any step: to start, to disturb, to look at."""

from __future__ import annotations

import re
from contextlib import suppress

import psutil

from headrace.artifacts.store import Stored
from headrace.jobs import checkpoints as job_checkpoints
from headrace.jobs.tables import Job
from headrace.registry import service as registry
from integration.workers.conftest import Deployment

STEPS = 80


def walk(ready: Deployment, step_s: float = 0.04, dataset: str = "table") -> Job:
    return ready.submit(
        "train",
        {
            "model": ready.model,
            "dataset": f"{dataset}@1",
            "algorithm": "walk",
            "target": "label",
            "params": {"steps": STEPS, "step_s": step_s},
        },
        max_attempts=100,
    )


def digest(ready: Deployment, job: Job) -> str:
    result = ready.succeeded(job).result
    assert result is not None
    with ready.db.read() as session:
        return registry.version(session, "default", ready.model, result["version"]).weights_digest


def checkpoints(ready: Deployment, job: Job) -> list[Stored]:
    with ready.db.read() as session:
        return job_checkpoints.of(session, job.id)


def has_checkpoints(ready: Deployment, job: Job, count: int = 2) -> None:
    ready.until(lambda: len(checkpoints(ready, job)) == count, f"{job.id} has not {count} checkpoints")


def gets_on(ready: Deployment, job: Job, attempt: int) -> None:
    """Wait until the ``attempt`` of that number has made a checkpoint."""
    ready.until(lambda: ready.job(job).attempt == attempt, f"{job.id} has no attempt {attempt}")
    before = checkpoints(ready, job)
    ready.until(lambda: checkpoints(ready, job) != before, f"{job.id} makes no checkpoint")


def kill(ready: Deployment) -> None:
    for process in ready.job_processes():
        with suppress(psutil.NoSuchProcess):
            process.kill()


def resumed(ready: Deployment, job: Job) -> list[int]:
    """Return the steps at which attempts of ``job`` resumed."""
    return [int(step) for step in re.findall(r"resuming at step (\d+)", ready.log(job))]


def damage(ready: Deployment, stored: Stored, cut: bool) -> None:
    path = ready.store.path(stored.digest)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.chmod(0o600)
    path.write_bytes(content[:-20] if cut else content)
