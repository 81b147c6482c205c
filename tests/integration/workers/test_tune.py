"""Tuning by real workers that are killed: every trial once, and the same best one."""

from __future__ import annotations

import os
from typing import Any

import pytest

from headrace.jobs.states import FINAL, State
from headrace.jobs.tables import Job
from integration.workers.conftest import Deployment

# Starting workers takes seconds; what the databases do differently is tested in contract/domain/test_tune.py.
pytestmark = pytest.mark.parametrize("deployment", ["sqlite"], indirect=True)

TRIALS, KILLS = int(os.environ.get("TRIALS", "12")), int(os.environ.get("KILLS", "3"))


def tune(ready: Deployment, seconds: float) -> Job:
    train = {
        "model": ready.model,
        "dataset": "table@1",
        "algorithm": "scripted",
        "target": "label",
        "params": {"seconds": seconds},
    }
    space = {"params.share": {"low": 0.01, "high": 0.99}}
    spec = {"train": train, "space": space, "metric": "log_loss", "trials": TRIALS}
    return ready.submit("tune", spec, max_attempts=50)


def is_halfway(part: Job) -> bool:
    return State(part.state) is State.RUNNING and 0 < part.fraction < 0.9


def outcome(ready: Deployment, job: Job) -> tuple[list[tuple[Any, ...]], Any]:
    """Return each trial, and the number of the best."""
    for count in range(1, TRIALS + 1):
        ready.parts_ended(job, count)
    result = ready.succeeded(job).result
    assert result is not None
    trials = [(part.part, part.state, part.spec["params"]["share"]) for part in ready.parts(job)]
    assert [name for name, _, _ in trials] == [f"trial {number}" for number in range(TRIALS)]
    assert {state for _, state, _ in trials} == {"succeeded"}
    return trials, (result["best"]["trial"], result["best"]["value"])


def test_killed_workers_change_nothing_of_what_is_tried_and_found(ready: Deployment) -> None:
    ready.start_worker()  # two slots
    calm = outcome(ready, tune(ready, 0.0))
    job = tune(ready, 1.0)
    for number in range(KILLS):
        ready.parts_ended(job, number * TRIALS // KILLS)
        ready.until(lambda: any(is_halfway(part) for part in ready.parts(job)), "no trial runs")
        for worker in [each for each in ready.workers if each.poll() is None]:
            worker.kill()
            worker.wait()
        for _ in range(2):
            ready.start_worker()
    assert outcome(ready, job) == calm
    assert sum(part.attempt for part in ready.parts(job)) > TRIALS
    assert ready.versions() == 2


def test_cancelling_ends_what_runs_within_five_seconds(ready: Deployment) -> None:
    job = tune(ready, 60.0)
    ready.until(lambda: any(part.fraction > 0 for part in ready.parts(job)), "no trial runs")
    ready.cancel(job)
    assert ready.job(job).state == "cancelled"
    ready.until(lambda: all(State(part.state) in FINAL for part in ready.parts(job)), "trials go on")
    taken = [(part.finished_at, ready.job(job).finished_at) for part in ready.parts(job)]
    assert all((end - asked).total_seconds() < 5 for end, asked in taken if end and asked)
