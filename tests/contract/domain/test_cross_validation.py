"""Cross-validation over a real database: folds beside each other, then one version that knows them."""

from __future__ import annotations

from typing import Any

import pytest
from scipy.stats import t
from sqlalchemy import select

from domain import LEARNED, TRAIN, Domain
from headrace.artifacts.tables import Artifact
from headrace.errors import Invalid
from headrace.jobs.states import State
from headrace.jobs.tables import Job
from headrace.registry.tables import ModelVersion
from headrace.specs.task import Done


def validate(domain: Domain, **asked: Any) -> str:
    return domain.submit(spec=TRAIN | {"cross_validation": asked})


def parts(domain: Domain, job: str) -> list[Job]:
    with domain.db.read() as session:
        return list(session.scalars(select(Job).where(Job.parent == job).order_by(Job.id)))


def test_folds_then_a_version_that_shows_them(domain: Domain) -> None:
    job = validate(domain, folds=4)
    domain.tick()
    made = parts(domain, job)
    assert [part.part for part in made] == ["fold 1", "fold 2", "fold 3", "fold 4", "training"]
    assert [part.spec["fold"] and part.spec["fold"]["number"] for part in made] == [0, 1, 2, 3, None]
    assert all(part.spec["fold"]["stratified"] for part in made[:4])
    values = [0.8, 0.9, 0.7, 1.0]
    for value in [*values, 0.95]:
        lease = domain.claim()
        assert lease is not None
        domain.commit(lease, Done(result=LEARNED | {"metrics": {"accuracy": value}}, outputs={}))
        assert domain.job(job).state == State.RUNNING
    domain.tick()
    done = domain.job(job)
    assert done.state == State.SUCCEEDED
    assert done.result is not None
    assert done.result["metrics"] == {"accuracy": 0.95}
    found = done.result["cross_validation"]["metrics"]["accuracy"]
    assert found["folds"] == values
    assert found["mean"] == pytest.approx(0.85)
    # Nadeau and Bengio's variance: 1/4 + 1/3 of that of the folds.
    half = t.ppf(0.975, 3) * (sum((v - 0.85) ** 2 for v in values) / 3 * (1 / 4 + 1 / 3)) ** 0.5
    assert found["interval"] == pytest.approx([0.85 - half, min(0.85 + half, 1)])
    with domain.db.read() as session:
        [version] = session.scalars(select(ModelVersion))
        packages = session.scalars(select(Artifact.owner).where(Artifact.name == "package")).all()
    assert version.job == job
    assert version.metrics == {"accuracy": 0.95}
    assert version.lineage["cross_validation"]["metrics"]["accuracy"] == found
    assert version.lineage["spec"]["fold"] is None
    assert packages == [version.id]


def test_a_fold_that_fails_ends_it(domain: Domain) -> None:
    job = validate(domain, folds=3)
    domain.tick()
    lease = domain.claim()
    assert lease is not None
    domain.fail(lease, retryable=False)
    domain.tick()
    failed = domain.job(job)
    assert failed.state == State.FAILED
    assert failed.error is not None
    assert failed.error["message"] == f"fold 1 ({lease.job}) has failed: no"
    assert {part.state for part in parts(domain, job)[1:]} == {State.CANCELLED}


@pytest.mark.parametrize(
    ("spec", "loc", "message"),
    [
        ({"cross_validation": {"folds": 101}}, ("spec", "cross_validation", "folds"), "100"),
        ({"cross_validation": {"folds": 1}}, ("spec", "cross_validation", "folds"), "2"),
        (
            {"cross_validation": {"group": "nobody"}},
            ("spec", "cross_validation", "group"),
            "there is no column 'nobody'; the columns are x, label",
        ),
        (
            {"cross_validation": {"group": "label"}},
            ("spec", "cross_validation", "group"),
            "should be another",
        ),
        (
            {"cross_validation": {"stratified": True}, "target": "x", "features": ["label"]},
            ("spec", "cross_validation", "stratified"),
            "no classes in regression",
        ),
        (
            {"cross_validation": {}, "split": {"by": "time:x"}, "features": ["x"]},
            ("spec", "split", "by"),
            "hash or random",
        ),
    ],
)
def test_rows_that_cannot_be_divided_so_are_refused(
    domain: Domain, spec: dict[str, Any], loc: tuple[str, ...], message: str
) -> None:
    with pytest.raises(Invalid) as refused:
        domain.submit(spec=TRAIN | spec)
    assert [error.loc for error in refused.value.errors] == [loc]
    assert message in refused.value.errors[0].msg


def test_more_folds_than_rows_are_refused(domain: Domain) -> None:
    domain.upload("tiny", "x,label\n1,a\n")
    lease = domain.claim(lane="light")
    assert lease is not None
    columns = [{"name": "x", "type": "number", "nullable": False}, {"name": "label", "type": "category"}]
    columns[1]["nullable"] = False
    domain.commit(lease, Done(result={"rows": 4, "columns": columns}, outputs={}))
    with pytest.raises(Invalid, match="tiny@1 has 4 rows: should be as many folds at most"):
        domain.submit(spec=TRAIN | {"dataset": "tiny", "cross_validation": {"folds": 5}})
