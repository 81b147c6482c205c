"""Jobs that are killed, cancelled and retried end where an undisturbed run does, to the bit."""

from __future__ import annotations

import random
import time
from typing import Any

import pytest

from headrace.artifacts import service as artifacts
from headrace.artifacts.store import put_file
from headrace.datasets import service as datasets
from headrace.db import clock
from headrace.errors import LeaseLost
from headrace.jobs import checkpoints as job_checkpoints
from headrace.jobs import queries, service
from headrace.jobs.leases import Lease
from headrace.jobs.tables import Job
from headrace.registry import service as registry
from integration.workers.conftest import CSV, Deployment
from integration.workers.walks import (
    STEPS,
    checkpoints,
    damage,
    digest,
    gets_on,
    has_checkpoints,
    kill,
    resumed,
    walk,
)


def test_killed_again_and_again_it_ends_in_the_same_bits(ready: Deployment) -> None:
    calm = digest(ready, walk(ready, step_s=0))
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    moments = random.Random(seed)
    job = walk(ready)
    for attempt in range(1, 6):
        gets_on(ready, job, attempt)
        time.sleep(moments.uniform(0, 0.2))
        kill(ready)
    assert digest(ready, job) == calm
    steps = resumed(ready, job)
    assert len(set(steps)) == 5
    assert steps == sorted(steps)
    with ready.db.read() as session:
        series = queries.metrics(session, ready.job(job))
    assert [step for step, _ in series["loss"]] == list(range(1, STEPS + 1))
    assert checkpoints(ready, job) == []


def test_of_damaged_checkpoints_the_one_before_is_used(ready: Deployment) -> None:
    calm = digest(ready, walk(ready, step_s=0))
    job = walk(ready)
    has_checkpoints(ready, job)
    # The lease is frozen with its worker, so that nothing else happens to the job meanwhile.
    worker = ready.freeze_worker()
    newest, _ = checkpoints(ready, job)
    damage(ready, newest, cut=False)
    kill(ready)
    worker.resume()
    ready.until(lambda: ready.job(job).attempt >= 2, "no second attempt")
    assert digest(ready, job) == calm
    assert f"a checkpoint is not used: {newest.digest}" in ready.log(job)
    assert len(resumed(ready, job)) >= 1


def test_a_version_is_made_again_or_said_how_it_differs(ready: Deployment) -> None:
    mine, changed = f"mine-{ready.model}", f"changed-{ready.model}"
    ready.succeeded(ready.upload(CSV, name=mine))
    ready.succeeded(ready.upload(CSV.replace(b"\n7.5,b", b"\n7.75,b"), name=changed))
    trained = digest(ready, walk(ready, step_s=0, dataset=mine))

    def reproduced() -> dict[str, Any]:
        job = ready.succeeded(ready.submit("reproduce", {"model": ready.model}))
        with ready.db.read() as session:
            verdict = registry.version(session, "default", ready.model, 1).reproduced
        assert verdict is not None
        assert (verdict["job"], job.result) == (job.id, {k: verdict[k] for k in job.result or {}})
        return verdict

    verdict = reproduced()
    assert (verdict["identical"], verdict["weights_digest"]) == (True, trained)
    assert (verdict["differences"], verdict["arrays"]) == ([], [])

    with ready.db.transaction() as session:
        there, other = (datasets.version(session, "default", name, 1) for name in (mine, changed))
        was, now = (artifacts.artifact(session, version.id, "data") for version in (there, other))
        artifacts.detach(session, there.id, "data")
        artifacts.attach(session, project="default", owner=there.id, files={"data": now}, now=clock(session))
    verdict = reproduced()
    assert not verdict["identical"]
    assert verdict["expected_weights_digest"] == trained != verdict["weights_digest"]
    assert f"lineage.data_digest: {was.digest} then, {now.digest} now" in verdict["differences"]
    assert any(line.startswith("column 'x'.mean: ") for line in verdict["differences"])
    assert [(array["name"], array["values"]) for array in verdict["arrays"]] == [("place", 8), ("best", 8)]
    assert ready.versions() == 1


def test_a_cancelled_job_goes_on_where_it_was_if_one_asks(ready: Deployment) -> None:
    calm = digest(ready, walk(ready, step_s=0))
    job = walk(ready)
    has_checkpoints(ready, job)
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
    assert digest(ready, anew) == digest(ready, on) == calm
    assert resumed(ready, anew) == []
    assert len(resumed(ready, on)) == 1
    assert checkpoints(ready, on) == []
    assert len(checkpoints(ready, job)) == 2


def test_a_stale_attempt_leaves_no_checkpoint(ready: Deployment) -> None:
    job = walk(ready)
    has_checkpoints(ready, job)
    with ready.db.read() as session:
        row = session.get_one(Job, job.id)
        assert row.lease_token is not None
        stale = Lease(job=row.id, attempt=row.attempt, token=row.lease_token)
    kill(ready)
    ready.until(lambda: ready.job(job).attempt == 2, "no second attempt")
    file = ready.settings.data / "stale"
    file.write_bytes(b"what the first attempt got to")
    stored = put_file(ready.store, file)
    with pytest.raises(LeaseLost), ready.db.transaction() as session:
        job_checkpoints.keep(session, stale, stored, clock(session))
    assert stored not in checkpoints(ready, job)
    ready.succeeded(job)
    with ready.db.read() as session:
        assert artifacts.attached(session, job.id) == {}
