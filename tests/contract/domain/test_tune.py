"""Tuning over a real database: what is tried, in which order, and what becomes of it."""

from __future__ import annotations

import random
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from domain import LEARNED, TRAIN, Domain, at_once
from headrace.errors import Conflict, Invalid
from headrace.jobs import coordinators, leases, service, transitions
from headrace.jobs.events import Event
from headrace.jobs.leases import Lease
from headrace.jobs.states import State
from headrace.jobs.tables import Job
from headrace.registry.tables import ModelVersion
from headrace.specs.task import Done

RATE = "params.learning_rate"
SPACE = {RATE: {"low": 1e-4, "high": 1e-1, "log": True}, "params.batch_size": {"choices": [16, 32]}}
TUNE = {"train": TRAIN, "space": SPACE, "metric": "val_accuracy", "trials": 6}


def tune(domain: Domain, **changes: Any) -> str:
    return domain.submit(kind="tune", spec=TUNE | changes)


def parts(domain: Domain, job: str) -> list[Job]:
    with domain.db.read() as session:
        return list(session.scalars(select(Job).where(Job.parent == job).order_by(Job.id)))


def learn(domain: Domain, lease: Lease, value: float) -> None:
    result = LEARNED | {"validation": {"accuracy": value}}
    domain.commit(lease, Done(result=result, outputs={}))


def score(job: Job) -> float:
    """As good as a rate of 0.01 allows."""
    params = job.spec["params"]
    return 1.0 - abs(params["learning_rate"] - 0.01) - params["batch_size"] / 1000


def run(
    domain: Domain, job: str, slots: int = 2, seed: int | None = None
) -> list[tuple[dict[str, Any], str]]:
    """Run trials on ``slots`` until the job ends, in an order drawn by ``seed``; return what was tried."""
    rng = random.Random(seed)
    running: list[Lease] = []
    for _ in range(200):
        domain.tick(1)
        if domain.job(job).state != State.RUNNING:
            break
        while len(running) < slots and (lease := domain.claim()):
            running.append(lease)
        if running:
            lease = running.pop(rng.randrange(len(running)) if seed is not None else 0)
            if seed is not None and rng.random() < 0.3:
                running.clear()  # all workers die
                domain.tick(16)
                domain.tick(60)
            else:
                learn(domain, lease, score(domain.job(lease.job)))
    return [(part.spec["params"], part.state) for part in parts(domain, job)]


def test_the_best_trial_becomes_the_one_version(domain: Domain) -> None:
    job = tune(domain)
    run(domain, job)
    done = domain.job(job)
    assert (done.state, done.attempt, done.failures) == (State.SUCCEEDED, 1, 0)
    trials = parts(domain, job)
    assert [part.part for part in trials] == [f"trial {number}" for number in range(6)]
    best = max(trials, key=score)
    assert done.result is not None
    assert done.result["best"]["job"] == best.id
    assert done.result["best"]["value"] == pytest.approx(score(best))
    with domain.db.read() as session:
        [version] = session.scalars(select(ModelVersion))
    assert version.job == job
    assert version.params == best.spec["params"]
    assert version.lineage["spec"] == best.spec


def test_the_trials_are_the_same_whatever_befalls_them(domain: Domain) -> None:
    quiet = run(domain, tune(domain, trials=14))
    domain.clear()
    harried = domain.submit(kind="tune", spec=TUNE | {"trials": 14}, max_attempts=50)
    assert run(domain, harried, slots=3, seed=5) == quiet
    assert sum(domain.job(part.id).failures for part in parts(domain, harried)) > 0
    rates = [params["learning_rate"] for params, _ in quiet]
    assert len(set(rates)) == 14
    assert all(1e-4 <= rate <= 1e-1 for rate in rates)


def test_one_slot_and_a_quota_of_one_are_enough(domain: Domain) -> None:
    domain.project("default", max_running=1)
    job = tune(domain, sampler="random", parallel=4, trials=4)
    assert [state for _, state in run(domain, job, slots=1)] == ["succeeded"] * 4
    assert domain.job(job).state == State.SUCCEEDED


def test_at_most_so_many_trials_as_may_run_at_once(domain: Domain) -> None:
    job = tune(domain, parallel=3)
    domain.tick()
    domain.tick()
    assert len(parts(domain, job)) == 3
    lease = domain.claim()
    assert lease is not None
    learn(domain, lease, 0.5)
    domain.tick()
    assert len(parts(domain, job)) == 4


