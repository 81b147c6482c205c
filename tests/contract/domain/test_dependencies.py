"""Jobs whose specs take values from the results of jobs on which they depend."""

from __future__ import annotations

import re
from typing import Any

import pytest

from domain import COLUMNS, LEARNED, TRAIN, Domain, stored
from headrace.errors import Invalid
from headrace.jobs import kinds
from headrace.jobs.leases import Lease
from headrace.specs.task import Done

EVALUATED = {"metrics": {"accuracy": 0.8}}
PREDICTED = {"rows": 100}
EXPLAINED = {"rows": 100, "strongest": []}
REPRODUCED = {name: [] for name in kinds.kind("reproduce").RESULT}


def take(job: str, path: str | None = None) -> dict[str, Any]:
    return {"$result": job} | ({} if path is None else {"path": path})


@pytest.mark.parametrize("path", ["version", None])
def test_the_version_that_a_training_makes_is_evaluated(domain: Domain, path: str | None) -> None:
    trained = domain.running()
    spec = {"model": take(trained.job, path), "dataset": "iris"}
    job = domain.submit(kind="evaluate", spec=spec, depends_on=[trained.job])
    assert (domain.job(job).state, domain.job(job).spec["model"]) == ("waiting", spec["model"])
    domain.commit(trained)
    # Another training of the same model ends before: what was asked for is the one, not the latest.
    domain.commit(domain.running())
    domain.tick()
    row = domain.job(job)
    assert (row.state, row.spec["model"], row.spec["dataset"]) == ("queued", "iris@1", "iris@1")
    assert (row.model, row.dataset) == ("iris", "iris")


def test_a_dependency_that_has_succeeded_already_is_used_at_once(domain: Domain) -> None:
    trained = domain.running()
    domain.commit(trained)
    spec = {"model": take(trained.job), "dataset": "iris"}
    job = domain.job(domain.submit(kind="predict", spec=spec, depends_on=[trained.job]))
    assert (job.state, job.spec["model"]) == ("queued", "iris@1")
    spec["format"] = take(trained.job, "metrics.f1")
    with pytest.raises(Invalid, match=r"no 'metrics.f1'; it has model") as refused:
        domain.submit(kind="predict", spec=spec, depends_on=[trained.job])
    assert [error.loc for error in refused.value.errors] == [("spec", "format")]


def test_a_training_takes_the_version_that_an_upload_makes(domain: Domain) -> None:
    domain.upload("iris", "x,label\n3,a\n")
    lease = domain.claim(lane="light")
    assert lease is not None
    job = domain.submit(spec=TRAIN | {"dataset": take(lease.job)}, depends_on=[lease.job])
    domain.ingest(lease)
    domain.tick()
    assert domain.job(job).spec["dataset"] == "iris@2"


def test_a_chain_of_results(domain: Domain) -> None:
    first = domain.running()
    second = domain.submit(kind="reproduce", spec={"model": take(first.job)}, depends_on=[first.job])
    spec = TRAIN | {"seed": take(first.job, "version"), "model": take(first.job, "model")}
    third = domain.submit(spec=spec, depends_on=[second, first.job])
    domain.commit(first)
    domain.tick()
    lease = domain.claim()
    assert (lease and lease.job) == second
    assert domain.job(third).state == "waiting"
    assert lease is not None
    domain.commit(lease, Done(result=REPRODUCED, outputs={}))
    domain.tick()
    row = domain.job(third)
    assert (row.state, row.spec["seed"], row.spec["model"]) == ("queued", 1, "iris")


@pytest.mark.parametrize(
    ("kind", "spec", "loc", "says"),
    [
        ("evaluate", {"model": take("job_0"), "dataset": "iris"}, ("spec", "model", "$result"), "depends_on"),
        ("evaluate", {"model": take("A", "f1"), "dataset": "iris"}, ("spec", "model"), "no 'f1'"),
        ("evaluate", {"model": take("I"), "dataset": "iris"}, ("spec", "model"), "no 'model'"),
        ("evaluate", {"model": take("A"), "dataset": take("A")}, ("spec", "dataset"), "no 'dataset'"),
        ("evaluate", {"model": take("A"), "dataset": "none"}, ("spec", "dataset"), "no dataset 'none'"),
        ("evaluate", {"model": take("A"), "dataset": "iris", "x": 1}, ("spec", "x"), "xtra"),
        ("evaluate", {"model": take("A"), "dataset": 1}, ("spec", "dataset"), "string"),
        ("train", TRAIN | {"seed": take("A", "version"), "algorithm": "?"}, ("spec", "algorithm"), "no algo"),
        (
            "train",
            TRAIN | {"seed": take("A", "version"), "params": {"epochs": -1}},
            ("spec", "params", "epochs"),
            "greater",
        ),
    ],
)
def test_what_can_be_told_at_submission_is(
    domain: Domain, kind: str, spec: dict[str, Any], loc: Any, says: str
) -> None:
    trained = domain.running()
    domain.upload("other", "x,label\n3,a\n")
    ingest = domain.claim(lane="light")
    assert ingest is not None

    def named(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: named(item) for key, item in value.items()}
        return {"A": trained.job, "I": ingest.job}.get(value, value) if isinstance(value, str) else value

    with pytest.raises(Invalid, match=says) as refused:
        domain.submit(kind=kind, spec=named(spec), depends_on=[trained.job, ingest.job])
    assert [error.loc for error in refused.value.errors] == [loc]


@pytest.mark.parametrize(
    ("field", "path", "says"),
    [
        ("seed", "metrics.f1", r"no 'metrics.f1'; it has model, version"),
        ("seed", "metrics.accuracy", r"spec.seed: .*integer"),
        ("target", "model", "no column 'iris'"),
    ],
)
def test_what_only_the_result_tells_ends_the_job_with_the_reason(
    domain: Domain, field: str, path: str, says: str
) -> None:
    trained = domain.running()
    job = domain.submit(spec=TRAIN | {field: take(trained.job, path)}, depends_on=[trained.job])
    domain.commit(trained)
    domain.tick()
    row = domain.job(job)
    assert row.error is not None
    assert (row.state, row.error["type"], row.error["retryable"]) == ("failed", "Invalid", False)
    assert re.search(says, row.error["message"])


@pytest.mark.parametrize(
    ("kind", "result", "files"),
    [
        ("train", LEARNED, ("package", "evaluation")),
        ("evaluate", EVALUATED, ("evaluation",)),
        ("predict", PREDICTED, ("output",)),
        ("explain", EXPLAINED, ("explanation",)),
        ("reproduce", REPRODUCED, ()),
        ("ingest", {"rows": 1, "columns": COLUMNS}, ("data", "profile")),
    ],
)
def test_a_result_has_the_entries_that_its_kind_says(
    domain: Domain, kind: str, result: dict[str, Any], files: tuple[str, ...]
) -> None:
    lease: Lease | None = domain.running()
    if kind == "ingest":
        domain.upload("other")
        lease = domain.claim(lane="light")
    elif kind != "train":
        assert lease is not None
        domain.commit(lease)
        spec = {"model": "iris"} if kind == "reproduce" else {"model": "iris", "dataset": "iris"}
        spec |= {"method": "permutation"} if kind == "explain" else {}
        domain.submit(kind=kind, spec=spec)
        lease = domain.claim()
    assert lease is not None
    domain.commit(lease, Done(result=result, outputs={}), {name: stored(name) for name in files})
    # Folds are told only where there are some.
    entries = [name for name in kinds.kind(kind).RESULT if name not in ("cross_validation", "stacking")]
    assert list(domain.job(lease.job).result or {}) == entries
