"""Stacking over a real database: members trained anew in folds, then one version that combines them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select

from domain import LEARNED, TRAIN, Domain, stored
from headrace.artifacts.tables import Artifact
from headrace.errors import Invalid
from headrace.jobs import retention, service
from headrace.jobs.kinds import reproduce, stacking, train
from headrace.jobs.leases import Lease
from headrace.jobs.states import State
from headrace.jobs.tables import Job
from headrace.registry import service as registry
from headrace.registry.tables import ModelVersion
from headrace.specs.task import Done

STACK = {
    "model": "both",
    "dataset": "iris@1",
    "algorithm": "ensemble",
    "target": "label",
    "params": {"models": ["one", "two@1"], "method": "stack", "folds": 3},
}


@pytest.fixture
def members(domain: Domain) -> None:
    """Versions one@1 and two@1, which have learned from ``iris@1``."""
    for name in ("one", "two"):
        member(domain, name)


def member(domain: Domain, name: str, **spec: Any) -> None:
    learned = LEARNED | {"smallest_class": 8}
    lease = domain.running(spec=TRAIN | {"model": name} | spec)
    domain.commit(lease, Done(result=learned, outputs={}), files(f"{name} package", "package"))


def files(content: str, name: str) -> Any:
    return {name: stored(content), "evaluation": stored(f"evaluation of {content}")}


def stack(domain: Domain, **params: Any) -> str:
    return domain.submit(spec=STACK | {"params": {**STACK["params"], **params}})  # type: ignore[dict-item]


def parts(domain: Domain, job: str) -> list[Job]:
    with domain.db.read() as session:
        return list(session.scalars(select(Job).where(Job.parent == job).order_by(Job.id)))


def run_folds(domain: Domain, count: int = 6) -> list[str]:
    """Run the next ``count`` parts, each of which gives its own accuracy; return their ids."""
    done = []
    for number in range(count):
        lease = domain.claim()
        assert lease is not None
        result = LEARNED | {"metrics": {"accuracy": 0.5 + number / 100}}
        domain.commit(lease, Done(result=result, outputs={}), files(f"held out {number}", "held_out"))
        done.append(lease.job)
    return done


def at_the_last_part(domain: Domain) -> tuple[str, Lease]:
    """Return a stack whose folds have all been run, and the lease of the part that learns from them."""
    job = stack(domain)
    domain.tick()
    run_folds(domain)
    domain.tick()
    lease = domain.claim()
    assert lease is not None
    return job, lease


@pytest.mark.usefixtures("members")
def test_members_anew_in_folds_then_one_version(domain: Domain) -> None:
    job = stack(domain)
    domain.tick()
    made = parts(domain, job)
    names = [f"{ref} fold {k}" for ref in ("one@1", "two@1") for k in (1, 2, 3)]
    assert [part.part for part in made] == names
    assert made[4].figures == {"member": "two@1", "fold": 2}
    spec = made[4].spec
    assert (spec["algorithm"], spec["model"], spec["params"]) == ("mlp", "both", made[0].spec["params"])
    fold = {"folds": 3, "number": 1, "rows": "training", "stratified": True, "group": None}
    assert spec["fold"] == fold
    assert {part.lane for part in made} == {"heavy"}
    with domain.db.read() as session:
        preparation = train.prepare(session, session.get_one(Job, made[4].id))
    assert preparation.held_out
    assert preparation.validation
    run_folds(domain, 5)
    domain.tick()
    assert domain.job(job).message == "5 of 7 trainings"
    assert len(parts(domain, job)) == 6
    run_folds(domain, 1)
    domain.tick()
    last = parts(domain, job)[-1]
    assert (last.part, last.lane, last.spec) == ("stack", "heavy", domain.job(job).spec)
    with domain.db.read() as session:
        preparation = train.prepare(session, session.get_one(Job, last.id))
    held_out = {f"held_out_{i}_{k}" for i in range(2) for k in range(3)}
    assert set(preparation.inputs) == {"data", "member_0", "member_1", *held_out}
    assert preparation.inputs["held_out_1_1"] == stored("held out 4").digest
    assert preparation.inputs["member_1"] == stored("two package").digest
    assert not preparation.held_out
    lease = domain.claim()
    assert lease is not None
    domain.commit(lease, Done(result=LEARNED, outputs={}), files("both package", "package"))
    domain.tick()
    done = domain.job(job)
    assert done.state == State.SUCCEEDED
    assert done.result is not None
    assert (done.result["model"], done.result["version"]) == ("both", 1)
    shown = done.result["stacking"]
    assert [each["model"] for each in shown["members"]] == ["one@1", "two@1"]
    assert shown["members"][1]["metrics"]["accuracy"]["folds"] == [0.53, 0.54, 0.5]
    with domain.db.read() as session:
        version = registry.version(session, "default", "both", 1)
        assert version.lineage["stacking"] == {"job": job, **shown}
        kept = reproduce.member_versions.kept(session, version)
        assert set(kept) == {"member_0", "member_1", *held_out}
        assert len(session.scalars(select(ModelVersion)).all()) == 3
        # What the parts had learned is theirs no more; only the version keeps it.
        owned = session.scalars(select(Artifact.name).where(Artifact.owner.in_([*map(id_of, made), last.id])))
        assert set(owned) == {"evaluation"}
    # It is made again from what was kept, in one job.
    again = domain.submit(kind="reproduce", spec={"model": "both@1"})
    with domain.db.read() as session:
        given = reproduce.prepare(session, session.get_one(Job, again))
    assert given.inputs == preparation.inputs | {"package": stored("both package").digest}
    assert given.spec == last.spec
    assert given.lineage == preparation.lineage


def id_of(part: Job) -> str:
    return part.id


@pytest.mark.usefixtures("members")
def test_a_failed_fold_ends_it_and_a_retry_goes_on_with_the_others(domain: Domain) -> None:
    job = stack(domain)
    domain.tick()
    run_folds(domain, 2)
    lease = domain.claim()
    assert lease is not None
    domain.fail(lease, retryable=False)
    domain.tick()
    failed = domain.job(job)
    assert failed.error is not None
    assert failed.error["message"] == f"one@1 fold 3 ({lease.job}) has failed: no"
    assert {part.state for part in parts(domain, job)[3:]} == {State.CANCELLED}
    with domain.db.transaction() as session:
        again = service.retry(
            session, project="default", job_id=job, created_by=None, now=domain.now, resume=True
        ).id
    domain.tick()
    assert [part.state for part in parts(domain, again)].count("succeeded") == 2
    assert [part.state for part in parts(domain, again)].count("queued") == 4


@pytest.mark.usefixtures("members")
def test_cancelling_reaches_every_part(domain: Domain) -> None:
    job = stack(domain)
    domain.tick()
    run_folds(domain, 1)
    assert domain.claim() is not None
    domain.cancel(job)
    assert domain.job(job).state == State.CANCELLED
    states = [part.state for part in parts(domain, job)]
    assert sorted(states) == ["cancelled"] * 4 + ["running", "succeeded"]
    assert all(part.cancel_requested for part in parts(domain, job) if part.state == "running")


@pytest.mark.usefixtures("members")
def test_one_running_job_at_a_time_is_enough(domain: Domain) -> None:
    domain.project("default", max_running=1)
    job, lease = at_the_last_part(domain)
    domain.commit(lease, files=files("both package", "package"))
    domain.tick()
    assert domain.job(job).state == State.SUCCEEDED


@pytest.mark.usefixtures("members")
def test_a_member_that_was_deleted_meanwhile_is_told(domain: Domain) -> None:
    job = stack(domain)
    domain.tick()
    run_folds(domain)
    domain.do(registry.delete_version, "default", "two", 1, now=domain.now)
    domain.tick()
    error = domain.job(job).error
    assert error is not None
    assert "model 'two' has no version 1" in error["message"]


@pytest.mark.usefixtures("members")
def test_a_member_that_was_deleted_while_the_last_part_ran_is_told(domain: Domain) -> None:
    job, lease = at_the_last_part(domain)
    domain.do(registry.delete_version, "default", "two", 1, now=domain.now)
    domain.commit(lease, Done(result=LEARNED, outputs={}), files("both package", "package"))
    domain.tick()
    ended = domain.job(job)
    assert ended.state == State.FAILED
    assert ended.error is not None
    assert "model 'two' has no version 1" in ended.error["message"]


@pytest.mark.usefixtures("members")
def test_what_parts_have_left_is_kept_as_long_as_it_goes_on_and_not_for_ever(domain: Domain) -> None:
    job = stack(domain)
    domain.tick()
    run_folds(domain, 2)

    def left() -> int:
        later = domain.now + timedelta(days=60)
        while domain.do(retention.prune, now=later, kept_for=timedelta(days=1)):
            pass
        with domain.db.read() as session:
            return len(session.scalars(select(Artifact).where(Artifact.name == "held_out")).all())

    assert left() == 2
    domain.cancel(job)
    assert left() == 0
    with domain.db.transaction() as session:
        again = service.retry(
            session, project="default", job_id=job, created_by=None, now=domain.now, resume=True
        ).id
    domain.tick()
    assert [part.state for part in parts(domain, again)] == ["queued"] * 6


@pytest.mark.usefixtures("members")
def test_many_parts_are_made_in_several_steps(domain: Domain, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stacking, "MOST_AT_ONCE", 4)
    job = stack(domain)
    domain.tick()
    assert len(parts(domain, job)) == 4
    domain.tick()
    assert len(parts(domain, job)) == 6


@pytest.mark.parametrize(
    ("params", "loc", "message"),
    [
        ({"folds": 1}, ("folds",), "greater than or equal to 2"),
        ({"folds": 21}, ("folds",), "less than or equal to 20"),
        ({"method": "average"}, (), "folds: nothing is fitted for method average; should be null"),
        ({"folds": 9}, ("folds",), "the smallest class of 'label' has 8 training rows: should be as many"),
    ],
)
@pytest.mark.usefixtures("members")
def test_folds_that_cannot_be_are_refused(
    domain: Domain, params: dict[str, Any], loc: tuple[str, ...], message: str
) -> None:
    with pytest.raises(Invalid) as refused:
        stack(domain, **params)
    (error,) = refused.value.errors
    assert error.loc == ("spec", "params", *loc)
    assert message in error.msg


@pytest.mark.parametrize(
    ("spec", "loc", "message"),
    [
        ({"base": "one@1"}, ("params", "models", 1), "started from one@1, which may have learned from"),
        ({"dataset": "iris@2"}, ("params", "models", 1), "has learned from iris@2; to be trained anew"),
        (
            {"fold": {"folds": 3, "number": 0}},
            ("params", "models", 1),
            "three@1: was trained on all rows but a fold",
        ),
        (
            {"split": {"by": "column:x"}, "features": ["x"]},
            ("params", "folds"),
            "folds are drawn, but rows were divided by column:x: should be null",
        ),
    ],
)
@pytest.mark.usefixtures("members")
def test_members_that_cannot_be_trained_anew_are_refused(
    domain: Domain, spec: dict[str, Any], loc: tuple[str | int, ...], message: str
) -> None:
    domain.upload("iris", "c,d\n1,2\n")
    lease = domain.claim(lane="light")
    assert lease is not None
    domain.ingest(lease)
    both = "split" in spec
    if both:
        member(domain, "four", **spec)
    member(domain, "three", **spec)
    asked = STACK | {"split": spec.get("split", {})}
    params = {**STACK["params"], "models": ["four" if both else "one", "three"]}  # type: ignore[dict-item]
    with pytest.raises(Invalid) as refused:
        domain.submit(spec=asked | {"params": params})
    (error,) = refused.value.errors
    assert error.loc == ("spec", *loc)
    assert message in error.msg


@pytest.mark.usefixtures("members")
def test_what_trials_are_cannot_be_stacked_anew(domain: Domain) -> None:
    training = STACK | {"params": {**STACK["params"], "folds": None}}  # type: ignore[dict-item]
    for train_spec, space, loc in (
        (STACK, {"params.l2": {"low": 0.1, "high": 1.0}}, ("train", "params", "folds")),
        (training, {"params.folds": {"choices": [2]}}, ("space", "params.folds", "choices", 0)),
    ):
        spec = {"train": train_spec, "space": space, "metric": "val_accuracy", "trials": 1}
        with pytest.raises(Invalid) as refused:
            domain.submit(kind="tune", spec=spec)
        (error,) = refused.value.errors
        assert error.loc == ("spec", *loc)
        assert "a trial is one training: should be null" in error.msg