def test_cancelling_takes_its_trials_with_it(domain: Domain) -> None:
    job = tune(domain)
    domain.tick()
    lease = domain.claim()
    assert lease is not None
    domain.cancel(job)
    assert domain.job(job).state == State.CANCELLED
    assert domain.do(leases.renew, lease, now=domain.now, lease_s=15)  # the worker is told
    running, queued = parts(domain, job)
    assert (running.state, running.cancel_requested) == (State.RUNNING, True)
    assert queued.state == State.CANCELLED
    domain.tick(16)
    assert domain.job(running.id).state == State.CANCELLED
    assert len(parts(domain, job)) == 2


def test_a_trial_that_fails_for_good_fails_the_whole(domain: Domain) -> None:
    job = tune(domain)
    domain.tick()
    lease = domain.claim()
    assert lease is not None
    domain.fail(lease, retryable=False)
    domain.tick()
    failed = domain.job(job)
    assert failed.state == State.FAILED
    assert failed.error is not None
    assert failed.error["type"] == "PartFailed"
    assert failed.error["message"] == f"trial 0 ({lease.job}) has failed: no"
    assert [part.state for part in parts(domain, job)] == [State.FAILED, State.CANCELLED]


def test_so_many_trials_may_fail_as_the_spec_allows(domain: Domain) -> None:
    job = tune(domain, max_failed=1, trials=3)
    domain.tick()
    lease = domain.claim()
    assert lease is not None
    domain.fail(lease, retryable=False)
    run(domain, job)
    assert domain.job(job).state == State.SUCCEEDED
    told = domain.job(job).result
    assert told is not None
    assert [trial["state"] for trial in told["trials"]] == ["failed", "complete", "complete"]


def test_its_time_limit_is_that_of_each_attempt_of_each_trial(domain: Domain) -> None:
    job = domain.submit(kind="tune", spec=TUNE, timeout_s=60)
    domain.tick()
    domain.tick(100 * 24 * 3600)
    assert domain.job(job).state == State.RUNNING
    assert {part.timeout_s for part in parts(domain, job)} == {60}


