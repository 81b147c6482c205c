"""Stacking by real workers that are killed: every training once, and the same bits."""

from __future__ import annotations

import pytest

from headrace.artifacts import service as artifacts
from headrace.jobs.states import FINAL, State
from headrace.jobs.tables import Job
from headrace.registry import service as registry
from headrace.registry.tables import ModelVersion
from integration.workers.conftest import Deployment
from integration.workers.walks import kill

# Starting workers takes seconds; what the databases do differently is tested in contract/domain.
pytestmark = pytest.mark.parametrize("deployment", ["sqlite"], indirect=True)

SPEC = {"dataset": "table@1", "target": "label", "split": {"by": "random"}}
FOLDS = 2


@pytest.fixture(scope="module")
def members(deployment: Deployment) -> list[str]:
    """Two versions whose training takes about a second."""
    found = []
    for model, steps in (("a", 20), ("b", 30)):
        spec = {"algorithm": "walk", "model": model, "params": {"steps": steps, "step_s": 0.04}}
        deployment.succeeded(deployment.submit("train", SPEC | spec))
        found.append(f"{model}@1")
    return found


def stack(ready: Deployment, members: list[str]) -> Job:
    params = {"models": members, "method": "stack", "folds": FOLDS}
    spec = SPEC | {"algorithm": "ensemble", "model": ready.model, "params": params}
    return ready.submit("train", spec, max_attempts=50)


def is_training(ready: Deployment, job: Job) -> bool:
    return any(State(part.state) is State.RUNNING and 0 < part.fraction < 0.9 for part in ready.parts(job))


def version(ready: Deployment, job: Job) -> ModelVersion:
    for count in range(1, 2 * FOLDS + 1):
        ready.parts_ended(job, count)
    result = ready.succeeded(job).result
    assert result is not None
    with ready.db.read() as session:
        return registry.version(session, "default", ready.model, result["version"])


def test_killed_workers_change_no_bit(ready: Deployment, members: list[str]) -> None:
    """One run in peace; in the other the worker dies, then a job process of the next worker."""
    calm = version(ready, stack(ready, members))
    job = stack(ready, members)
    ready.until(lambda: is_training(ready, job), "no part runs")
    survivor = ready.start_worker()
    for worker in ready.workers:
        if worker is not survivor:
            worker.kill()
            worker.wait()
    ready.parts_ended(job, 2)
    ready.until(lambda: is_training(ready, job), "no part runs")
    kill(ready)
    disturbed = version(ready, job)
    assert disturbed.weights_digest == calm.weights_digest
    made = ready.parts(job)
    names = [f"{ref} fold {k}" for ref in members for k in (1, 2)]
    assert [part.part for part in made] == [*names, "stack"]
    assert {part.state for part in made} == {"succeeded"}
    assert sum(part.attempt for part in made) > len(made)
    assert ready.versions() == 2
    with ready.db.read() as session:
        first, second = (artifacts.attached(session, each.id) for each in (calm, disturbed))
        assert all(list(artifacts.attached(session, part.id)) == ["evaluation"] for part in made)
    held_out = [f"held_out_{i}_{k}" for i in range(2) for k in range(FOLDS)]
    assert all(first[name].digest == second[name].digest for name in held_out)
    again = ready.succeeded(ready.submit("reproduce", {"model": f"{ready.model}@2"})).result
    assert again is not None
    assert (again["identical"], again["differences"]) == (True, [])


def test_cancelling_ends_what_runs_within_five_seconds(ready: Deployment, members: list[str]) -> None:
    job = stack(ready, members)
    ready.until(lambda: any(part.fraction > 0 for part in ready.parts(job)), "no part runs")
    ready.cancel(job)
    assert ready.job(job).state == "cancelled"
    ready.until(lambda: all(State(part.state) in FINAL for part in ready.parts(job)), "parts go on")
    taken = [(part.finished_at, ready.job(job).finished_at) for part in ready.parts(job)]
    assert all((end - asked).total_seconds() < 5 for end, asked in taken if end and asked)