def test_trials_are_looked_at_only_when_something_has_happened(
    domain: Domain, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[str] = []
    look = coordinators.plan

    def counted(session: Session, job: Job) -> Any:
        looks.append(job.id)
        return look(session, job)

    monkeypatch.setattr(coordinators, "plan", counted)
    job = tune(domain)
    for _ in range(5):
        domain.tick(1)
    assert len(looks) == 2, "once to begin, once to find nothing more"
    lease = domain.claim()
    assert lease is not None
    domain.tick()
    progress = Event("progress", {"fraction": 0.5, "message": ""})
    domain.do(leases.renew, lease, now=domain.now, lease_s=15, happened=[progress])
    domain.tick()
    assert domain.job(job).fraction > 0
    seen = len(looks)
    learn(domain, lease, 0.5)
    domain.tick()
    domain.tick()
    domain.tick()
    assert len(looks) == seen + 2


def test_a_retry_that_resumes_takes_the_trials_that_are_done(domain: Domain) -> None:
    whole = run(domain, tune(domain, trials=5))
    domain.clear()
    job = tune(domain, trials=5)
    domain.tick()
    for _ in range(2):
        lease = domain.claim()
        assert lease is not None
        learn(domain, lease, score(domain.job(lease.job)))
    domain.tick()
    done = [part.id for part in parts(domain, job) if part.state == State.SUCCEEDED]
    domain.cancel(job)
    again = domain.do(
        service.retry, project="default", job_id=job, created_by=None, now=domain.now, resume=True
    )
    tried = run(domain, again.id)
    assert sorted(map(str, tried)) == sorted(map(str, whole))
    assert [part.id for part in parts(domain, again.id)][:2] == done
    assert domain.job(again.id).state == State.SUCCEEDED


def test_a_part_is_retried_by_its_parent_only(domain: Domain) -> None:
    job = tune(domain)
    domain.tick()
    part = parts(domain, job)[0].id
    domain.cancel(job)
    with pytest.raises(Conflict, match=f"a part of {job}"):
        domain.do(service.retry, project="default", job_id=part, created_by=None, now=domain.now)


def test_two_schedulers_do_each_thing_once(domain: Domain) -> None:
    job = tune(domain, parallel=4, trials=8)
    for _ in range(20):
        domain.now += timedelta(seconds=1)
        at_once(domain.tick, domain.tick)
        while lease := domain.claim():
            learn(domain, lease, score(domain.job(lease.job)))
    assert domain.job(job).state == State.SUCCEEDED
    assert [part.part for part in parts(domain, job)] == [f"trial {number}" for number in range(8)]
    told = [event.data["step"] for event in domain.events(job) if event.type == "metric"]
    assert sorted(told) == list(range(8))
    with domain.db.read() as session:
        assert len(session.scalars(select(ModelVersion)).all()) == 1


def test_a_grid_has_all_its_points(domain: Domain) -> None:
    space = {"params.batch_size": {"choices": [16, 32]}, "params.epochs": {"low": 1, "high": 5, "step": 2}}
    job = tune(domain, space=space, sampler="grid", trials=None)
    tried = [(params["batch_size"], params["epochs"]) for params, _ in run(domain, job)]
    assert tried == [(size, epochs) for size in (16, 32) for epochs in (1, 3, 5)]


def test_a_bad_trial_is_pruned_and_counts_as_such_however_late_that_is_seen(domain: Domain) -> None:
    spec = {"space": {RATE: SPACE[RATE]}, "pruner": "median", "parallel": 1, "trials": 8, "sampler": "random"}

    def go(late: bool) -> list[Any]:
        job = tune(domain, **spec)
        for number in range(8):
            domain.tick(1)
            lease = domain.claim()
            assert lease is not None
            # The last two are worse than what was before, from the second epoch on.
            values = [0.5, 0.8 + number / 100, 0.95] if number < 6 else [0.6, 0.1, 0.99]
            for step, value in enumerate(values, 1):
                point = Event("metric", {"name": "val_accuracy", "step": step, "value": value})
                domain.do(leases.renew, lease, now=domain.now, lease_s=15, happened=[point])
                if not late:
                    domain.tick()
                if domain.job(lease.job).cancel_requested:
                    domain.do(transitions.cancel, lease, now=domain.now)
                    break
            else:
                learn(domain, lease, values[-1])
        domain.tick(1)
        domain.tick(1)
        done = domain.job(job)
        assert done.state == State.SUCCEEDED
        assert done.result is not None
        return [(trial["state"], trial.get("value"), trial.get("step")) for trial in done.result["trials"]]

    soon = go(late=False)
    assert soon[:6] == [("complete", 0.95, None)] * 6
    assert soon[6:] == [("pruned", 0.1, 2)] * 2
    domain.clear()
    assert go(late=True) == soon


@pytest.mark.parametrize(
    ("changes", "loc", "message"),
    [
        ({"space": {}}, ("spec", "space"), "is empty: should name what is tried"),
        ({"trials": 0}, ("spec", "trials"), "greater than or equal to 1"),
        ({"space": {"params.rate": {"low": 1, "high": 2}}}, ("spec", "space", "params.rate"), "no param"),
        ({"space": {"seed": {"choices": [1]}}}, ("spec", "space", "seed"), "no param"),
        ({"space": {RATE: {"low": -1.0, "high": 0.1}}}, ("spec", "space", RATE, "low"), "greater than 0"),
        ({"space": {RATE: {"low": 0.2, "high": 0.1}}}, ("spec", "space", RATE), "should be below"),
        (
            {"space": {"params.epochs": {"low": 1.5, "high": 3}}},
            ("spec", "space", "params.epochs"),
            "whole numbers",
        ),
        (
            {"space": {"params.optimizer": {"choices": ["adam", "none"]}}},
            ("spec", "space", "params.optimizer", "choices", 1),
            "should be",
        ),
        ({"metric": "r2"}, ("spec", "metric"), "no metric of mlp for classification"),
        ({"metric": "f1_macro", "pruner": "median"}, ("spec", "metric"), "reported on the way"),
        ({"sampler": "grid"}, ("spec", "space", RATE), "needs choices or steps"),
        ({"train": TRAIN | {"target": "y"}}, ("spec", "train", "target"), "no column"),
        (
            {"train": TRAIN | {"split": {"validation": 0}}},
            ("spec", "train", "split", "validation"),
            "above 0",
        ),
    ],
)
def test_what_cannot_be_tuned_is_refused(
    domain: Domain, changes: dict[str, Any], loc: tuple[str | int, ...], message: str
) -> None:
    with pytest.raises(Invalid) as refused:
        tune(domain, **changes)
    [error] = [found for found in refused.value.errors if found.loc[: len(loc)] == loc]
    assert message in error.msg
